"""Is one model better than another on the same documents: difference, interval and p-value.

The documents are what chance drew, so they are what is resampled, with both models' results on
each kept together.

- Interval: paired bootstrap over documents, percentiles 2.5 and 97.5.
- p-value where every document is right or wrong: McNemar's exact test, the two-sided binomial test
  on the documents that one model alone got right.
- p-value otherwise: the permutation test that swaps the models' results on a document, exact where
  there are no more swaps than resamples.
- Several tasks at once: Holm's step-down correction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from heatmaps.comparison.document_scores import DocumentScores

INTERVAL = "paired bootstrap over documents, percentiles"
MCNEMAR = "McNemar's exact test"
PERMUTATION = "paired permutation test"
CORRECTION = "Holm"

# Numbers in one block of resamples: 16 MB in float64.
_BLOCK = 2_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class PairedDifference:
    """How the second model's score differs from the first's.

    Attributes:
        difference: second minus first, in the score's own unit: of fractions 0..1 no points.
        low, high: its 95% interval; NaN for a single document.
        p_value: two-sided, of no difference.
        test: the test's name.
        wins, losses, ties: documents on which the second is better, worse, equal.
        resampled: (resamples,) the differences that the interval is made of.
    """

    difference: float
    low: float
    high: float
    p_value: float
    test: str
    wins: int
    losses: int
    ties: int
    resampled: np.ndarray

    @property
    def num_documents(self) -> int:
        return self.wins + self.losses + self.ties


def paired_difference(
    first: DocumentScores, second: DocumentScores, *, rng: np.random.Generator, resamples: int
) -> PairedDifference:
    """Compares two models on the same documents.

    Args:
        first, second: of the same documents in the same order.
        rng: draws the resamples and the permutations.
        resamples: number of both.
    """
    assert len(first) == len(second)
    wins = int((second.goodness > first.goodness).sum())
    losses = int((second.goodness < first.goodness).sum())
    resampled = _resampled_differences(first, second, rng, resamples)
    low, high = np.percentile(resampled, [2.5, 97.5]) if len(first) > 1 else (np.nan, np.nan)
    binary = first.is_binary and second.is_binary
    return PairedDifference(
        difference=second.score - first.score,
        low=float(low),
        high=float(high),
        p_value=mcnemar(wins, losses) if binary else permutation(first, second, rng, resamples),
        test=MCNEMAR if binary else PERMUTATION,
        wins=wins,
        losses=losses,
        ties=len(first) - wins - losses,
        resampled=resampled,
    )


def mcnemar(wins: int, losses: int) -> float:
    """Two-sided p-value of McNemar's exact test; 1 where no document differs.

    Source: McNemar, Note on the sampling error of the difference between correlated proportions or
    percentages (1947), in its exact, binomial form.
    """
    if wins + losses == 0:
        return 1.0
    return float(stats.binomtest(wins, wins + losses).pvalue)


def permutation(
    first: DocumentScores, second: DocumentScores, rng: np.random.Generator, resamples: int
) -> float:
    """Two-sided p-value of the permutation test that swaps the two results on each document."""
    num_documents = len(first)
    if num_documents == 1:
        return 1.0
    both = DocumentScores(
        values=np.concatenate([first.values, second.values]),
        weights=np.concatenate([first.weights, second.weights]),
        aggregation=first.aggregation,
        higher_is_better=first.higher_is_better,
    )

    def difference(one: np.ndarray, two: np.ndarray, axis: int) -> np.ndarray:
        return both.score_of(two, axis) - both.score_of(one, axis)

    # Indices are permuted, so that a value and its weight stay together.
    result = stats.permutation_test(
        (np.arange(num_documents), np.arange(num_documents, 2 * num_documents)),
        difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, _BLOCK // (2 * num_documents)),
        rng=rng,
    )
    return float(result.pvalue)


def _resampled_differences(
    first: DocumentScores, second: DocumentScores, rng: np.random.Generator, resamples: int
) -> np.ndarray:
    """(resamples,) differences, each of N documents drawn with replacement."""
    if len(first) == 1:
        return np.full(resamples, second.score - first.score)

    def difference(documents: np.ndarray, axis: int) -> np.ndarray:
        return second.score_of(documents, axis) - first.score_of(documents, axis)

    result = stats.bootstrap(
        (np.arange(len(first)),),
        difference,
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, _BLOCK // len(first)),
        method="percentile",
        rng=rng,
    )
    return result.bootstrap_distribution


def mean_difference(differences: Sequence[PairedDifference]) -> tuple[float, float, float]:
    """The mean of differences over tasks and its 95% interval.

    Documents are resampled within each task, tasks independently of each other.
    """
    mean = float(np.mean([difference.difference for difference in differences]))
    resampled = np.mean([difference.resampled for difference in differences], axis=0)
    low, high = np.percentile(resampled, [2.5, 97.5])
    if any(np.isnan(difference.low) for difference in differences):
        low = high = np.nan
    return mean, float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, in their order.

    Source: Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    remaining = np.arange(len(p_values), 0, -1)
    steps = np.minimum(1.0, np.asarray(p_values, dtype=np.float64)[order] * remaining)
    corrected[order] = np.maximum.accumulate(steps) if len(steps) else steps
    return corrected.tolist()
