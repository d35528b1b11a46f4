"""Grids of needle scores for the tests of heatmaps."""

from __future__ import annotations

from typing import Any

import numpy as np

from heatmaps.needles.grids import Grid


def make_grid(mean: Any, lengths: Any, depths: Any, *, trials: Any = 2, **head: Any) -> Grid:
    """A grid of one model.

    Args:
        mean: (D, L) scores 0..1, NaN where nothing was measured.
        trials: of each cell that was measured.
        head: other fields of the grid, in place of those here.
    """
    mean = np.array(mean, dtype=np.float64)
    fields = {
        "model": "prototype",
        "task": "yoco_needle",
        "num_needles": 1,
        "ask": "one",
        "haystack": "stdlib",
        **head,
    }
    return Grid(
        **fields,
        lengths=tuple(lengths),
        depths=tuple(depths),
        mean=mean,
        trials=np.where(np.isnan(mean), 0, trials),
    )
