"""The paired statistics, against slow and obvious ones, scipy's, and figures of statsmodels."""

from __future__ import annotations

from itertools import chain, combinations, product
from math import comb

import numpy as np
import pytest
from scipy import stats

from benchmarks.calibration import KINDS, calibrate, familywise_errors
from heatmaps.comparison.document_scores import DocumentScores
from heatmaps.comparison.paired_statistics import (
    MCNEMAR,
    PERMUTATION,
    holm,
    mcnemar,
    mean_difference,
    paired_difference,
    permutation,
)


def scores(values, weights=None, **kind) -> DocumentScores:
    values = np.array(values, dtype=np.float64)
    weights = np.ones(len(values)) if weights is None else np.array(weights, dtype=np.float64)
    kind = {"aggregation": "mean", "higher_is_better": True} | kind
    return DocumentScores(values=values, weights=weights, **kind)


def compare(first, second, *, resamples=2000, seed=0):
    return paired_difference(first, second, rng=np.random.default_rng(seed), resamples=resamples)


def test_counts_and_difference_by_hand():
    found = compare(scores([1, 0, 0, 1, 1]), scores([1, 1, 1, 0, 1]))
    assert (found.wins, found.losses, found.ties) == (2, 1, 2)
    assert found.difference == pytest.approx(0.2)
    assert found.test == MCNEMAR
    # With fewer bits a byte the document is won, whatever its sign in the file.
    kind = {"aggregation": "-mean/ln(2)", "higher_is_better": False}
    found = compare(scores([-9, -5], [3, 3], **kind), scores([-6, -7], [3, 3], **kind))
    assert (found.wins, found.losses, found.ties) == (1, 1, 0)
    assert found.difference == pytest.approx(-1 / 6 / np.log(2))
    assert found.test == PERMUTATION


def test_documents_are_won_however_close_or_bad_they_are():
    kind = {"aggregation": "exp(-mean)", "higher_is_better": False}
    # Their perplexities are all 1 after rounding.
    found = compare(scores([-1e-17, -2e-17], **kind), scores([-2e-17, -1e-17], **kind))
    assert (found.wins, found.losses, found.ties) == (1, 1, 0)


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (0, 6), (3, 5), (12, 30), (40, 40)])
def test_mcnemar_is_the_binomial_sum(wins, losses):
    n, k = wins + losses, min(wins, losses)
    expected = min(1.0, 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n)
    assert mcnemar(wins, losses) == pytest.approx(expected)


# statsmodels 0.15.0: contingency_tables.mcnemar([[20, losses], [wins, 50]], exact=True).pvalue
@pytest.mark.parametrize(
    ("wins", "losses", "p_value"),
    [(4, 10, 0.1795654296875), (39, 11, 9.021490107130603e-05), (7, 21, 0.012540951371192932)],
)
def test_mcnemar_is_that_of_statsmodels(wins, losses, p_value):
    assert mcnemar(wins, losses) == pytest.approx(p_value, rel=1e-12)


# statsmodels 0.15.0: stats.multitest.multipletests(p_values, method="holm")[1]
STATSMODELS_HOLM = {
    (0.01, 0.04, 0.03, 0.005): (0.03, 0.06, 0.06, 0.02),
    (0.2, 0.02, 0.02, 0.9, 0.0004): (0.4, 0.08, 0.08, 0.9, 0.002),
}


@pytest.mark.parametrize("p_values", STATSMODELS_HOLM)
def test_holm_is_that_of_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(STATSMODELS_HOLM[p_values])


def test_holm_is_the_closed_test_of_bonferroni():
    """A hypothesis falls when every set of hypotheses that holds it falls by Bonferroni."""
    for seed in range(20):
        p_values = np.random.default_rng(seed).beta(0.3, 2, 5)
        sets = chain.from_iterable(combinations(range(5), size) for size in range(1, 6))
        bonferroni = {s: min(1.0, len(s) * min(p_values[i] for i in s)) for s in sets}
        expected = [max(p for s, p in bonferroni.items() if i in s) for i in range(5)]
        assert holm(p_values.tolist()) == pytest.approx(expected)
    assert holm([]) == []
    assert holm([0.3]) == [0.3]


def test_the_permutation_test_is_every_swap():
    rng = np.random.default_rng(5)
    first, second = scores(rng.random(8)), scores(rng.random(8))
    gaps = second.values - first.values
    swapped = np.array([np.mean(gaps * signs) for signs in product((-1, 1), repeat=8)])
    expected = np.mean(np.abs(swapped) >= abs(gaps.mean()) - 1e-12)
    found = permutation(first, second, np.random.default_rng(0), resamples=1000)
    assert found == pytest.approx(expected)


