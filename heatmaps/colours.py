"""The colours of a score and of a difference, told apart by lightness as well as hue.

A score goes from red through yellow to green. Most people who confuse red with green still see
lightness and blue. So lightness never falls from 0 to 1, and the green holds enough blue to differ
from the yellow.

A difference goes from orange through near-white to blue, which everybody tells apart: the farther
from zero, the darker, equally on both sides.

A control, where there is nothing to find, is neither good nor bad by its colour: it goes from pale
grey to dark blue.
"""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

MISSING_FACE = "#EFEFF1"
MISSING_HATCH = "#A3A3AB"
TEXT_DARK = "#1F2328"
TEXT_LIGHT = "#FFFFFF"

_STOPS = [
    (0.00, "#B42B46"),
    (0.25, "#D4604A"),
    (0.50, "#E4934C"),
    (0.75, "#EBC45E"),
    (1.00, "#8FE6BB"),
]

_DIFFERENCE_STOPS = [
    (0.00, "#A8480F"),
    (0.25, "#E5A06A"),
    (0.50, "#FAF9F7"),
    (0.75, "#7DB1DE"),
    (1.00, "#1565A5"),
]

_CONTROL_STOPS = [
    (0.00, "#DFE3E9"),
    (0.50, "#7F95B5"),
    (1.00, "#22406F"),
]
# Models and tasks as lines and points, in this order (after Okabe and Ito, Color universal design).
SERIES = ("#1565A5", "#C8641B", "#1B8A6B", "#9C4F96", "#7A6A1E", "#4E9BC9")


def score_colormap() -> LinearSegmentedColormap:
    """The colormap for scores 0..1."""
    return LinearSegmentedColormap.from_list("yoco_score", _STOPS, N=512)


def difference_colormap() -> LinearSegmentedColormap:
    """The colormap for differences -1..1; below zero the second model is worse."""
    return LinearSegmentedColormap.from_list("yoco_difference", _DIFFERENCE_STOPS, N=512)


def control_colormap() -> LinearSegmentedColormap:
    """The colormap for scores 0..1 of a control without a needle."""
    return LinearSegmentedColormap.from_list("yoco_control", _CONTROL_STOPS, N=512)


def text_colour(rgb: np.ndarray) -> str:
    """Dark or light, whichever stands out more on a background of `rgb` (three floats 0..1)."""
    luminance = relative_luminance(rgb)
    # WCAG contrast against black and against white, which meet where these products are equal.
    return TEXT_LIGHT if (luminance + 0.05) ** 2 < 0.05 * 1.05 else TEXT_DARK


def relative_luminance(rgb: np.ndarray) -> np.ndarray:
    """Luminance 0..1 of sRGB colours (..., 3).

    Source: WCAG 2.2, "relative luminance".
    """
    rgb = np.asarray(rgb, dtype=np.float64)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])
