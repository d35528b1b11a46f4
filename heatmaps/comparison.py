"""Models x tasks: scores, paired differences to the first model, and the mean over tasks."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from heatmaps.metrics import PAPER_METRICS
from heatmaps.paired_statistics import (
    PairedDifference,
    holm,
    mean_difference,
    paired_difference,
)
from heatmaps.pairing import PairedTask, pair
from heatmaps.result_files import counted
from heatmaps.run_files import ModelFiles
from heatmaps.task_results import TaskResult, read_task_result


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelScore:
    """One model on one task.

    Attributes:
        result: as read from its files.
        score, standard_error, interval: over the documents that are compared.
        difference: to the first model; None for that model itself, or where it lacks the task.
        p_corrected: Holm's, over the tasks of this model.
    """

    result: TaskResult
    score: float
    standard_error: float
    interval: tuple[float, float]
    difference: PairedDifference | None
    p_corrected: float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskComparison:
    """All models on one task.

    Attributes:
        is_fraction: the score is a mean of numbers 0..1 of which higher is better.
        num_documents: how many each model was compared on.
        num_available: how many the task has, None if the files do not say.
        num_left_out: cells of a needle grid that not every model has.
        scores: one for each model, None for a model that lacks the task.
    """

    task: str
    metric: str
    higher_is_better: bool
    is_fraction: bool
    is_needle: bool
    num_documents: int
    num_available: int | None
    num_left_out: int
    scores: tuple[ModelScore | None, ...]


@dataclass(frozen=True, kw_only=True)
class MeanScore:
    """One model's unweighted mean over tasks; the difference is to the first model, NaN for it."""

    score: float
    standard_error: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """What there is to report.

    Attributes:
        models: labels; the first is what the others are compared with.
        tasks: the paper's in the order of its table, then the others by name, needles last.
        mean_tasks: tasks that the mean is over; fewer than two, and there is none.
        means: one for each model, or empty.
        notes: one-line remarks for the user.
    """

    models: tuple[str, ...]
    tasks: tuple[TaskComparison, ...]
    mean_tasks: tuple[str, ...]
    means: tuple[MeanScore, ...]
    notes: tuple[str, ...]
    seed: int
    resamples: int


def compare_models(models: Sequence[ModelFiles], *, seed: int, resamples: int) -> Comparison:
    """Compares every model with the first on every task that both have.

    Args:
        models: the result files of each.
        seed: of the resamples; those of a task depend on it and the task's name alone.
        resamples: of bootstrap and permutation.

    Raises:
        ValueError: fewer than two models, a label given twice, no common task, or results that
            cannot be paired.
    """
    labels = [model.label for model in models]
    if len(models) < 2:
        raise ValueError(f"{len(models)} model(s) given: a comparison needs two or more; name them")
    if len(set(labels)) < len(labels):
        raise ValueError(f"models are labelled {', '.join(labels)}: give each a label of its own")
    results = [
        {task: read_task_result(model.label, run) for task, run in model.newest.items()}
        for model in models
    ]
    notes = [note for model in models for note in model.notes]
    names = sorted({name for found in results for name in found}, key=_paper_order)
    if not any(sum(name in found for found in results) > 1 for name in names):
        had = "; ".join(
            f"{label}: {', '.join(sorted(found))}"
            for label, found in zip(labels, results, strict=True)
        )
        raise ValueError(f"no task that two of the models have ({had}): run one task with both")
    tasks = [_task(name, results, seed, resamples) for name in names]
    tasks.sort(key=lambda task: task.is_needle)
    tasks = _corrected(tasks, len(models))
    mean_tasks = [task for task in tasks if _in_mean(task)]
    return Comparison(
        models=tuple(labels),
        tasks=tuple(tasks),
        mean_tasks=tuple(task.task for task in mean_tasks),
        means=_means(mean_tasks, len(models)) if len(mean_tasks) > 1 else (),
        notes=(*notes, *(note for task in tasks for note in _notes(task, labels))),
        seed=seed,
        resamples=resamples,
    )


def _paper_order(name: str) -> tuple[int, list[tuple[str, int]]]:
    paper = list(PAPER_METRICS)
    # n2 before n16.
    parts = [(text, int(number or 0)) for text, number in re.findall(r"(\D+)(\d*)", name)]
    return paper.index(name) if name in paper else len(paper), parts


def _task(
    name: str, results: Sequence[Mapping[str, TaskResult]], seed: int, resamples: int
) -> TaskComparison:
    having = [number for number, found in enumerate(results) if name in found]
    paired = pair([results[number][name] for number in having])
    scores: list[ModelScore | None] = [None] * len(results)
    for place, number in enumerate(having):
        scores[number] = _model_score(paired, place, 0 in having, seed, resamples)
    return TaskComparison(
        task=name,
        metric=paired.metric,
        higher_is_better=paired.scores[0].higher_is_better,
        is_fraction=all(scores.is_fraction for scores in paired.scores),
        is_needle=paired.results[0].is_needle,
        num_documents=len(paired.scores[0]),
        num_available=paired.results[0].num_available,
        num_left_out=paired.num_left_out,
        scores=tuple(scores),
    )


def _model_score(
    paired: PairedTask, place: int, has_first: bool, seed: int, resamples: int
) -> ModelScore:
    own = paired.scores[place]
    difference = None
    if place and has_first:
        # One stream a task: another task, or another model, changes nothing here.
        digest = hashlib.sha256(paired.task.encode()).digest()
        rng = np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])
        difference = paired_difference(paired.scores[0], own, rng=rng, resamples=resamples)
    return ModelScore(
        result=paired.results[place],
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
    return task.is_fraction and not task.is_needle and None not in task.scores


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
    if task.num_left_out:
        notes.append(
            f"{task.task}: {counted(task.num_left_out, 'cell')} that not every model has left out "
            "of scores and differences"
        )
    elif task.num_available is not None and task.num_documents < task.num_available:
        notes.append(f"{task.task}: {task.num_documents:,} of its {task.num_available:,} documents")
    for label, own in zip(labels, task.scores, strict=True):
        if own and own.difference and np.ptp(own.difference.resampled) == 0:
            bound = 1 - 0.05 ** (1 / task.num_documents)
            notes.append(
                f"{task.task}: every document gives the same difference between {label} and "
                f"{labels[0]}, so the bootstrap has nothing to vary and its interval is a point; "
                f"after {counted(task.num_documents, 'document')} up to {100 * bound:.2g}% of "
                "others may be otherwise (95%)"
            )
    return notes
