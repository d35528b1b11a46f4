"""Scores on a grid of depths and lengths, with what they can be trusted for.

Shapes: D depths, L lengths.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from heatmaps.intervals import wilson_interval
from heatmaps.needles.conditions import CONDITIONS, differences
from heatmaps.needles.planned import PlannedGrid

# What was measured, and what of it is under other conditions.
KIND = ["model", "task", "num_needles", "ask", "haystack"]
GRID_KEY = [*KIND, *CONDITIONS]
# No run is as large, and a picture of so many cells is drawn within seconds.
MAX_CELLS = 20_000
# Why a prompt has no score: the logits were not finite, or it is not among the samples.
NOT_FINITE, NOT_RUN = "logits not finite", "not run"
# Of a grid with one depth, which has no step of its own.
_SOLE_STEP = 0.1


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
        conditions: under which, as far as the files say.
        variant: in words, what of the conditions is unlike those of another grid of this kind.
        lengths: tokens, ascending; L of them.
        depths: fractions 0..1, ascending; D of them.
        mean: (D, L) mean score 0..1, NaN where nothing was measured.
        trials: (D, L) samples in each cell, 0 where nothing was measured.
        not_measured: prompts without a score, by the reason.
        depth_achieved: (D, L) mean depth where needles came to stand, NaN where nobody says.
        depth_error: (D, L) how far the farthest is from the depth asked.
    """

    model: str
    task: str
    num_needles: int
    ask: str
    haystack: str
    conditions: Mapping[str, str] = field(default_factory=dict)
    variant: tuple[str, ...] = ()
    lengths: tuple[int, ...]
    depths: tuple[float, ...]
    mean: np.ndarray
    trials: np.ndarray
    not_measured: Mapping[str, int] = field(default_factory=dict)
    depth_achieved: np.ndarray | None = None
    depth_error: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = (len(self.depths), len(self.lengths))
        assert self.mean.shape == self.trials.shape == shape
        assert ((self.trials == 0) == np.isnan(self.mean)).all()
        # What follows from them is kept, so they may not change.
        self.mean.setflags(write=False)
        self.trials.setflags(write=False)

    @property
    def is_control(self) -> bool:
        """Whether the haystack holds no needle, so that a high score is a fault."""
        return self.num_needles == 0

    @cached_property
    def measured(self) -> np.ndarray:
        """(D, L) bool."""
        return self.trials > 0

    @cached_property
    def num_samples(self) -> int:
        return int(self.trials.sum())

    @cached_property
    def num_prompts(self) -> int:
        """Prompts that were measured, or should have been."""
        return self.num_samples + sum(self.not_measured.values())

    @cached_property
    def overall(self) -> float:
        """Mean over samples, as lm-eval reports it: cells count by their trials; NaN of none."""
        total = float(np.nansum(self.mean * self.trials))
        return total / self.num_samples if self.num_samples else float("nan")

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
        return self._first_by(np.where(self.measured, self.mean, np.inf))

    @cached_property
    def highest(self) -> Cell:
        """The highest cell; of equals as `worst`."""
        return self._first_by(np.where(self.measured, -self.mean, np.inf))

    def _first_by(self, values: np.ndarray) -> Cell:
        """The measured cell of the lowest value (D, L)."""
        assert self.num_samples
        order = np.lexsort(
            (
                np.tile(self.lengths, len(self.depths)),
                -self.trials.ravel(),
                values.ravel(),
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
    def depth_is_off(self) -> np.ndarray:
        """(D, L) bool: a needle stands more than half a step of depths from where it was asked."""
        if self.depth_error is None:
            return np.zeros(self.mean.shape, dtype=bool)
        gaps = np.diff(self.depths)
        around = np.array([np.inf, *gaps, np.inf])
        steps = np.minimum(around[:-1], around[1:]) if len(gaps) else np.array([_SOLE_STEP])
        # what is NaN is not known, and rounding is no error
        return self.depth_error > steps[:, None] / 2 + 1e-6

    def num_like(self, cell: Cell) -> int:
        """Cells with the score of this one, itself included."""
        return int((self.mean == cell.mean).sum())

    @cached_property
    def trials_range(self) -> tuple[int, int]:
        """Fewest and most trials in a measured cell; zeros where there is none."""
        counts = self.trials[self.measured]
        if not len(counts):
            return 0, 0
        return int(counts.min()), int(counts.max())


def grids_of(samples: pd.DataFrame) -> list[Grid]:
    """One grid for each model, task, needles and haystack under one set of conditions, in order.

    Args:
        samples: as `read_samples` returns them, at least one row. Cells that their runs planned
            and did not measure are part of the grids.

    Raises:
        ValueError: a grid of more than `MAX_CELLS` cells.
    """
    samples = samples.assign(**{name: "" for name in CONDITIONS if name not in samples})
    plans = samples.attrs.get("plans", {})
    grids = []
    for key, part in samples.groupby(GRID_KEY, sort=True):
        assert isinstance(key, tuple)
        own = _plans_by_seed(part, plans) if plans else []
        grids.append(_grid(part, dict(zip(GRID_KEY, key, strict=True)), own))
    return _told_apart(grids)


def _plans_by_seed(
    part: pd.DataFrame, plans: Mapping[str, PlannedGrid]
) -> list[tuple[object, PlannedGrid]]:
    """What each run of these samples had planned, with its seed, by which prompts are unlike."""
    firsts = part.drop_duplicates("file")
    return [
        (seed, plans[file])
        for file, seed in zip(firsts["file"], firsts["seed"], strict=True)
        if file in plans
    ]


def _grid(
    part: pd.DataFrame, key: Mapping[str, str], plans: Sequence[tuple[object, PlannedGrid]]
) -> Grid:
    lengths = np.unique([*part["length_tokens"], *(n for _, plan in plans for n in plan.lengths)])
    depths = np.unique([*part["depth_frac"], *(d for _, plan in plans for d in plan.depths)])
    shape = (len(depths), len(lengths))
    if len(depths) * len(lengths) > MAX_CELLS:
        raise ValueError(
            f"a grid of {len(lengths):,} lengths and {len(depths):,} depths is more than the "
            f"{MAX_CELLS:,} cells that can be drawn: read fewer result files together"
        )
    place = (
        np.searchsorted(depths, part["depth_frac"].to_numpy()),
        np.searchsorted(lengths, part["length_tokens"].to_numpy()),
    )
    score = part["score"].to_numpy(dtype=np.float64)
    is_measured = ~np.isnan(score)
    trials = _sums(shape, place, is_measured)
    total = _sums(shape, place, np.where(is_measured, score, 0.0))
    achieved = (
        part["depth_frac_achieved"].to_numpy(dtype=np.float64)
        if "depth_frac_achieved" in part
        else np.full(len(part), np.nan)
    )
    error = np.full(shape, np.nan)
    np.fmax.at(error, place, np.abs(achieved - part["depth_frac"].to_numpy()))
    is_known = ~np.isnan(achieved)
    return Grid(
        model=key["model"],
        task=key["task"],
        num_needles=int(key["num_needles"]),
        ask=key["ask"],
        haystack=key["haystack"],
        conditions={name: key[name] for name in CONDITIONS},
        lengths=tuple(lengths.tolist()),
        depths=tuple(depths.tolist()),
        mean=_ratio(total, trials),
        trials=trials.astype(np.int64),
        not_measured=_reasons(part, plans),
        depth_achieved=_ratio(
            _sums(shape, place, np.where(is_known, achieved, 0.0)), _sums(shape, place, is_known)
        ),
        depth_error=error,
    )


def _sums(
    shape: tuple[int, int], place: tuple[np.ndarray, np.ndarray], values: np.ndarray
) -> np.ndarray:
    sums = np.zeros(shape)
    np.add.at(sums, place, values)
    return sums


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _reasons(part: pd.DataFrame, plans: Sequence[tuple[object, PlannedGrid]]) -> dict[str, int]:
    """Prompts without a score, by the reason; most of them first."""
    reasons: dict[str, int] = {}
    if "not_measured" in part:
        counts = part.loc[part["score"].isna(), "not_measured"].value_counts()
        reasons = {str(reason): int(count) for reason, count in counts.items()}
    if not plans:
        return reasons
    planned: dict[tuple[object, int, float], int] = {}
    for seed, plan in plans:
        for length in plan.lengths:
            for depth in plan.depths:
                cell = (seed, length, depth)
                planned[cell] = max(planned.get(cell, 0), plan.trials)
    found = part.groupby(["seed", "length_tokens", "depth_frac"], dropna=False).size().to_dict()
    absent = sum(max(0, trials - found.get(cell, 0)) for cell, trials in planned.items())
    return {**reasons, NOT_RUN: absent} if absent else reasons


def _told_apart(grids: Sequence[Grid]) -> list[Grid]:
    """The grids with what tells those of one kind apart."""
    variants: dict[int, tuple[str, ...]] = {}
    for kind in dict.fromkeys(_kind(grid) for grid in grids):
        own = [number for number, grid in enumerate(grids) if _kind(grid) == kind]
        found = differences([(grids[number].model, grids[number].conditions) for number in own])
        variants |= dict(zip(own, found, strict=True))
    return [replace(grid, variant=variants[number]) for number, grid in enumerate(grids)]


def _kind(grid: Grid) -> tuple[object, ...]:
    return tuple(getattr(grid, name) for name in KIND if name != "model")
