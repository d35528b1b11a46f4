"""95% intervals of a score by itself."""

import numpy as np

# Two-sided 95% of the normal distribution.
Z95 = 1.959963984540054


def wilson_interval(mean: np.ndarray, trials: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Low and high of the Wilson 95% score interval, NaN where trials is 0.

    Exact in kind for scores of 0 and 1 with one chance of success. Wider than needed, never
    narrower, for fractions (several needles asked at once) and for means over unlike cells:
    both vary less than coin tosses of the same mean.

    Args:
        mean: any shape, 0..1, ignored where trials is 0.
        trials: same shape.

    Source: Wilson, Probable inference, the law of succession, and statistical inference (1927).
    """
    n = np.where(trials > 0, trials, np.nan)
    center = (mean + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * np.sqrt(mean * (1 - mean) / n + (Z95 / (2 * n)) ** 2)
    # Rounding alone would put a perfect cell's bound at 1 - 1e-16.
    low = np.where(mean == 0, np.where(np.isnan(n), np.nan, 0.0), np.clip(center - half, 0, 1))
    high = np.where(mean == 1, np.where(np.isnan(n), np.nan, 1.0), np.clip(center + half, 0, 1))
    return low, high
