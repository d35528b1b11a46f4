"""The words and numbers that pictures and tables share."""

from collections.abc import Sequence
from math import isnan

# Where a table has no figure.
NOTHING = "-"

_K = 1024
_M = 1024 * 1024


def length_label(length_tokens: int) -> str:
    """4K, 128K, 1.25M in units of 1,024 where that is exact; otherwise the number: 100,000."""
    if length_tokens >= _M and (length_tokens * 100) % _M == 0:
        return f"{length_tokens / _M:.2f}".rstrip("0").rstrip(".") + "M"
    if length_tokens >= _K and length_tokens % _K == 0:
        return f"{length_tokens // _K}K"
    return f"{length_tokens:,}"


def depth_labels(depths: Sequence[float]) -> list[str]:
    """Depths in percent without the sign, all with as many decimals as they need to be true."""
    percents = [100 * depth for depth in depths]
    for decimals in (0, 1, 2):
        texts = [f"{percent:.{decimals}f}" for percent in percents]
        near = all(
            abs(float(t) - percent) <= 0.0501 for t, percent in zip(texts, percents, strict=True)
        )
        if near and len(set(texts)) == len(texts):
            return texts
    return [f"{percent:.4f}".rstrip("0").rstrip(".") for percent in percents]


def percent_label(score: float) -> str:
    """A score in whole percent, where 100 means all and 0 means none: 0.998 is 99."""
    if score in (0, 1):
        return str(round(100 * score))
    return str(min(99, max(1, round(100 * score))))


def difference_label(difference: float) -> str:
    """A difference of scores in whole points with its sign; only no difference is 0."""
    if difference == 0:
        return "0"
    return f"{'-' if difference < 0 else '+'}{percent_label(abs(difference))}"


def points_label(difference: float) -> str:
    """A difference of means in points with its sign and one decimal: +3.1; only none is 0.0."""
    if isnan(difference):
        return "n/a"
    if difference == 0:
        return "0.0"
    points = 100 * difference
    return f"{points:+.1f}" if abs(points) >= 0.05 else f"{points:+.2g}"


def mean_label(score: float) -> str:
    """A mean in percent with one decimal, where 100.0 means all and 0.0 means none."""
    if score in (0, 1):
        return f"{100 * score:.1f}"
    return f"{min(99.9, max(0.1, 100 * score)):.1f}"


def thinned(count: int, spacing: float, extent: float) -> list[int]:
    """Indices, of `count` evenly spaced places, to label so that labels do not touch.

    The first and the last are always among them.

    Args:
        count: number of places.
        spacing: distance from one place to the next.
        extent: what a label takes along that direction, its margin included.
    """
    fitting = [step for step in range(1, max(count, 2)) if step * spacing >= extent] or [count]
    step = fitting[0]
    # A step that ends on the last place looks even; look for one that is not much coarser.
    even = [s for s in fitting if (count - 1) % s == 0 and s <= 1.5 * step]
    indices = list(range(0, count, even[0] if even else step))
    if indices[-1] != count - 1:
        if len(indices) > 1 and (count - 1 - indices[-1]) * spacing < extent:
            indices.pop()
        indices.append(count - 1)
    return indices
