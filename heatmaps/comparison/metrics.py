"""Which metric of a task is compared, and how its values make the score that lm-eval reported.

The metric is, in this order:

1. for the eight tasks of the paper's table the one that the table uses (`PAPER_METRICS`);
2. else the first of `FAVOURED_METRICS` that the task has;
3. else the first that the task itself lists.

Metrics that are no number a document, or whose score is no mean or function of a mean (F1 and
Matthews' correlation over a whole set, BLEU), are passed over: their parts cannot be resampled
from the files. That a score is what we take it for is never assumed: it has to equal the one in
lm-eval's results file.
"""

from collections.abc import Mapping, Sequence
from math import isclose, isnan, nan
from typing import Any

import numpy as np

from heatmaps.comparison.document_scores import AGGREGATIONS, DocumentScores
from heatmaps.sample_lines import shortened

# Source: the paper's table of zero-shot results; HellaSwag is length-normalised.
PAPER_METRICS = {
    "arc_challenge": "acc",
    "arc_easy": "acc",
    "boolq": "acc",
    "hellaswag": "acc_norm",
    "openbookqa": "acc",
    "piqa": "acc",
    "winogrande": "acc",
    "sciq": "acc",
}
FAVOURED_METRICS = ("recall", "acc", "exact_match")
# What is known of a metric when there is no results file to say it.
_PLAIN_FRACTIONS = {*FAVOURED_METRICS, "acc_norm"}


# Where a sample has no value of a metric at all; null is that it was not measured.
MISSING = object()
# So that sums of squares are numbers still.
_GREATEST = 1e100


class NotComparableError(ValueError):
    """A task cannot be compared as it was run, though its files are whole."""


class OtherTokensError(NotComparableError):
    """Documents were cut by two tokenizers; their likelihood by position compares by bytes."""


def choose_metric(
    task: str,
    logged: Mapping[str, Sequence[Any]],
    reported: Mapping[str, float],
    higher_is_better: Mapping[str, Any],
) -> tuple[str, DocumentScores]:
    """The metric's name and its values.

    Args:
        task: lm-eval's name of it.
        logged: for each metric, in the task's order, the logged value of each document.
        reported: for each metric the score in lm-eval's results file; empty without a file.
        higher_is_better: for each metric what lm-eval says; empty without a file.

    Raises:
        NotComparableError: no metric can be compared; the text says why for each.
    """
    if task in PAPER_METRICS:
        names = [PAPER_METRICS[task]]
    else:
        names = [name for name in FAVOURED_METRICS if name in logged]
        names += [name for name in logged if name not in names]
    reasons = []
    for name in names:
        found = (
            _scores(name, logged[name], reported.get(name), higher_is_better.get(name))
            if name in logged
            else f"not among the metrics logged ({', '.join(logged) or 'none'})"
        )
        if isinstance(found, DocumentScores):
            return name, found
        reasons.append(f"{name}: {found}")
    raise NotComparableError(
        f"{task}: no metric to compare documents by ({'; '.join(reasons) or 'none logged'}); "
        "run again with --log_samples and without --predict_only, or leave the task out"
    )


def _scores(
    name: str, logged: Sequence[Any], reported: float | None, higher_is_better: bool | None
) -> DocumentScores | str:
    """The values as scores, or why they are none."""
    if reported is None and name not in _PLAIN_FRACTIONS:
        return "no score of it in a results file beside the samples, so its meaning is not known"
    pairs = [_value_and_weight(value) for value in logged]
    unusable = [v for v, p in zip(logged, pairs, strict=True) if p is None]
    if unusable:
        missing = unusable[0] is MISSING
        logged_as = (
            "not logged for all documents" if missing else f"logged as {shortened(unusable[0])}"
        )
        return f"{logged_as}, not as a number or a sum with its weight"
    values, weights = np.array(pairs, dtype=np.float64).T.copy()
    measured = np.flatnonzero(~np.isnan(values))
    if not len(measured):
        return "not measured: no document has a score that is a number"
    if higher_is_better is None and name not in _PLAIN_FRACTIONS:
        return "lm-eval does not say whether higher is better"
    for aggregation in AGGREGATIONS:
        scores = DocumentScores(
            values=values,
            weights=weights,
            aggregation=aggregation,
            higher_is_better=higher_is_better is not False,
        )
        # The exponential of a sum that is no log-likelihood may be beyond any number.
        with np.errstate(over="ignore"):
            of_measured = scores.select(measured)
            score, by_document = of_measured.score, of_measured.by_document
        # Where a document has no score, lm-eval's mean of them all is none either.
        unsaid = reported is None or (isnan(reported) and len(measured) < len(values))
        if unsaid or (
            reported is not None and isclose(score, reported, rel_tol=1e-6, abs_tol=1e-9)
        ):
            if not np.isfinite(by_document).all():
                return "of a document alone it is beyond any number, so it cannot be resampled"
            return scores
    mean = values[measured].sum() / weights[measured].sum()
    return (
        f"its mean over the samples is {mean:.6g}, but the results file says {reported:.6g}, "
        "so it is made otherwise or of other samples"
    )


def _value_and_weight(value: Any) -> tuple[float, float] | None:
    """NaN for a document that was not measured, None for what is no score."""
    if value is None or (number := _number(value)) is not None:
        return (nan if value is None else number), 1.0
    if isinstance(value, list) and len(value) == 2:
        numerator, weight = map(_number, value)
        if numerator is not None and weight is not None and weight > 0:
            return numerator, weight
    return None


def _number(value: Any) -> float | None:
    if not isinstance(value, bool | int | float) or abs(value) > _GREATEST:
        return None
    return float(value)
