"""Differences of two grids: where both were measured, and nowhere else."""

from __future__ import annotations

import numpy as np

from heatmaps.needles.differences import GridDifference
from heatmaps.needles.grids import Grid

NAN = np.nan


def grid(model: str, lengths, depths, mean) -> Grid:
    mean = np.array(mean, dtype=np.float64)
    return Grid(
        model=model,
        task="yoco_needle",
        num_needles=1,
        ask="one",
        haystack="stdlib",
        lengths=tuple(lengths),
        depths=tuple(depths),
        mean=mean,
        trials=np.where(np.isnan(mean), 0, 2),
    )


def difference(first: Grid, second: Grid) -> GridDifference:
    return GridDifference(
        first=first, second=second, overall=0.1, overall_interval=(0.0, 0.2), num_samples=8
    )


def test_cells_are_subtracted_where_both_are():
    first = grid("A", [1024, 2048], [0.0, 1.0], [[1, 0.5], [NAN, 0.25]])
    second = grid("B", [2048, 4096], [0.0, 0.5, 1.0], [[1, 1], [0, 0], [0.25, NAN]])
    found = difference(first, second)
    assert (found.lengths, found.depths) == ((1024, 2048, 4096), (0.0, 0.5, 1.0))
    expected = np.array([[NAN, 0.5, NAN], [NAN, NAN, NAN], [NAN, 0.0, NAN]])
    np.testing.assert_array_equal(found.mean, expected)
    # A difference of nought was measured; a cell that one side lacks was not.
    np.testing.assert_array_equal(found.measured, ~np.isnan(expected))
    assert (found.model, found.task) == ("\N{GREEK CAPITAL LETTER DELTA} B", "yoco_needle")


def test_the_other_way_round_is_its_negative():
    first = grid("A", [1024], [0.0, 1.0], [[0.75], [0.5]])
    second = grid("B", [1024], [0.0, 1.0], [[0.25], [1.0]])
    np.testing.assert_array_equal(difference(first, second).mean, -difference(second, first).mean)
