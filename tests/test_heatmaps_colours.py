"""The scale can be read by people who confuse red with green."""

import numpy as np
import pytest
from matplotlib.colors import LinearSegmentedColormap

from heatmaps.colours import (
    MISSING_FACE,
    TEXT_DARK,
    TEXT_LIGHT,
    difference_colormap,
    relative_luminance,
    score_colormap,
    text_colour,
)

# Machado, Oliveira, Fernandes (2009), severity 1.0, on linear RGB.
SIMULATION = {
    "none": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
SCORES = np.linspace(0, 1, 6)


def lab(colormap, eyes, places=SCORES):
    """CIE L*a*b* (N, 3) of N places on the scale as `eyes` see them; six scores by default."""
    rgb = colormap(places)[:, :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ SIMULATION[eyes].T, 0, 1)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    x, y, z = np.cbrt(linear @ to_xyz.T / [0.9505, 1, 1.089]).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def readable(colormap, eyes):
    seen = lab(colormap, eyes)
    distances = np.linalg.norm(seen[:, None] - seen[None], axis=-1)[np.triu_indices(6, k=1)]
    falls = -np.diff(seen[:, 0]).min()
    return distances.min() > 7 and falls < 1


@pytest.mark.parametrize("eyes", SIMULATION)
def test_steps_of_a_fifth_can_be_told_apart(eyes):
    assert readable(score_colormap(), eyes)


def test_the_usual_red_yellow_green_would_fail():
    usual = LinearSegmentedColormap.from_list("usual", ["#F0496E", "#EBB839", "#0CD79F"])
    assert not readable(usual, "deuteranopia")


def test_red_yellow_green():
    red, yellow, green = score_colormap()([0.0, 0.75, 1.0])[:, :3]
    assert red[0] > 2 * max(red[1:])
    assert min(yellow[:2]) > 1.5 * yellow[2]
    assert green[1] > 1.2 * max(green[0], green[2])


@pytest.mark.parametrize("eyes", SIMULATION)
def test_differences_darken_from_zero_alike_on_both_sides_and_keep_their_sides_apart(eyes):
    seen = lab(difference_colormap(), eyes, np.linspace(0, 1, 11))
    lightness = seen[:, 0]
    assert (np.diff(lightness[:6]) > 2).all() and (np.diff(lightness[5:]) < -2).all()
    np.testing.assert_allclose(lightness, lightness[::-1], atol=12)
    mirrored = np.linalg.norm(seen - seen[::-1], axis=1)
    # The smallest difference, a fifth of the way from zero, and all beyond.
    assert (np.delete(mirrored, 5) > 9).all()


def test_a_usual_red_and_green_would_fail():
    usual = LinearSegmentedColormap.from_list("usual", ["#B42B46", "#FAF9F7", "#5A8F3C"])
    seen = lab(usual, "deuteranopia", np.array([0.4, 0.6]))
    assert np.linalg.norm(seen[0] - seen[1]) < 9


@pytest.mark.parametrize("colormap", [score_colormap(), difference_colormap()])
def test_text_stands_out_on_every_colour(colormap):
    for rgb in colormap(np.linspace(0, 1, 101))[:, :3]:
        text = np.array([int(text_colour(rgb)[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        darker, lighter = sorted([relative_luminance(rgb), relative_luminance(text)])
        # 3 is what WCAG asks of graphics; 4.5, of small text, is met almost everywhere.
        assert (lighter + 0.05) / (darker + 0.05) > 3.4
    assert text_colour(np.ones(3)) == TEXT_DARK
    assert text_colour(np.zeros(3)) == TEXT_LIGHT


def test_missing_is_grey():
    channels = [int(MISSING_FACE[i : i + 2], 16) for i in (1, 3, 5)]
    assert max(channels) - min(channels) < 8
