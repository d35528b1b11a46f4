"""One metric's values, document by document, and the score that they add up to.

lm-eval logs a number a document (accuracy), or a numerator with its weight (log-likelihood and
bytes), and makes one score of them all. What resampling needs is that score for any selection of
documents, many selections at once.

Shapes: N documents, K selected ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from heatmaps.intervals import Z95, wilson_interval

# lm-eval's aggregations that are a function of sum(values) / sum(weights), with their derivatives.
AGGREGATIONS: dict[str, tuple[Callable, Callable]] = {
    "mean": (lambda mean: mean, lambda mean: np.ones_like(mean)),
    "exp(-mean)": (lambda mean: np.exp(-mean), lambda mean: -np.exp(-mean)),
    "-mean/ln(2)": (
        lambda mean: -mean / np.log(2),
        lambda mean: np.full_like(mean, -1 / np.log(2)),
    ),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class DocumentScores:
    """What one model reached on each of N documents.

    Attributes:
        values: (N,) numbers, or numerators where there are weights; NaN where a document was not
            measured, and such are to be selected away before anything is made of them.
        weights: (N,) above 0; ones for a plain number a document.
        aggregation: a key of `AGGREGATIONS`.
        higher_is_better: of the score.
    """

    values: np.ndarray
    weights: np.ndarray
    aggregation: str
    higher_is_better: bool

    def __post_init__(self) -> None:
        assert self.values.shape == self.weights.shape == (len(self.values),)
        assert len(self.values) and (self.weights > 0).all()
        # What follows from them is kept, so they may not change.
        self.values.setflags(write=False)
        self.weights.setflags(write=False)

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def measured(self) -> np.ndarray:
        """Indices of the documents that have a score."""
        return np.flatnonzero(~np.isnan(self.values))

    def select(self, documents: np.ndarray) -> "DocumentScores":
        """These documents only, in this order.

        Args:
            documents: (K,) indices.
        """
        return DocumentScores(
            values=self.values[documents],
            weights=self.weights[documents],
            aggregation=self.aggregation,
            higher_is_better=self.higher_is_better,
        )

    def score_of(self, documents: np.ndarray, axis: int = -1) -> np.ndarray:
        """The score of each selection: (..., K) indices give (...)."""
        transform, _ = AGGREGATIONS[self.aggregation]
        totals = self.values[documents].sum(axis)
        if self.is_weighted:
            return transform(totals / self.weights[documents].sum(axis))
        return transform(totals / documents.shape[axis])

    @cached_property
    def score(self) -> float:
        """The score of all documents, as lm-eval makes it."""
        return float(self.score_of(np.arange(len(self))))

    @cached_property
    def by_document(self) -> np.ndarray:
        """(N,) the score of each document alone."""
        transform, _ = AGGREGATIONS[self.aggregation]
        return transform(self.values / self.weights)

    @cached_property
    def goodness(self) -> np.ndarray:
        """(N,) numbers in the order of `by_document`, the better the higher.

        Documents that one rounding would make equal, or infinite, are still told apart.
        """
        _, derivative = AGGREGATIONS[self.aggregation]
        # all aggregations rise or fall throughout
        rising = np.sign(derivative(np.zeros(())))
        return rising * (1 if self.higher_is_better else -1) * self.values / self.weights

    @cached_property
    def is_weighted(self) -> bool:
        return bool((self.weights != 1).any())

    @cached_property
    def is_binary(self) -> bool:
        """Every document is right or wrong, and the score is the fraction of right ones."""
        right_or_wrong = bool(np.isin(self.values, (0, 1)).all())
        return right_or_wrong and self.aggregation == "mean" and not self.is_weighted

    @cached_property
    def is_fraction(self) -> bool:
        """The score is a mean of numbers 0..1 of which higher is better."""
        values, weights = self.values[self.measured], self.weights[self.measured]
        within = bool(((values >= 0) & (values <= weights)).all())
        return within and self.aggregation == "mean" and self.higher_is_better

    @cached_property
    def standard_error(self) -> float:
        """Of the score, over documents; NaN for one document.

        For a plain mean the sample standard deviation over sqrt(N), as lm-eval has it; for a ratio
        of sums and a function of it by the delta method.
        """
        num_documents = len(self)
        if num_documents < 2:
            return float("nan")
        ratio = self.values.sum() / self.weights.sum()
        residuals = self.values - ratio * self.weights
        spread = np.sqrt(num_documents / (num_documents - 1) * (residuals**2).sum())
        _, derivative = AGGREGATIONS[self.aggregation]
        return float(abs(derivative(ratio)) * spread / self.weights.sum())

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95% interval of the score alone.

        Wilson's for fractions (`intervals.wilson_interval`), else 1.96 standard errors either way.
        """
        if self.is_fraction and not self.is_weighted:
            low, high = wilson_interval(np.array(self.score), np.array(len(self)))
            return float(low), float(high)
        half = Z95 * self.standard_error
        return self.score - half, self.score + half
