"""Cells that a spreadsheet must not take for formulas."""

import pytest

from heatmaps.csv_text import csv_text


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\u00a0=1"])
def test_formulas_are_text(text):
    assert csv_text(text) == f"'{text}"


@pytest.mark.parametrize("value", ["demo", "a=b", "", -1, -0.5, None])
def test_what_is_no_formula_stays(value):
    assert csv_text(value) == value


def test_control_characters_are_written_as_escapes():
    assert csv_text("\t=1\ud800") == "\\t=1\\ud800"