def test_a_value_keeps_its_weight_when_it_is_swapped():
    rng = np.random.default_rng(6)
    values, weights = -rng.integers(100, 200, (2, 7)) * 1.0, rng.integers(40, 90, (2, 7)) * 1.0
    kind = {"aggregation": "exp(-mean)", "higher_is_better": False}
    first, second = (scores(v, w, **kind) for v, w in zip(values, weights, strict=True))
    null = []
    for swaps in product((0, 1), repeat=7):
        rows, columns = np.array([swaps, 1 - np.array(swaps)]), np.arange(7)
        means = values[rows, columns].sum(1) / weights[rows, columns].sum(1)
        null.append(np.exp(-means[1]) - np.exp(-means[0]))
    null = np.array(null)
    observed = second.score - first.score
    sides = [np.mean(null >= observed - 1e-9), np.mean(null <= observed + 1e-9)]
    found = permutation(first, second, np.random.default_rng(0), resamples=1000)
    assert found == pytest.approx(min(1, 2 * min(sides)))


def test_with_many_documents_the_permutation_test_is_the_paired_t_test():
    rng = np.random.default_rng(7)
    first = rng.random(400)
    noise = rng.normal(0, 0.06, 400)
    second = first + 0.0055 + noise - noise.mean()
    found = permutation(scores(first), scores(second), np.random.default_rng(0), resamples=10_000)
    expected = float(stats.ttest_rel(second, first).pvalue)  # pyright: ignore
    assert 0.01 < expected < 0.2
    assert found == pytest.approx(expected, abs=0.01)
    # Negative control: taken for unpaired, the same numbers show nothing.
    assert stats.ttest_ind(second, first).pvalue > 0.5  # pyright: ignore


def test_the_interval_is_that_of_a_slow_bootstrap():
    rng = np.random.default_rng(8)
    first = scores(rng.random(120) < 0.5)
    second = scores(np.where(rng.random(120) < 0.8, first.values, rng.random(120) < 0.7))
    gaps = (second.values - first.values).tolist()
    slow = []
    for _ in range(4000):
        drawn = [gaps[i] for i in rng.integers(0, 120, 120).tolist()]
        slow.append(sum(drawn) / 120)
    found = compare(first, second, resamples=4000)
    assert (found.low, found.high) == pytest.approx(np.percentile(slow, [2.5, 97.5]), abs=0.012)
    # And that of the normal approximation, near enough at this size.
    half = 1.96 * np.std(gaps, ddof=1) / np.sqrt(120)
    assert (found.low, found.high) == pytest.approx(
        (found.difference - half, found.difference + half), abs=0.015
    )
    # Negative control: resampled apart, the interval is wider.
    apart = first.score_of(rng.integers(0, 120, (4000, 120)))
    apart = second.score_of(rng.integers(0, 120, (4000, 120))) - apart
    assert np.ptp(np.percentile(apart, [2.5, 97.5])) > 1.3 * (found.high - found.low)


def test_scipy_resamples_what_we_resample():
    """The same stream through scipy's own paired bootstrap gives the same interval."""
    rng = np.random.default_rng(9)
    first, second = scores(rng.random(50)), scores(rng.random(50))
    found = compare(first, second, resamples=500, seed=3)
    theirs = stats.bootstrap(
        (first.values, second.values),
        lambda a, b, axis: b.mean(axis) - a.mean(axis),
        paired=True,
        vectorized=True,
        n_resamples=500,
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


def test_the_same_seed_gives_the_same_figures():
    rng = np.random.default_rng(10)
    first, second = scores(rng.random(40)), scores(rng.random(40))
    one, two, other = (compare(first, second, seed=seed) for seed in (1, 1, 2))
    assert (one.low, one.high, one.p_value) == (two.low, two.high, two.p_value)
    assert (one.low, one.high) != (other.low, other.high)


def test_equal_models_and_single_documents():
    same = compare(scores([1, 0, 1]), scores([1, 0, 1]))
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    single = compare(scores([0.5]), scores([1.0]))
    assert (single.difference, single.p_value, single.num_documents) == (0.5, 1.0, 1)
    assert np.isnan([single.low, single.high]).all()


def test_the_mean_over_tasks_resamples_within_each():
    rng = np.random.default_rng(11)
    pairs = [(scores(rng.random(n)), scores(rng.random(n))) for n in (30, 200)]
    found = [compare(*pair, seed=seed, resamples=8000) for seed, pair in enumerate(pairs)]
    mean, low, high = mean_difference(found)
    assert mean == pytest.approx((found[0].difference + found[1].difference) / 2)
    variance = sum(np.var(b.values - a.values, ddof=1) / len(a) for a, b in pairs) / 4
    assert (low, high) == pytest.approx(
        (mean - 1.96 * variance**0.5, mean + 1.96 * variance**0.5), abs=0.01
    )


@pytest.mark.parametrize("kind", KINDS)
def test_calibration(kind):
    """Small and seeded; benchmarks/calibration.py has the figures of 1,000 comparisons a row."""
    options = {"num_documents": 200, "comparisons": 120, "resamples": 200, "seed": 1}
    equal = calibrate(kind, planted=False, **options)
    # 5% of 120 with three standard errors.
    assert equal.rejected <= 0.11
    assert equal.covering >= 0.89
    planted = calibrate(kind, planted=True, **options)
    assert planted.rejected > equal.rejected + 0.1
    assert planted.rejected > planted.unpaired
    assert planted.covering >= 0.89


def test_holm_holds_the_errors_of_all_tasks_together():
    assert familywise_errors(tasks=4, num_documents=60, comparisons=60, seed=1) <= 0.13
