"""Means, averages and intervals over documents."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from likelihood_samples import EDGES, frame_of
from result_samples import position_sample as sample
from scipy import stats

from heatmaps.likelihood.curves import curves_of


def test_two_documents_of_one_name_and_text_are_two(tmp_path: Path) -> None:
    """As files in two folders may be."""
    (curve,) = curves_of(frame_of(tmp_path, {"m": [sample(), sample(1)]}))
    assert curve.num_documents.tolist() == [2, 2, 2, 2]


def test_means_and_averages(tmp_path: Path) -> None:
    samples = [sample(), sample(1, "b.txt", (100.0, 100.0))]
    (curve,) = curves_of(frame_of(tmp_path, {"m": samples}))
    assert curve.label == "m" and curve.unit == "nats a token"
    assert curve.stops.tolist() == EDGES[1:] and curve.starts.tolist() == EDGES[:-1]
    assert curve.num_documents.tolist() == [2, 2, 1, 1]
    assert curve.mean.tolist() == [300 / 126, 280 / 128, 300 / 128, 500 / 256]
    # where b.txt has ended, a.txt's own average goes on
    expected = [300 / 126, 580 / 254, 680 / 255, 1180 / 511]
    assert curve.average.tolist() == pytest.approx(expected)
    assert np.isnan(curve.low).tolist() == [False, False, True, True]


def test_intervals_are_those_of_the_mean_for_documents_of_one_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    nats = rng.normal(200, 20, (7, 4))
    samples = [
        sample(number, f"{number}.txt", tuple(row.tolist())) for number, row in enumerate(nats)
    ]
    (curve,) = curves_of(frame_of(tmp_path, {"m": samples}))
    sizes = np.diff(EDGES)
    for found, means in (
        ((curve.low, curve.high), nats / sizes),
        ((curve.average_low, curve.average_high), nats.cumsum(1) / sizes.cumsum()),
    ):
        low, high = stats.t.interval(0.95, 6, means.mean(0), stats.sem(means))
        assert found[0] == pytest.approx(low) and found[1] == pytest.approx(high)


def test_intervals_cover(tmp_path: Path) -> None:
    """95% of them hold the ratio that documents of unequal sizes are drawn about."""
    from heatmaps.likelihood.curves import _ratio

    rng = np.random.default_rng(0)
    num_documents, num_draws, true = 8, 4000, 3.0
    sizes = rng.integers(50, 150, (num_documents, num_draws)).astype(float)
    losses = sizes * rng.normal(true, 0.5, sizes.shape)
    _, low, high = _ratio(losses, sizes)
    covered = np.mean((low < true) & (true < high))
    assert 0.93 < covered < 0.97
    # negative control: intervals half as wide do not
    middle, half = (low + high) / 2, (high - low) / 4
    assert np.mean((middle - half < true) & (true < middle + half)) < 0.8


def test_tokens_of_two_tokenizers_are_compared_by_bytes(tmp_path: Path) -> None:
    samples = {"m": [sample()], "n": [sample(tokenizer_sha256="another")]}
    frame = frame_of(tmp_path, samples)
    curves = curves_of(frame)
    assert {curve.unit for curve in curves} == {"bits a byte"}
    assert curves[0].mean[0] == pytest.approx(200 / math.log(2) / (3 * 63))
    assert curves[0].average[-1] == pytest.approx(1180 / math.log(2) / (3 * 511))
    (note,) = frame.attrs["notes"]
    assert "in bits a byte" in note and "one position is not the same place in the text" in note


def test_more_bins_than_can_be_drawn_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = frame_of(tmp_path, {"m": [sample(), sample(1)]})
    for name, most in (("MAX_PLACES", 8), ("MAX_BINS", 4)):
        monkeypatch.setattr(f"heatmaps.likelihood.curves.{name}", most)
        assert curves_of(frame)
        monkeypatch.setattr(f"heatmaps.likelihood.curves.{name}", most - 1)
        with pytest.raises(ValueError, match="m: 4 bins of 2 documents are more than can be drawn"):
            curves_of(frame)
        monkeypatch.undo()


def test_sums_of_large_sizes_do_not_overflow(tmp_path: Path) -> None:
    samples = [sample(number, num_bytes=[2**53] * 4) for number in range(3)]
    frame = frame_of(tmp_path, {"m": samples})
    frame["num_bytes"] = 2**62
    frame.loc[0, "tokenizer_sha256"] = "another"
    (curve,) = curves_of(frame)
    assert curve.unit == "bits a byte" and (curve.mean > 0).all() and (curve.average > 0).all()
