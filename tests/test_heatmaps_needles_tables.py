"""Tables and CSV: every figure where it belongs, and 80 columns."""

import csv
from math import isnan

import numpy as np
import pytest
from grid_samples import make_grid

from heatmaps.needles.grids import Grid
from heatmaps.needles.tables import CSV_COLUMNS, terminal_table, write_csv


@pytest.fixture
def grid() -> Grid:
    nan = float("nan")
    # depths down, lengths across
    return make_grid([[1, 0.2], [1, nan]], [4096, 1048576], [0.0, 1.0], trials=5)


def test_the_whole_table(grid):
    assert terminal_table(grid) == (
        "prototype, yoco_needle, 1 needle, haystack stdlib\n"
        "mean 73.3% (95% interval 48.0 to 89.1), 15 samples, 5 trials a cell\n"
        "worst cell 20% at 1M tokens, depth 0%\n"
        "\n"
        "         % found, by depth in % of the haystack\n"
        "length |   0 100 |  mean\n"
        "-------+---------+------\n"
        "    4K | 100 100 | 100.0\n"
        "    1M |  20   - |  20.0\n"
        "- = not measured"
    )


def test_a_full_table_explains_nothing_missing():
    full = make_grid([[1.0]], [4096], [0.5])
    assert "not measured" not in terminal_table(full)
    assert "every measured cell 100%" in terminal_table(full)


def test_equally_bad_cells_are_counted():
    bad = make_grid([[0, 0, 0, 1]], [1024, 2048, 3072, 4096], [0.5], trials=5)
    assert "worst cell 0% at 1K tokens, depth 50% (and 2 others)" in terminal_table(bad)


@pytest.mark.parametrize(
    ("num_lengths", "num_depths"), [(1, 11), (8, 11), (35, 11), (3, 16), (35, 35), (1, 200)]
)
def test_tables_keep_to_80_columns_and_to_ascii(num_lengths, num_depths):
    shape = (num_depths, num_lengths)
    generator = np.random.default_rng(0)
    lengths = [4096 * (i + 1) for i in range(num_lengths)]
    depths = np.linspace(0, 1, num_depths)
    wide = make_grid(generator.random(shape), lengths, depths, trials=1)
    text = terminal_table(wide)
    assert text.isascii()
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) == 4 + num_lengths + (2 if num_depths > 11 else 3)


def test_what_does_not_fit_is_summed_up_by_length():
    depths = np.linspace(0, 1, 35)
    mean = np.ones((35, 3))
    mean[7, 1] = 0.5
    mean[20:, 1] = mean[:, 2] = np.nan
    lines = terminal_table(make_grid(mean, [1024, 2048, 4096], depths)).splitlines()
    assert " ".join(lines[4].split()) == "length mean % worst % at depth % depths measured"
    assert " ".join(lines[6].split()) == "1K 100.0 100 all 35 of 35"
    assert " ".join(lines[7].split()) == "2K 97.5 50 20.6 20 of 35"
    assert " ".join(lines[8].split()) == "4K - - - 0 of 35"


def test_csv_has_every_cell_and_no_invented_score(grid, tmp_path):
    path = tmp_path / "cells.csv"
    write_csv([grid, grid], path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == CSV_COLUMNS
    assert len(rows) == 8
    low, high = grid.interval
    for row in rows:
        column = grid.lengths.index(int(row["length_tokens"]))
        depth = grid.depths.index(float(row["depth_frac"]))
        assert int(row["trials"]) == grid.trials[depth, column]
        if isnan(grid.mean[depth, column]):
            assert (row["score"], row["low"], row["high"]) == ("", "", "")
        else:
            assert float(row["score"]) == grid.mean[depth, column]
            assert float(row["low"]) == low[depth, column]
            assert float(row["high"]) == high[depth, column]
    assert sum(row["score"] == "" for row in rows) == 2


def test_a_control_is_no_failure():
    """Nothing is there to be found: 0% is what it should be, and no cell is the worst."""
    control = make_grid([[0, 0], [0, 0.5]], [4096, 8192], [0.0, 1.0], num_needles=0)
    text = terminal_table(control)
    assert text == (
        "prototype, yoco_needle, no needle (control), haystack stdlib\n"
        "the value is in 12.5% of answers, though not in the text\n"
        "95% interval 2.2 to 47.1, 8 samples, 2 trials a cell\n"
        "most often: 50% at 8K tokens, depth 100%\n"
        "\n"
        "         % of answers with the value, by depth in % of the haystack\n"
        "length |   0 100 |  mean\n"
        "-------+---------+------\n"
        "    4K |   0   0 |   0.0\n"
        "    8K |   0  50 |  25.0"
    )
    silent = terminal_table(make_grid([[0, 0]], [4096, 8192], [0.5], num_needles=0))
    assert "in no answer" in silent and "worst" not in silent
    many = make_grid(np.zeros((35, 2)), [1024, 2048], np.linspace(0, 1, 35), num_needles=0)
    assert "most %" in terminal_table(many) and "worst" not in terminal_table(many)


def test_a_grid_of_which_nothing_was_measured(tmp_path):
    empty = make_grid([[np.nan, np.nan]], [4096, 8192], [0.5])
    text = terminal_table(empty)
    assert "no cell was measured" in text and "nan" not in text
    write_csv([empty], tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        assert [(r["score"], r["trials"]) for r in csv.DictReader(file)] == [("", "0")] * 2


def test_names_cannot_move_the_cursor_nor_fill_the_screen():
    grid = make_grid([[1.0]], [4096], [0.5], model="m\x1b[2J\u202e", haystack="h" * 10_000)
    text = terminal_table(grid)
    assert text.startswith("m\\x1b[2J\\u202e, yoco_needle") and "hhh...hhh" in text
    assert max(map(len, text.splitlines())) < 500


def test_csv_has_the_depth_achieved_and_no_formula(tmp_path):
    grid = make_grid(
        [[1, 1]],
        [4096, 8192],
        [0.5],
        model='=HYPERLINK("http://x")',
        haystack="@files\ud800",
        conditions={"dtype": "float32"},
        depth_achieved=np.array([[0.25, np.nan]]),
    )
    write_csv([grid], tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["depth_frac_achieved"] for row in rows] == ["0.25", ""]
    assert rows[0]["model"] == '\'=HYPERLINK("http://x")'
    assert rows[0]["haystack"] == "'@files\\ud800" and rows[0]["dtype"] == "float32"


def test_csv_appears_whole_or_not_at_all(tmp_path, grid, monkeypatch):
    write_csv([grid], tmp_path / "a.csv")
    whole = (tmp_path / "a.csv").read_bytes()
    monkeypatch.setattr(Grid, "interval", property(lambda grid: None))
    with pytest.raises(TypeError):
        write_csv([grid], tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes() == whole
    assert len(list(tmp_path.iterdir())) == 1
