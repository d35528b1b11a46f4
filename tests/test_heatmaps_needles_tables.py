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
