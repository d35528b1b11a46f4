"""Models x tasks, the mean over tasks, and what is noted or refused."""

from __future__ import annotations

import numpy as np
import pytest
from comparison_samples import accuracies, compare, needles, write_models
from result_samples import benchmark_sample, write_run

from heatmaps.comparison import Comparison, ModelScore
from heatmaps.paired_statistics import PairedDifference, holm, mcnemar


def scores_of(comparison: Comparison, task: str) -> list[ModelScore]:
    (found,) = [entry for entry in comparison.tasks if entry.task == task]
    scores = [score for score in found.scores if score is not None]
    assert len(scores) == len(found.scores)
    return scores


def difference_of(score: ModelScore) -> PairedDifference:
    assert score.difference is not None
    return score.difference


@pytest.fixture
def models(tmp_path):
    return write_models(tmp_path, {"A": 0.5, "B": 0.75, "C": 1.0})


def test_scores_and_differences_are_those_of_the_files(models):
    comparison = compare(models)
    assert comparison.models == ("A", "B", "C")
    assert [task.task for task in comparison.tasks] == ["arc_easy", "piqa", "yoco_needle"]
    first, second, third = scores_of(comparison, "arc_easy")
    chances = [0.5, 0.75, 1.0]
    values = [
        [line["acc"] for line in accuracies(10 + n, chance)] for n, chance in enumerate(chances)
    ]
    for score, own in zip((first, second, third), values, strict=True):
        assert score.score == pytest.approx(np.mean(own))
        assert score.standard_error == pytest.approx(np.std(own, ddof=1) / 60**0.5)
    assert first.difference is None and first.p_corrected is None
    found = difference_of(third)
    assert (found.wins, found.losses) == (values[0].count(0.0), 0)
    assert found.p_value == pytest.approx(mcnemar(found.wins, 0))
    needle = scores_of(comparison, "yoco_needle")
    assert [score.score for score in needle] == pytest.approx([5 / 6, 11 / 12, 1.0])


def test_p_values_are_corrected_over_the_tasks_of_each_model(models):
    comparison = compare(models)
    for number in (1, 2):
        own = [score for task in comparison.tasks if (score := task.scores[number])]
        assert len(own) == 3
        raw = [difference_of(score).p_value for score in own]
        assert [score.p_corrected for score in own] == pytest.approx(holm(raw))


def test_the_mean_is_that_of_the_benchmarks(models):
    comparison = compare(models)
    # Needles are read from their grid; the paper's mean is one of accuracies.
    assert comparison.mean_tasks == ("arc_easy", "piqa")
    pairs = [scores_of(comparison, task) for task in comparison.mean_tasks]
    for number, mean in enumerate(comparison.means):
        own = [pair[number] for pair in pairs]
        assert mean.score == pytest.approx(np.mean([score.score for score in own]))
        errors = [score.standard_error for score in own]
        assert mean.standard_error == pytest.approx(sum(error**2 for error in errors) ** 0.5 / 2)
    second = comparison.means[1]
    assert second.low < second.difference < second.high
    assert second.difference == pytest.approx(second.score - comparison.means[0].score)
    assert np.isnan(comparison.means[0].difference)


def test_a_task_that_one_model_lacks_is_not_zero(tmp_path, models):
    alone = write_run(tmp_path / "more", {"boolq": accuracies(1, 0.5)}, pretrained="/models/B")
    models[1][1].append(alone)
    comparison = compare(models)
    (boolq,) = [task for task in comparison.tasks if task.task == "boolq"]
    assert [score is not None for score in boolq.scores] == [False, True, False]
    assert boolq.scores[1] and boolq.scores[1].difference is None
    assert "boolq" not in comparison.mean_tasks
    assert "boolq: not measured for A, C" in comparison.notes


def test_another_task_or_model_changes_no_figure(tmp_path, models):
    def found(comparison: Comparison):
        own = difference_of(scores_of(comparison, "piqa")[1])
        return own.low, own.high, own.p_value

    alone = compare([models[0], models[1]])
    assert found(alone) == found(compare(models))
    fewer = [
        (label, [next(path.glob("samples_piqa_*")) for path in paths]) for label, paths in models
    ]
    assert found(compare(fewer)) == found(alone)
    assert found(compare(models, seed=1)) != found(alone)


def test_only_cells_that_all_models_have_are_scored(tmp_path):
    long = needles(0.0), needles(0.5, lengths=(1024, 2048))
    models = [
        (label, [write_run(tmp_path / label, {"yoco_needle": lines})])
        for label, lines in zip("AB", long, strict=True)
    ]
    comparison = compare(models)
    (task,) = comparison.tasks
    assert (task.num_documents, task.num_left_out) == (12, 3)
    assert [s.score for s in scores_of(comparison, "yoco_needle")] == pytest.approx([2 / 3, 5 / 6])
    assert comparison.notes == (
        "yoco_needle: 3 cells that not every model has left out of scores and differences",
    )
    assert comparison.means == ()


def test_notes_on_what_the_numbers_hide(tmp_path):
    lines = accuracies(1, 0.5)
    models = [
        (label, [write_run(tmp_path / label, {"piqa": lines}, original=1838)]) for label in "AB"
    ]
    notes = compare(models).notes
    assert notes[0] == "piqa: 60 of its 1,838 documents"
    assert "every document gives the same difference between B and A" in notes[1]
    assert "after 60 documents up to 4.9% of others" in notes[1]


def test_the_order_is_the_papers_then_by_name_and_number(tmp_path):
    names = ["zeta", "needles_n16", "piqa", "needles_n2", "arc_easy", "sciq", "alpha"]
    tasks = {name: [benchmark_sample(0, acc=1.0), benchmark_sample(1, acc=0.0)] for name in names}
    models = [(label, [write_run(tmp_path / label, tasks)]) for label in "AB"]
    expected = ["arc_easy", "piqa", "sciq", "alpha", "needles_n2", "needles_n16", "zeta"]
    assert [task.task for task in compare(models).tasks] == expected


def test_what_is_no_comparison_is_refused(tmp_path, models):
    with pytest.raises(ValueError, match=r"1 model\(s\) given: a comparison needs two or more"):
        compare(models[:1])
    with pytest.raises(ValueError, match="labelled A, A: give each a label of its own"):
        compare([models[0], models[0]])
    other = write_run(tmp_path / "D", {"sciq": accuracies(1, 0.5)})
    with pytest.raises(ValueError, match=r"no task that two of the models have \(A: arc_easy, "):
        compare([models[0], ("D", [other])])
    with pytest.raises(FileNotFoundError, match="nowhere: no such file or folder"):
        compare([models[0], ("D", [tmp_path / "nowhere"])])
