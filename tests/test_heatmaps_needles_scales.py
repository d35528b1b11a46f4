"""Scores and differences have scales of their own, whose ends and ticks agree."""

from __future__ import annotations

import numpy as np
import pytest
from grid_samples import make_grid

from heatmaps.needles.differences import GridDifference
from heatmaps.needles.scales import DIFFERENCES, SCORES, scale_of


def test_each_kind_has_its_scale():
    grid = make_grid([[1.0]], [1024], [0.5])
    difference = GridDifference(
        first=grid, second=grid, overall=0.0, overall_interval=(0.0, 0.0), num_samples=1
    )
    assert scale_of(grid) is SCORES
    assert scale_of(difference) is DIFFERENCES


@pytest.mark.parametrize(("scale", "low"), [(SCORES, 0), (DIFFERENCES, -1)])
def test_ticks_span_the_scale_and_say_percent(scale, low):
    assert (scale.low, scale.high) == (low, 1)
    assert (min(scale.ticks), max(scale.ticks)) == (scale.low, scale.high)
    for place, text in scale.ticks.items():
        assert float(text.rstrip("%")) == 100 * place


def test_no_difference_is_the_middle_of_the_colours():
    assert np.ptp(DIFFERENCES.colormap()(0.5)[:3]) < 0.03
