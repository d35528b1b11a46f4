"""Scores on a grid of depths and lengths, with what they can be trusted for.

Shapes: D depths, L lengths.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from heatmaps.intervals import wilson_interval

GRID_KEY = ["model", "task", "num_needles", "ask", "haystack"]


@dataclass(frozen=True)
class Cell:
    """One cell: where it is, its mean score (0..1) and how many trials that is a mean of."""

    length_tokens: int
    depth_frac: float
    mean: float
    trials: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """The scores of one model on one needle task.

    Attributes:
        model, task, num_needles, ask, haystack: what was measured. `ask` is "one" or "all".
        lengths: tokens, ascending; L of them.
        depths: fractions 0..1, ascending; D of them.
        mean: (D, L) mean score 0..1, NaN where nothing was measured.
        trials: (D, L) samples in each cell, 0 where nothing was measured.
    """

    model: str
    task: str
    num_needles: int
    ask: str
    haystack: str
    lengths: tuple[int, ...]
    depths: tuple[float, ...]
    mean: np.ndarray
    trials: np.ndarray

    def __post_init__(self) -> None:
        shape = (len(self.depths), len(self.lengths))
        assert self.mean.shape == self.trials.shape == shape
        assert ((self.trials == 0) == np.isnan(self.mean)).all()
        assert self.trials.any()
        # What follows from them is kept, so they may not change.
        self.mean.setflags(write=False)
        self.trials.setflags(write=False)

    @cached_property
    def measured(self) -> np.ndarray:
        """(D, L) bool."""
        return self.trials > 0

    @cached_property
    def num_samples(self) -> int:
        return int(self.trials.sum())

    @cached_property
    def overall(self) -> float:
        """Mean over samples, as lm-eval reports it: cells count by their trials."""
        return float(np.nansum(self.mean * self.trials) / self.num_samples)

    @cached_property
    def overall_interval(self) -> tuple[float, float]:
        """95% interval of `overall`; see `wilson_interval`."""
        low, high = wilson_interval(np.array(self.overall), np.array(self.num_samples))
        return float(low), float(high)

    @cached_property
    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """(D, L) low and (D, L) high of each cell's 95% interval, NaN where not measured."""
        return wilson_interval(self.mean, self.trials)

    @cached_property
    def mean_by_length(self) -> np.ndarray:
        """(L,) mean over the samples of each length, NaN where a length has none."""
        totals = np.nansum(self.mean * self.trials, axis=0)
        counts = self.trials.sum(axis=0)
        return np.divide(totals, counts, out=np.full(len(counts), np.nan), where=counts > 0)

    @cached_property
    def worst(self) -> Cell:
        """The lowest cell; of equals the one with most trials, then the shortest length."""
        order = np.lexsort(
            (
                np.tile(self.lengths, len(self.depths)),
                -self.trials.ravel(),
                np.where(self.measured, self.mean, np.inf).ravel(),
            )
        )
        row, column = np.unravel_index(order[0], self.mean.shape)
        return Cell(
            length_tokens=self.lengths[column],
            depth_frac=self.depths[row],
            mean=float(self.mean[row, column]),
            trials=int(self.trials[row, column]),
        )

    @cached_property
    def num_worst(self) -> int:
        """Cells as low as `worst`, itself included."""
        return int((self.mean == self.worst.mean).sum())

    @cached_property
    def trials_range(self) -> tuple[int, int]:
        """Fewest and most trials in a measured cell."""
        counts = self.trials[self.measured]
        return int(counts.min()), int(counts.max())


def grids_of(samples: pd.DataFrame) -> list[Grid]:
    """One grid for each (model, task, num_needles, ask, haystack), in that order.

    Args:
        samples: as `read_samples` returns them, at least one row.
    """
    grids = []
    for key, part in samples.groupby(GRID_KEY, sort=True):
        assert isinstance(key, tuple)
        grids.append(_grid(part, *key))
    return grids


def _grid(
    part: pd.DataFrame, model: str, task: str, num_needles: int, ask: str, haystack: str
) -> Grid:
    lengths, columns = np.unique(part["length_tokens"].to_numpy(), return_inverse=True)
    depths, rows = np.unique(part["depth_frac"].to_numpy(), return_inverse=True)
    shape = (len(depths), len(lengths))
    total, trials = np.zeros(shape), np.zeros(shape, dtype=np.int64)
    np.add.at(total, (rows, columns), part["score"].to_numpy())
    np.add.at(trials, (rows, columns), 1)
    return Grid(
        model=model,
        task=task,
        num_needles=int(num_needles),
        ask=ask,
        haystack=haystack,
        lengths=tuple(lengths.tolist()),
        depths=tuple(depths.tolist()),
        mean=np.divide(total, trials, out=np.full(shape, np.nan), where=trials > 0),
        trials=trials,
    )
