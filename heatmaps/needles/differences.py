"""Two needle grids as one of differences, cell by cell.

Shapes: D depths, L lengths, of both grids together.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from heatmaps.needles.grids import Grid


@dataclass(frozen=True, kw_only=True, eq=False)
class GridDifference:
    """The second grid minus the first.

    Attributes:
        first, second: of one task, by two models.
        overall: the difference over all paired prompts.
        overall_interval: its 95% interval.
        num_samples: prompts that are paired.
    """

    first: Grid
    second: Grid
    overall: float
    overall_interval: tuple[float, float]
    num_samples: int

    @property
    def task(self) -> str:
        return self.second.task

    @property
    def model(self) -> str:
        return f"\N{GREEK CAPITAL LETTER DELTA} {self.second.model}"

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Tokens, ascending; L of them."""
        return tuple(sorted({*self.first.lengths, *self.second.lengths}))

    @cached_property
    def depths(self) -> tuple[float, ...]:
        """Fractions 0..1, ascending; D of them."""
        return tuple(sorted({*self.first.depths, *self.second.depths}))

    @cached_property
    def mean(self) -> np.ndarray:
        """(D, L) difference of the cells' means, -1..1, NaN where either grid lacks the cell."""
        return self._spread(self.second) - self._spread(self.first)

    @cached_property
    def measured(self) -> np.ndarray:
        """(D, L) bool: both grids have the cell."""
        return ~np.isnan(self.mean)

    @cached_property
    def depth_is_off(self) -> np.ndarray:
        """(D, L) bool: nowhere, for the two grids themselves say it."""
        return np.zeros(self.mean.shape, dtype=bool)

    def _spread(self, grid: Grid) -> np.ndarray:
        """The grid's means on the lengths and depths of both."""
        means = np.full((len(self.depths), len(self.lengths)), np.nan)
        rows = [self.depths.index(depth) for depth in grid.depths]
        columns = [self.lengths.index(length) for length in grid.lengths]
        means[np.ix_(rows, columns)] = grid.mean
        return means
