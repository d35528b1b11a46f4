"""Models x tasks: scores, paired differences to the first model, and the mean over tasks."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from heatmaps.comparison.document_scores import DocumentScores
from heatmaps.comparison.metrics import PAPER_METRICS, NotComparableError, OtherTokensError
from heatmaps.comparison.paired_statistics import (
    PairedDifference,
    holm,
    mean_difference,
    paired_difference,
)
from heatmaps.comparison.pairing import pair
from heatmaps.comparison.scores import Comparison, MeanScore, ModelScore, TaskComparison
from heatmaps.comparison.task_results import TaskResult, read_task_result
from heatmaps.result_files import counted
from heatmaps.run_files import ModelFiles


def compare_models(
    models: Sequence[ModelFiles],
    *,
    tasks: Sequence[str] | None = None,
    seed: int,
    resamples: int,
) -> Comparison:
    """Compares every model with the first on every task that both have.

    Args:
        models: the result files of each.
        tasks: only these, all of which have to be comparable; None takes what there is, and what
            cannot be compared becomes a note.
        seed: of the resamples; those of a task depend on it and the task's name alone.
        resamples: of bootstrap and permutation.

    Raises:
        ValueError: fewer than two models, a label given twice, no common task, a broken file.
        NotComparableError: a task of `tasks` cannot be compared, or none of all. Likelihood by
            position under two tokenizers is no such task, for there is its curve.
    """
    labels = [model.label for model in models]
    if len(models) < 2:
        raise ValueError(f"{len(models)} model(s) given: a comparison needs two or more; name them")
    if len(set(labels)) < len(labels):
        raise ValueError(f"models are labelled {', '.join(labels)}: give each a label of its own")
    compared: list[TaskComparison] = []
    refusals: list[NotComparableError] = []
    for name in sorted(_task_names(models, tasks), key=_paper_order):
        try:
            compared.append(_task(name, models, seed, resamples))
        except NotComparableError as refusal:
            # What cannot stand in the table is drawn by position, so it was not run in vain.
            if tasks is not None and not isinstance(refusal, OtherTokensError):
                raise
            refusals.append(refusal)
    if not any(isinstance(refusal, OtherTokensError) for refusal in refusals) and not any(
        sum(own is not None for own in task.scores) > 1 for task in compared
    ):
        raise NotComparableError("; ".join(map(str, refusals)))
    compared.sort(key=lambda task: task.is_needle)
    compared = _corrected(compared, len(models))
    mean_tasks = [task for task in compared if _in_mean(task)]
    return Comparison(
        models=tuple(labels),
        tasks=tuple(compared),
        mean_tasks=tuple(task.task for task in mean_tasks),
        means=_means(mean_tasks, len(models)) if len(mean_tasks) > 1 else (),
        notes=(
            *(note for model in models for note in model.notes),
            *(f"not compared: {refusal}" for refusal in refusals),
            *(note for task in compared for note in _notes(task, labels)),
        ),
        seed=seed,
        resamples=resamples,
    )


def _task_names(models: Sequence[ModelFiles], tasks: Sequence[str] | None) -> set[str]:
    """The tasks to compare; of those that a user names two models have to have each."""
    found = Counter(name for model in models for name in model.newest)
    had = "; ".join(
        f"{model.label}: {', '.join(sorted(model.newest)) or 'none'}" for model in models
    )
    for name in tasks or []:
        if found[name] < 2:
            raise ValueError(
                f"{name}: {'no' if not found[name] else 'only one'} model has results of it "
                f"({had}): run it with two, or leave it out"
            )
    if not any(number > 1 for number in found.values()):
        raise ValueError(f"no task that two of the models have ({had}): run one task with both")
    return set(found if tasks is None else tasks)


def _paper_order(name: str) -> tuple[int, list[tuple[str, int]], str]:
    paper = list(PAPER_METRICS)
    # n2 before n16.
    parts = [(text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", name)]
    return paper.index(name) if name in paper else len(paper), parts, name


def _task(name: str, models: Sequence[ModelFiles], seed: int, resamples: int) -> TaskComparison:
    results = [
        read_task_result(model.label, model.newest[name]) if name in model.newest else None
        for model in models
    ]
    having = [result for result in results if result is not None]
    first = having[0]
    num_first = len(first.scores)
    # Each with the first alone, so that one model changes nothing of another's.
    pairs = [
        pair(first, result) if result is not None and result is not first else None
        for result in results
    ]
    places = [found.places for found in pairs if found is not None] or [first.scores.measured]
    of_first = first.scores.select(np.unique(np.concatenate(places)))
    scores: list[ModelScore | None] = []
    for result, found in zip(results, pairs, strict=True):
        if result is None:
            scores.append(None)
        elif found is None:
            left_out = num_first - len(of_first) if len(having) == 1 else 0
            scores.append(_model_score(result, of_first, num_not_measured=left_out))
        else:
            difference = None
            if results[0] is not None:
                # One stream a task: another task, or another model, changes nothing here.
                digest = hashlib.sha256(name.encode()).digest()
                rng = np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])
                difference = paired_difference(
                    found.first, found.second, rng=rng, resamples=resamples
                )
            scores.append(
                _model_score(
                    *(result, found.second, difference, found.num_left_out),
                    num_not_measured=found.num_not_measured,
                )
            )
    return TaskComparison(
        task=name,
        metric=first.metric,
        higher_is_better=first.scores.higher_is_better,
        is_fraction=all(result.scores.is_fraction for result in having),
        is_needle=first.is_needle,
        num_available=first.num_available,
        scores=tuple(scores),
    )


def _model_score(
    result: TaskResult,
    own: DocumentScores,
    difference: PairedDifference | None = None,
    num_left_out: int = 0,
    *,
    num_not_measured: int = 0,
) -> ModelScore:
    return ModelScore(
        result=result,
        num_documents=len(own),
        num_left_out=num_left_out,
        num_not_measured=num_not_measured,
        score=own.score,
        standard_error=own.standard_error,
        interval=own.interval,
        difference=difference,
        p_corrected=None,
    )


def _corrected(tasks: Sequence[TaskComparison], num_models: int) -> list[TaskComparison]:
    """The tasks with p-values corrected over them, for each model by itself."""
    scores = [list(task.scores) for task in tasks]
    for number in range(num_models):
        compared = [
            (row, own, own.difference)
            for row in scores
            if (own := row[number]) is not None and own.difference is not None
        ]
        corrected = holm([difference.p_value for _, _, difference in compared])
        for (row, own, _), p_value in zip(compared, corrected, strict=True):
            row[number] = replace(own, p_corrected=p_value)
    return [replace(task, scores=tuple(row)) for task, row in zip(tasks, scores, strict=True)]


def _in_mean(task: TaskComparison) -> bool:
    """As the paper's table: benchmark accuracies that every model has; a missing one is not 0."""
    if not task.is_fraction or task.is_needle:
        return False
    return all(own is not None and not own.num_not_measured for own in task.scores)


