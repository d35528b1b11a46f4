"""The artists of the figure and what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from likelihood_samples import frame_of
from result_samples import position_sample as sample

from heatmaps.likelihood.curves import curves_of
from heatmaps.likelihood.figure import draw_nll


def test_the_picture(tmp_path: Path) -> None:
    samples = [sample(), sample(1, "b.txt", (100.0, 100.0)), sample(2, "c.txt")]
    frame = frame_of(tmp_path, {"one $x$": samples, "two": samples[:1]})
    figure = draw_nll(frame)
    left, right = figure.axes
    assert left.get_xscale() == "log" and left.get_ylabel() == "NLL, nats a token"
    for axes, ends in ((left, [np.sqrt(64), np.sqrt(64 * 128)]), (right, [64, 128])):
        solid, dashed, alone = axes.get_lines()
        assert solid.get_xdata() == pytest.approx(ends)
        assert np.size(dashed.get_xdata()) == 3 and dashed.get_linestyle() == "--"
        assert np.size(alone.get_xdata()) == 4
        # one document has no interval
        assert len(axes.collections) == 1
    expected = curves_of(frame)[0].average[:2]
    assert right.get_lines()[0].get_ydata() == pytest.approx(expected)
    said = [text.get_text() for text in figure.texts]
    assert "one $x$: 3 documents, 2 of them up to 512" in said and "two: 1 document" in said
    assert any("95% interval over documents" in text and "dashed" in text for text in said)
    alone = draw_nll(frame.loc[frame["model"] == "two"])
    assert not any("interval" in text.get_text() for text in alone.texts)


def test_the_picture_of_a_few_tokens(tmp_path: Path) -> None:
    few = sample(nats=(9.0,), edges=[1, 8], edges_asked=[1, 8])
    left, _ = draw_nll(frame_of(tmp_path, {"m": [few]})).axes
    assert list(left.xaxis.get_major_locator()()) == [8]


def test_the_picture_of_the_largest_positions(tmp_path: Path) -> None:
    """Their product is beyond whole numbers of 64 bits; warnings are errors here."""
    far = [1, 2**52, 2**53]
    figure = draw_nll(
        frame_of(tmp_path, {"m": [sample(nats=(9.0, 9.0), edges=far, edges_asked=far)]})
    )
    assert np.isfinite(np.asarray(figure.axes[0].get_lines()[0].get_xdata())).all()
