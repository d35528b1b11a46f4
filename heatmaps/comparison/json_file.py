"""A comparison as JSON: every figure, and all that is needed to make it again and check it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path
from platform import python_version
from typing import Any

from heatmaps.comparison.paired_statistics import CORRECTION, INTERVAL
from heatmaps.comparison.scores import Comparison, MeanScore, ModelScore, TaskComparison
from heatmaps.whole_files import whole_file

SCHEMA = "yoco-evals/comparison"
# Counted up when a field changes its meaning or goes away; new fields do not count.
SCHEMA_VERSION = 2
_PACKAGES = ("yoco-evals", "numpy", "scipy", "pandas", "matplotlib")


def write_json(comparison: Comparison, path: Path) -> None:
    """Writes the comparison; the same results give the same file."""
    scores = [own for task in comparison.tasks for own in task.scores if own is not None]
    files = {file: _file_sha256(file) for file in {file for own in scores for file in _files(own)}}
    content = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "baseline": comparison.models[0],
        "models": list(comparison.models),
        "settings": {
            "seed": comparison.seed,
            "resamples": comparison.resamples,
            "confidence": 0.95,
            "interval": INTERVAL,
            "correction": f"{CORRECTION}, over the tasks of each model",
        },
        "tasks": [_task(comparison, task, files) for task in comparison.tasks],
        "mean": {
            "tasks": list(comparison.mean_tasks),
            "models": [
                {"model": label, **_mean(mean)}
                for label, mean in zip(comparison.models, comparison.means, strict=False)
            ],
        }
        if comparison.means
        else None,
        "notes": list(comparison.notes),
        "versions": {"python": python_version()} | {name: _version(name) for name in _PACKAGES},
    }
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    with whole_file(path) as file:
        # half a character of a file's name is written as JSON escapes it
        file.write_bytes(f"{text}\n".encode(errors="backslashreplace"))


def _files(own: ModelScore) -> list[Path]:
    files = (own.result.samples_file, own.result.results_file)
    return [file for file in files if file is not None]


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _task(
    comparison: Comparison, task: TaskComparison, files: Mapping[Path, str]
) -> dict[str, Any]:
    return {
        "task": task.task,
        "metric": task.metric,
        "higher_is_better": task.higher_is_better,
        "num_available": task.num_available,
        # None is a model that was not measured, which is not a score of zero.
        "models": [
            _model(label, own, files)
            for label, own in zip(comparison.models, task.scores, strict=True)
        ],
    }


def _model(label: str, own: ModelScore | None, files: Mapping[Path, str]) -> dict[str, Any]:
    if own is None:
        return {"model": label, "score": None}
    result, difference = own.result, own.difference
    low, high = own.interval
    return {
        "model": label,
        "num_documents": own.num_documents,
        "num_cells_left_out": own.num_left_out,
        "num_not_measured": own.num_not_measured,
        "score": own.score,
        "standard_error": _finite(own.standard_error),
        "interval": [_finite(low), _finite(high)],
        "reported": {
            "score": _finite(result.reported_score),
            "standard_error": _finite(result.reported_stderr),
        },
        "difference": None
        if difference is None
        else {
            "difference": difference.difference,
            "interval": [_finite(difference.low), _finite(difference.high)],
            "p_value": difference.p_value,
            "test": difference.test,
            "p_holm": own.p_corrected,
            "wins": difference.wins,
            "losses": difference.losses,
            "ties": difference.ties,
        },
        "run": {
            "model": result.run.name,
            "backend": result.run.source,
            "model_args": result.run.settings,
            "model_sha": result.run.sha,
            "aggregation": result.scores.aggregation,
            **asdict(result.settings),
            "files": {str(file): files[file] for file in _files(own)},
        },
    }


def _mean(mean: MeanScore) -> dict[str, Any]:
    return {name: _finite(value) for name, value in asdict(mean).items()}


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
