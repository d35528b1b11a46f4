"""Grids against a slow, obvious count."""

from math import isnan

import numpy as np
import pandas as pd
import pytest

from heatmaps.needles.grids import Grid, grids_of

HEAD = {"model": "m", "task": "t", "num_needles": 1, "ask": "one", "haystack": "h"}


def frame(rows, **head):
    return pd.DataFrame(
        [
            HEAD | head | {"length_tokens": length, "depth_frac": depth, "score": score}
            for length, depth, score in rows
        ]
    )


@pytest.fixture
def rows():
    generator = np.random.default_rng(0)
    lengths, depths = [4096, 1024, 1048576], [1.0, 0.25, 0.0, 0.7]
    return [
        (int(generator.choice(lengths)), float(generator.choice(depths)), float(score))
        for score in generator.integers(0, 2, 60)
        if generator.random() < 0.9
    ]


def test_grid_equals_a_count_by_hand(rows):
    # One cell is left out, so that not measured is met.
    rows = [row for row in rows if row[:2] != (1024, 0.7)]
    (grid,) = grids_of(frame(rows))
    assert grid.lengths == (1024, 4096, 1048576)
    assert grid.depths == (0.0, 0.25, 0.7, 1.0)
    for column, length in enumerate(grid.lengths):
        of_length = [score for at, _, score in rows if at == length]
        assert grid.mean_by_length[column] == pytest.approx(sum(of_length) / len(of_length))
        for row, depth in enumerate(grid.depths):
            scores = [score for *at, score in rows if at == [length, depth]]
            assert grid.trials[row, column] == len(scores)
            if scores:
                assert grid.mean[row, column] == pytest.approx(sum(scores) / len(scores))
            else:
                assert isnan(grid.mean[row, column])
    assert grid.num_samples == len(rows)
    assert grid.overall == pytest.approx(sum(row[2] for row in rows) / len(rows))
    assert grid.measured.sum() == 11


def test_not_measured_is_not_zero(rows):
    """Negative control: were missing cells counted as zero, these would differ."""
    (grid,) = grids_of(frame([(1024, 0.0, 1.0), (2048, 1.0, 1.0)]))
    assert np.isnan(grid.mean).tolist() == [[False, True], [True, False]]
    assert grid.overall == 1.0
    assert grid.mean_by_length.tolist() == [1.0, 1.0]
    assert grid.worst.mean == 1.0
    low, high = grid.interval
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == np.isnan(grid.mean).tolist()
    zeroed = np.nan_to_num(grid.mean)
    assert zeroed.mean() != grid.overall


def test_one_grid_for_each_thing_measured():
    parts = [
        frame([(1024, 0.0, 1.0)]),
        frame([(1024, 0.0, 0.0)], task="u"),
        frame([(1024, 0.0, 1.0)], num_needles=8),
        frame([(1024, 0.0, 0.0)], num_needles=2),
        frame([(1024, 0.0, 1.0)], model="a"),
        frame([(1024, 0.0, 0.0)], haystack="stdlib"),
        frame([(1024, 0.0, 0.5)], num_needles=8, ask="all"),
    ]
    grids = grids_of(pd.concat(parts))
    found = [(g.model, g.task, g.num_needles, g.ask, g.haystack, g.overall) for g in grids]
    assert found == [
        ("a", "t", 1, "one", "h", 1.0),
        ("m", "t", 1, "one", "h", 1.0),
        ("m", "t", 1, "one", "stdlib", 0.0),
        ("m", "t", 2, "one", "h", 0.0),
        ("m", "t", 8, "all", "h", 0.5),
        ("m", "t", 8, "one", "h", 1.0),
        ("m", "u", 1, "one", "h", 0.0),
    ]


def test_overall_weighs_samples_as_lm_eval_does():
    (grid,) = grids_of(frame([(1024, 0.0, 1.0)] * 3 + [(1024, 1.0, 0.0)]))
    assert grid.overall == 0.75
    assert grid.trials_range == (1, 3)


def test_worst_cell_prefers_more_trials_then_the_shorter_length():
    rows = [(4096, 0.5, 0.0), (2048, 0.9, 0.0), (8192, 0.0, 1.0)]
    (grid,) = grids_of(frame(rows))
    assert (grid.worst.length_tokens, grid.worst.depth_frac) == (2048, 0.9)
    assert grid.num_worst == 2
    (grid,) = grids_of(frame([*rows, (4096, 0.5, 0.0)]))
    assert (grid.worst.length_tokens, grid.worst.trials) == (4096, 2)


def test_a_grid_that_contradicts_itself_is_our_own_mistake():
    with pytest.raises(AssertionError):
        Grid(**HEAD, lengths=(1024,), depths=(0.0,), mean=np.zeros((1, 1)), trials=np.zeros((1, 1)))
