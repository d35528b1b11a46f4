"""Differences of two grids: where both were measured, and nowhere else."""

from __future__ import annotations

import numpy as np
from grid_samples import make_grid

from heatmaps.needles.differences import GridDifference
from heatmaps.needles.grids import Grid

NAN = np.nan


def difference(first: Grid, second: Grid) -> GridDifference:
    return GridDifference(
        first=first, second=second, overall=0.1, overall_interval=(0.0, 0.2), num_samples=8
    )


def test_cells_are_subtracted_where_both_are():
    first = make_grid([[1, 0.5], [NAN, 0.25]], [1024, 2048], [0.0, 1.0], model="A")
    second = make_grid([[1, 1], [0, 0], [0.25, NAN]], [2048, 4096], [0.0, 0.5, 1.0], model="B")
    found = difference(first, second)
    assert (found.lengths, found.depths) == ((1024, 2048, 4096), (0.0, 0.5, 1.0))
    expected = np.array([[NAN, 0.5, NAN], [NAN, NAN, NAN], [NAN, 0.0, NAN]])
    np.testing.assert_array_equal(found.mean, expected)
    # A difference of nought was measured; a cell that one side lacks was not.
    np.testing.assert_array_equal(found.measured, ~np.isnan(expected))
    assert (found.model, found.task) == ("\N{GREEK CAPITAL LETTER DELTA} B", "yoco_needle")


def test_the_other_way_round_is_its_negative():
    first = make_grid([[0.75], [0.5]], [1024], [0.0, 1.0], model="A")
    second = make_grid([[0.25], [1.0]], [1024], [0.0, 1.0], model="B")
    np.testing.assert_array_equal(difference(first, second).mean, -difference(second, first).mean)
