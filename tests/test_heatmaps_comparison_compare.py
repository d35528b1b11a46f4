"""Models x tasks, the mean over tasks, and what is noted or refused."""

from __future__ import annotations

import numpy as np
import pytest
from comparison_samples import accuracies, compare, needles, write_models
from result_samples import benchmark_sample, write_run

from heatmaps.comparison.paired_statistics import PairedDifference, holm, mcnemar
from heatmaps.comparison.scores import Comparison, ModelScore


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


def test_only_cells_that_both_models_have_are_scored(tmp_path):
    long = needles(0.0), needles(0.5, lengths=(1024, 2048))
    models = [
        (label, [write_run(tmp_path / label, {"yoco_needle": lines})])
        for label, lines in zip("AB", long, strict=True)
    ]
    comparison = compare(models)
    scores = scores_of(comparison, "yoco_needle")
    assert [(own.num_documents, own.num_left_out) for own in scores] == [(12, 0), (12, 3)]
    assert [own.score for own in scores] == pytest.approx([2 / 3, 5 / 6])
    assert comparison.notes == (
        "yoco_needle: 3 cells that only one of A and B has left out; B is compared on 12 prompts",
    )
    assert comparison.means == ()


def test_a_model_with_fewer_cells_changes_nothing_of_another(tmp_path):
    runs = {"A": needles(0.5), "B": needles(1.0), "C": needles(1.0, lengths=(1024,))}
    models = [
        (label, [write_run(tmp_path / label, {"yoco_needle": lines})])
        for label, lines in runs.items()
    ]
    two, three = (scores_of(compare(models[:n]), "yoco_needle") for n in (2, 3))
    assert [own.num_documents for own in three] == [18, 18, 6]
    for own, other in zip(two, three, strict=False):
        assert (own.score, own.interval) == (other.score, other.interval)
    found, again = difference_of(two[1]), difference_of(three[1])
    assert (found.difference, found.p_value) == (again.difference, again.p_value)
    assert (found.low, found.high) == (again.low, again.high)
    assert difference_of(three[2]).num_documents == 6


def test_what_cannot_be_compared_is_left_out_and_said(tmp_path):
    """A task without a metric, and one whose documents differ, stand in no other task's way."""
    cola = [benchmark_sample(n, mcc=[n % 2, 0]) for n in range(4)]
    models = []
    for number, label in enumerate("AB"):
        tasks = {
            "arc_easy": accuracies(number, 0.5),
            "piqa": accuracies(number, 0.5, count=20 + number),
        }
        reported: dict = {"arc_easy": None, "piqa": None}
        if label == "A":
            tasks, reported = tasks | {"cola": cola}, reported | {"cola": {"mcc": 0.3}}
        models.append((label, [write_run(tmp_path / label, tasks, reported=reported)]))
    comparison = compare(models)
    assert [task.task for task in comparison.tasks] == ["arc_easy"]
    assert len(comparison.notes) == 2
    piqa, no_metric = comparison.notes
    assert piqa.startswith("not compared: piqa: A (20 documents) and B (21) were not run on the ")
    assert no_metric.startswith("not compared: cola: no metric to compare documents by (mcc: ")
    # One that is asked for by name is refused.
    assert compare(models, tasks=["arc_easy"]).notes == ()
    with pytest.raises(ValueError, match=r"piqa: A \(20 documents\) and B \(21\) were not run"):
        compare(models, tasks=["arc_easy", "piqa"])
    with pytest.raises(ValueError, match=r"cola: only one model has results of it \(A: cola; B: n"):
        compare(models, tasks=["cola"])
    with pytest.raises(ValueError, match="sciq: no model has results of it"):
        compare(models, tasks=["sciq"])


def test_notes_on_what_the_numbers_hide(tmp_path):
    lines = accuracies(1, 0.5)
    models = [
        (label, [write_run(tmp_path / label, {"piqa": lines}, original=1838)]) for label in "AB"
    ]
    notes = compare(models).notes
    assert notes[0] == "piqa: 60 of its 1,838 documents"
    assert "every document gives the same difference between B and A" in notes[1]
    assert "after 60 documents up to 4.9% of others" in notes[1]


def test_one_document_has_no_interval_and_no_note_on_it(tmp_path):
    models = []
    for label, right in (("A", 1.0), ("B", 0.0)):
        lines = {"one": [benchmark_sample(0, acc=right)]}
        models.append((label, [write_run(tmp_path / label, lines)]))
    assert compare(models).notes == ()


def test_the_order_is_the_papers_then_by_name_and_number(tmp_path):
    names = [
        *("zeta", "needles_n16", "piqa", "needles_n2", "arc_easy", "sciq", "alpha"),
        *("3wikimqa", "2wikimqa", "alpha_01", "alpha_1"),
    ]
    tasks = {name: [benchmark_sample(0, acc=1.0), benchmark_sample(1, acc=0.0)] for name in names}
    models = [(label, [write_run(tmp_path / label, tasks)]) for label in "AB"]
    expected = [
        *("arc_easy", "piqa", "sciq", "2wikimqa", "3wikimqa", "alpha", "alpha_01", "alpha_1"),
        *("needles_n2", "needles_n16", "zeta"),
    ]
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
