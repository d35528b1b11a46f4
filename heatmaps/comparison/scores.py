"""What a comparison comes to: scores of models on tasks, and their means."""

from dataclasses import dataclass

from heatmaps.comparison.paired_statistics import PairedDifference
from heatmaps.comparison.task_results import TaskResult


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelScore:
    """One model on one task.

    Attributes:
        result: as read from its files.
        num_documents: that the model shares with the first or, for the first, with any other.
        num_left_out: cells of a needle grid that only one of this model and the first has.
        num_not_measured: documents that this model or the first has no score of.
        score, standard_error, interval: over these documents; a fraction, where it is one, is
            0..1 and not in percent.
        difference: to the first model; None for that model itself, or where it lacks the task.
        p_corrected: Holm's, over the tasks of this model.
    """

    result: TaskResult
    num_documents: int
    num_left_out: int
    num_not_measured: int
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
        num_available: documents that the task has, None if the files do not say.
        scores: one for each model, None for a model that lacks the task.
    """

    task: str
    metric: str
    higher_is_better: bool
    is_fraction: bool
    is_needle: bool
    num_available: int | None
    scores: tuple[ModelScore | None, ...]


@dataclass(frozen=True, kw_only=True)
class MeanScore:
    """One model's unweighted mean over tasks, 0..1.

    The difference is to the first model, -1..1 and not in points; NaN for that model itself.
    """

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
        tasks: the paper's in the order of its table, then the others by name, needles last; none
            where likelihood by position is all that compares.
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
