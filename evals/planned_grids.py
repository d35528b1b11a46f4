"""What a needle run set out to measure, read from the settings in its results file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heatmaps.needles.planned import PlannedGrid
from heatmaps.sample_lines import whole_number
from tasks.lengths import parse_depths, parse_lengths


def read_plan(metadata: Mapping[str, Any]) -> PlannedGrid:
    """The grid of a needle task's settings.

    Raises:
        ValueError: a setting cannot be read.
    """
    return PlannedGrid(
        lengths=parse_lengths(metadata["lengths"]),
        depths=parse_depths(metadata["depths"], metadata.get("depth_spacing", "linear")),
        trials=whole_number(metadata.get("trials", 1), "trials", least=1),
    )