def _means(tasks: Sequence[TaskComparison], num_models: int) -> tuple[MeanScore, ...]:
    means = []
    for number in range(num_models):
        own = [score for task in tasks if (score := task.scores[number]) is not None]
        differences = [score.difference for score in own if score.difference is not None]
        difference, low, high = mean_difference(differences) if differences else (float("nan"),) * 3
        errors = np.array([score.standard_error for score in own])
        means.append(
            MeanScore(
                score=float(np.mean([score.score for score in own])),
                standard_error=float(np.sqrt((errors**2).sum()) / len(own)),
                difference=difference,
                low=low,
                high=high,
            )
        )
    return tuple(means)


def _notes(task: TaskComparison, labels: Sequence[str]) -> list[str]:
    notes = []
    missing = [label for label, own in zip(labels, task.scores, strict=True) if own is None]
    if missing:
        notes.append(f"{task.task}: not measured for {', '.join(missing)}")
    having = [own for own in task.scores if own is not None]
    most = max(own.num_documents for own in having)
    for own in having:
        if missing_scores := len(own.result.scores) - len(own.result.scores.measured):
            notes.append(
                f"{task.task}: {counted(missing_scores, 'document')} not measured for "
                f"{own.result.label} (no score that is a number), left out for all that are "
                "compared with it"
            )
    left_out = [own for own in having if own.num_left_out]
    for own in left_out:
        notes.append(
            f"{task.task}: {counted(own.num_left_out, 'cell')} that only one of "
            f"{having[0].result.label} and {own.result.label} has left out; {own.result.label} is "
            f"compared on {counted(own.num_documents, 'prompt')}"
        )
    unmeasured = any(own.num_not_measured for own in having)
    if (
        not left_out
        and not unmeasured
        and task.num_available is not None
        and most < task.num_available
    ):
        notes.append(f"{task.task}: {most:,} of its {task.num_available:,} documents")
    for label, own in zip(labels, task.scores, strict=True):
        if own is None or own.difference is None:
            continue
        # the interval of a single document is none
        if own.num_documents > 1 and np.ptp(own.difference.resampled) == 0:
            bound = 1 - 0.05 ** (1 / own.num_documents)
            notes.append(
                f"{task.task}: every document gives the same difference between {label} and "
                f"{labels[0]}, so the bootstrap has nothing to vary and its interval is a point; "
                f"after {counted(own.num_documents, 'document')} up to {100 * bound:.2g}% of "
                "others may be otherwise (95%)"
            )
    return notes
