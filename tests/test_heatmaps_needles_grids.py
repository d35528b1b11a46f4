"""Grids against a slow, obvious count."""

from math import isnan

import numpy as np
import pandas as pd
import pytest

from heatmaps.needles.grids import NOT_FINITE, NOT_RUN, Grid, grids_of
from heatmaps.needles.planned import PlannedGrid

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
    assert grid.num_like(grid.worst) == 2
    (grid,) = grids_of(frame([*rows, (4096, 0.5, 0.0)]))
    assert (grid.worst.length_tokens, grid.worst.trials) == (4096, 2)


def test_a_grid_that_contradicts_itself_is_our_own_mistake():
    with pytest.raises(AssertionError):
        Grid(**HEAD, lengths=(1024,), depths=(0.0,), mean=np.zeros((1, 1)), trials=np.zeros((1, 1)))


def test_no_score_is_no_trial():
    rows = [(1024, 0.0, 1.0), (1024, 0.0, float("nan")), (1024, 1.0, float("nan"))]
    samples = frame(rows).assign(not_measured=["", NOT_FINITE, "not built: too short"])
    (grid,) = grids_of(samples)
    assert grid.trials.tolist() == [[1], [0]]
    assert grid.mean[0, 0] == 1.0 and isnan(grid.mean[1, 0])
    assert (grid.overall, grid.num_samples, grid.num_prompts) == (1.0, 1, 3)
    assert grid.not_measured == {NOT_FINITE: 1, "not built: too short": 1}


def test_a_grid_of_which_nothing_was_measured():
    (grid,) = grids_of(frame([(1024, 0.5, float("nan"))]).assign(not_measured=NOT_FINITE))
    assert isnan(grid.overall) and np.isnan(grid.overall_interval).all()
    assert grid.trials_range == (0, 0) and not grid.measured.any()


def planned(samples, *plans):
    """The samples, each plan's with its seed in a file of its own."""
    samples.attrs["plans"] = {
        file: PlannedGrid(lengths=lengths, depths=depths, trials=trials)
        for file, lengths, depths, trials in plans
    }
    return samples


def test_what_was_planned_and_not_run_is_part_of_the_grid():
    samples = frame([(1024, 0.0, 1.0), (1024, 1.0, 0.0)]).assign(file="a", seed="0")
    (grid,) = grids_of(planned(samples, ("a", (1024, 2048), (0.0, 0.5, 1.0), 2)))
    assert grid.lengths == (1024, 2048) and grid.depths == (0.0, 0.5, 1.0)
    assert grid.trials.tolist() == [[1, 0], [0, 0], [1, 0]]
    assert grid.not_measured == {NOT_RUN: 12 - 2}
    # Negative control: a plan that was followed adds nothing.
    (grid,) = grids_of(planned(samples, ("a", (1024,), (0.0, 1.0), 1)))
    assert grid.measured.all() and grid.not_measured == {}


def test_runs_that_add_up_to_a_grid_leave_nothing_to_run():
    whole = frame([(1024, 0.0, 1.0), (2048, 0.0, 1.0)]).assign(seed="0")
    plan = ((1024, 2048), (0.0,), 1)
    samples = planned(whole.assign(file=["a", "b"]), ("a", *plan), ("b", *plan))
    assert grids_of(samples)[0].not_measured == {}
    # Negative control: of another seed these are other prompts.
    samples = planned(whole.assign(file=["a", "b"], seed=["0", "1"]), ("a", *plan), ("b", *plan))
    assert grids_of(samples)[0].not_measured == {NOT_RUN: 2}


def test_other_conditions_are_another_grid():
    parts = [
        frame([(1024, 0.0, 1.0)], haystack_sha256="a" * 64, dtype="float32"),
        frame([(2048, 0.0, 0.0)], haystack_sha256="b" * 64, dtype="float32"),
        frame([(2048, 0.0, 0.5)], haystack_sha256="b" * 64, dtype="bfloat16"),
        frame([(4096, 0.0, 0.5)], haystack_sha256="b" * 64, dtype="bfloat16", model="n"),
        frame([(4096, 0.0, 0.5)], haystack_sha256="b" * 64, model="n", haystack="other"),
    ]
    grids = grids_of(pd.concat(parts).fillna({"dtype": ""}))
    assert [(g.model, g.lengths, g.variant) for g in grids] == [
        ("m", (1024,), ("text sha aaaaaa", "dtype float32")),
        ("m", (2048,), ("text sha bbbbbb", "dtype bfloat16")),
        ("m", (2048,), ("text sha bbbbbb", "dtype float32")),
        # dtype is the model's own: what another model has says nothing of this one
        ("n", (4096,), ("text sha bbbbbb",)),
        ("n", (4096,), ()),
    ]


def test_needles_that_are_not_where_they_were_asked():
    depths = [0.0, 0.1, 0.5, 1.0]
    rows = [(1024, depth, 1.0) for depth in depths] * 2
    achieved = [0.04, 0.1, 0.6, 0.74, 0.06, 0.12, 0.5, float("nan")]
    (grid,) = grids_of(frame(rows).assign(depth_frac_achieved=achieved))
    # steps of 0.1, 0.1, 0.4 and 0.5 to the nearest depth asked
    assert grid.depth_is_off[:, 0].tolist() == [True, False, False, True]
    assert grid.depth_achieved is not None
    assert grid.depth_achieved[:, 0].tolist() == pytest.approx([0.05, 0.11, 0.55, 0.74])
    # Negative control: half a step is near enough, and who does not say it is not accused.
    (grid,) = grids_of(frame(rows[:4]).assign(depth_frac_achieved=[0.05, 0.05, 0.3, 0.75]))
    assert not grid.depth_is_off.any()
    assert not grids_of(frame(rows))[0].depth_is_off.any()


def test_a_sole_depth_is_off_by_a_twentieth():
    for achieved, is_off in ((0.54, False), (0.56, True)):
        samples = frame([(1024, 0.5, 1.0)]).assign(depth_frac_achieved=achieved)
        assert grids_of(samples)[0].depth_is_off.all() == is_off


def test_a_grid_beyond_memory_is_refused():
    rows = [(number + 1, number / 1000, 1.0) for number in range(1000)]
    with pytest.raises(ValueError, match="a grid of 1,000 lengths and 1,000 depths is more than"):
        grids_of(frame(rows))
