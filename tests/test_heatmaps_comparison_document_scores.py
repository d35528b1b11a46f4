"""Scores of documents, against lm-eval's own aggregations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from lm_eval.api import metrics

from heatmaps.comparison.document_scores import DocumentScores

# What lm-eval makes of the same items.
ORACLES: dict[str, Callable] = {
    "mean": metrics.mean,
    "exp(-mean)": metrics.perplexity,
    "-mean/ln(2)": lambda items: -metrics.mean(items) / np.log(2),
}
WEIGHTED_ORACLES: dict[str, Callable] = {
    "mean": metrics.weighted_mean,
    "exp(-mean)": metrics.weighted_perplexity,
    "-mean/ln(2)": metrics.bits_per_byte,
}


def scores(values, weights=None, *, aggregation="mean", higher_is_better=True) -> DocumentScores:
    values = np.array(values, dtype=np.float64)
    return DocumentScores(
        values=values,
        weights=np.ones(len(values)) if weights is None else np.array(weights, dtype=np.float64),
        aggregation=aggregation,
        higher_is_better=higher_is_better,
    )


@pytest.mark.parametrize("aggregation", ORACLES)
def test_the_score_is_lm_evals(aggregation):
    values = np.random.default_rng(0).normal(-1, 0.5, 17)
    expected = ORACLES[aggregation](values.tolist())
    assert scores(values, aggregation=aggregation).score == pytest.approx(expected)


@pytest.mark.parametrize("aggregation", WEIGHTED_ORACLES)
def test_the_weighted_score_is_lm_evals(aggregation):
    rng = np.random.default_rng(1)
    weights = rng.integers(1, 100, 17).astype(float)
    values = -weights * rng.uniform(0.5, 1.5, 17)
    items = list(zip(values.tolist(), weights.tolist(), strict=True))
    ours = scores(values, weights, aggregation=aggregation)
    assert ours.score == pytest.approx(WEIGHTED_ORACLES[aggregation](items))
    # Negative control: the mean of the documents' own scores is another number.
    assert ours.score != pytest.approx(ours.by_document.mean(), rel=1e-3)


def test_the_score_of_many_selections_is_that_of_each():
    rng = np.random.default_rng(2)
    ours = scores(-rng.random(9), rng.integers(1, 9, 9), aggregation="exp(-mean)")
    chosen = rng.integers(0, 9, (4, 5))
    expected = [ours.select(row).score for row in chosen]
    np.testing.assert_allclose(ours.score_of(chosen), expected)
    np.testing.assert_allclose(ours.score_of(chosen.T, axis=0), expected)


def test_the_standard_error_of_a_mean_is_lm_evals():
    values = np.random.default_rng(3).random(23) < 0.3
    expected = metrics.mean_stderr(values.astype(float).tolist())
    assert scores(values).standard_error == pytest.approx(expected)
    # What weighs the same weighs nothing.
    same = scores(values * 7.0, np.full(23, 7.0)).standard_error
    assert same == pytest.approx(expected)


@pytest.mark.parametrize("aggregation", ["mean", "exp(-mean)", "-mean/ln(2)"])
def test_the_standard_error_of_a_ratio_is_the_spread_of_its_bootstrap(aggregation):
    rng = np.random.default_rng(4)
    weights = rng.integers(50, 150, 400).astype(float)
    ours = scores(-weights * rng.normal(1, 0.1, 400), weights, aggregation=aggregation)
    resampled = ours.score_of(rng.integers(0, 400, (4000, 400)))
    assert ours.standard_error == pytest.approx(resampled.std(), rel=0.05)


def test_one_document_has_no_standard_error():
    assert np.isnan(scores([1.0]).standard_error)


def test_kinds_of_scores():
    assert scores([0, 1, 1]).is_binary and scores([0, 1, 1]).is_fraction
    assert not scores([0, 0.5]).is_binary and scores([0, 0.5]).is_fraction
    assert not scores([0, 1.5]).is_fraction
    assert not scores([0, 1], higher_is_better=False).is_fraction
    assert not scores([0, 1], aggregation="exp(-mean)").is_binary
    assert not scores([0, 1], [1, 2]).is_binary


def test_intervals_of_a_score_alone():
    from statistics import NormalDist

    # Wilson's interval of 3 of 10, by its formula.
    z = NormalDist().inv_cdf(0.975)
    center, half = (0.3 + z**2 / 20) / (1 + z**2 / 10), z / (1 + z**2 / 10)
    half *= np.sqrt(0.3 * 0.7 / 10 + z**2 / 400)
    assert scores([1] * 3 + [0] * 7).interval == pytest.approx((center - half, center + half))
    wide = scores([-2.0, -3.0, -4.0])
    expected = (wide.score - z * wide.standard_error, wide.score + z * wide.standard_error)
    assert wide.interval == pytest.approx(expected)
