"""Lines of samples files, and fields that cannot be what they say."""

from __future__ import annotations

import json

import pytest

from heatmaps.sample_lines import fraction, sample_lines, whole_number


def test_lines_come_with_their_place(tmp_path):
    path = tmp_path / "samples.jsonl"
    path.write_text('{"a": 1}\n\n{"a": 2}\n[2]\n{"a": ')
    lines = sample_lines(path)
    assert [next(lines), next(lines)] == [(f"{path}:1", {"a": 1}), (f"{path}:3", {"a": 2})]
    with pytest.raises(ValueError, match=r"samples\.jsonl:4: \[2\] is no sample"):
        next(lines)
    path.write_text('{"a": ')
    with pytest.raises(ValueError, match=r"samples\.jsonl:1: not a whole line of JSON"):
        next(sample_lines(path))


def test_only_lines_under_the_first_filter_are_documents(tmp_path):
    path = tmp_path / "samples.jsonl"
    samples = [{"n": n, "filter": name} for n in range(2) for name in ("strict", "flexible")]
    path.write_text("".join(f"{json.dumps(sample)}\n" for sample in samples))
    assert [sample for _, sample in sample_lines(path)] == [samples[0], samples[2]]


@pytest.mark.parametrize("value", [None, True, 1.0, "4K", 0])
def test_what_is_no_whole_number_is_named(value):
    with pytest.raises(ValueError, match=r"here: length is .*; it must be a whole number >= 1"):
        whole_number(value, "here: length", least=1)
    assert whole_number(1, "here: length", least=1) == 1


@pytest.mark.parametrize("value", [None, "0.5", float("nan"), -0.1, 1.5])
def test_what_is_no_fraction_is_named(value):
    with pytest.raises(ValueError, match=r"here: depth is .*; it must be a number from 0 to 1"):
        fraction(value, "here: depth")
    assert fraction(1, "here: depth") == 1.0
