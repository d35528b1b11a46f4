"""The paper's rows, and ours only where they are of the same protocol."""

from __future__ import annotations

import numpy as np
import pytest
from comparison_samples import accuracies, compare, needles
from result_samples import benchmark_sample, write_run

from heatmaps.comparison.paper import (
    MULTI_NEEDLE_TASKS,
    PAPER_TASKS,
    multi_needle_rows,
    zero_shot_rows,
)


def compared(tmp_path, tasks, **content):
    models = [(label, [write_run(tmp_path / label, tasks, **content)]) for label in "AB"]
    return compare(models, seed=0, resamples=100)


def test_printed_means_are_the_means_of_their_rows(tmp_path):
    rows = zero_shot_rows(compared(tmp_path, {"piqa": accuracies(1, 0.5)}))
    assert list(rows)[-2:] == ["A", "B"]
    assert len(rows) == 7
    for model, row in rows.items():
        scores = [row[task] for task in PAPER_TASKS]
        if model in "AB":
            # One task of eight has no mean of eight.
            assert row["mean"] is None and scores.count(None) == 7
        else:
            assert row["mean"] == pytest.approx(np.mean(np.array(scores, float)), abs=0.0006)


def test_all_eight_tasks_have_a_mean(tmp_path):
    tasks = {
        name: [benchmark_sample(n, acc=float(n < 3), acc_norm=float(n < 4)) for n in range(5)]
        for name in PAPER_TASKS
    }
    row = zero_shot_rows(compared(tmp_path, tasks))["A"]
    # HellaSwag alone by its normalised accuracy.
    assert row["hellaswag"] == pytest.approx(0.8)
    assert row["mean"] == pytest.approx((7 * 0.6 + 0.8) / 8)


def test_few_shot_runs_do_not_stand_beside_zero_shot_ones(tmp_path):
    assert zero_shot_rows(compared(tmp_path, {"piqa": accuracies(1, 0.5)}, num_fewshot=5)) == {}


def test_many_needles_at_the_papers_length_alone(tmp_path):
    tasks = {
        MULTI_NEEDLE_TASKS[1]: needles(0.5, lengths=(131072,)),
        MULTI_NEEDLE_TASKS[8]: needles(0.5, lengths=(4096,)),
    }
    rows = multi_needle_rows(compared(tmp_path, tasks))
    assert rows["YOCO-3B-1M"] == {"N = 1": 0.98, "N = 2": 0.98, "N = 4": 0.84, "N = 8": 0.56}
    assert rows["A"] == {
        "N = 1": pytest.approx(5 / 6),
        "N = 2": None,
        "N = 4": None,
        "N = 8": None,
    }
    assert multi_needle_rows(compared(tmp_path / "b", {"piqa": accuracies(1, 0.5)})) == {}
