"""Result files of two or three models on several tasks, for the tests of comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from result_samples import benchmark_sample, needle_sample, write_run

from heatmaps.comparison.compare import compare_models
from heatmaps.comparison.scores import Comparison
from heatmaps.run_files import newest_files

LENGTHS, DEPTHS = (1024, 2048, 4096), (0.0, 0.5, 1.0)


def accuracies(seed: int, chance: float, count: int = 60) -> list[dict[str, Any]]:
    """Lines of a benchmark on which a model is right by chance."""
    right = np.random.default_rng(seed).random(count) < chance
    return [benchmark_sample(number, acc=float(value)) for number, value in enumerate(right)]


def needles(found: float, lengths=LENGTHS, *, trials: int = 2) -> list[dict[str, Any]]:
    """Lines of a needle task whose cells are all `found` at the first depth and 1 elsewhere."""
    cells = [(n, d, t) for n in lengths for d in DEPTHS for t in range(trials)]
    return [
        needle_sample(number, length, depth, found if depth == 0 else 1.0, trial=trial)
        for number, (length, depth, trial) in enumerate(cells)
    ]


def write_models(
    folder: Path, chances: dict[str, float], **tasks: list[dict[str, Any]]
) -> list[tuple[str, list[Path]]]:
    """One run a model: the paper's arc_easy and piqa, a needle grid, and `tasks` for all."""
    models = []
    for number, (label, chance) in enumerate(chances.items()):
        lines = {
            "arc_easy": accuracies(10 + number, chance),
            "piqa": accuracies(20 + number, chance),
            "yoco_needle": needles(chance),
            **tasks,
        }
        models.append((label, [write_run(folder / label, lines, original=2376)]))
    return models


def compare(
    models: list[tuple[str, list[Path]]],
    *,
    tasks: list[str] | None = None,
    seed: int = 0,
    resamples: int = 200,
) -> Comparison:
    """The comparison of what lies in each model's paths."""
    files = [newest_files(label, paths, tasks) for label, paths in models]
    return compare_models(files, tasks=tasks, seed=seed, resamples=resamples)
