"""Wilson's interval solves its equation."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from heatmaps.intervals import wilson_interval


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (3, 5), (5, 5), (437, 440)])
def test_wilson_bounds_solve_their_equation(successes, trials):
    """The bounds are where the true chance p is 1.96 of its own standard errors away."""
    mean = np.array(successes / trials)
    low, high = (float(x) for x in wilson_interval(mean, np.array(trials)))
    assert 0 <= low <= mean <= high <= 1
    for bound in (low, high):
        if bound not in (0.0, 1.0):
            distance = abs(bound - mean) / sqrt(bound * (1 - bound) / trials)
            assert distance == pytest.approx(1.959964, rel=1e-6)
    # Negative control: the textbook interval has no width where all trials agree.
    assert high - low > 2 * 1.96 * sqrt(mean * (1 - mean) / trials) or 0 < mean < 1


def test_wilson_known_values_and_edges():
    # Newcombe (1998), table I: 81/263 and 0/20, Wilson without continuity correction.
    low, high = wilson_interval(np.array([81 / 263, 0.0, 1.0, np.nan]), np.array([263, 20, 20, 0]))
    np.testing.assert_allclose(low, [0.2553, 0.0, 0.8389, np.nan], atol=5e-5)
    np.testing.assert_allclose(high, [0.3662, 0.1611, 1.0, np.nan], atol=5e-5)
    assert low[1] == 0.0
    assert high[2] == 1.0
