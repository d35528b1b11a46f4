"""Runs of likelihood by position, for its tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from heatmaps.likelihood.samples import read_nll
from heatmaps.run_files import newest_files

EARLY, LATE = "2026-01-05T09-00-00.123456", "2026-01-06T09-00-00"
EDGES = [1, 64, 128, 256, 512]


def write_run(
    folder: Path, samples: list[Any], *, timestamp: str = EARLY, task: str = "yoco_nll"
) -> Path:
    """Writes samples, broken ones too, beside the least of a results file; their path."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model": "yoco", "model_args": {"pretrained": folder.name}}
    (folder / f"results_{timestamp}.json").write_text(json.dumps({"config": config}))
    path = folder / f"samples_{task}_{timestamp}.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in samples))
    return path


def read(path: Path) -> pd.DataFrame:
    """What is read of one model, called mine."""
    return read_nll([newest_files("mine", [path])])


def frame_of(tmp_path: Path, models: dict[str, list[Any]]) -> pd.DataFrame:
    """What is read of several models, each with its samples."""
    for model, samples in models.items():
        write_run(tmp_path / model, samples)
    return read_nll([newest_files(model, [tmp_path / model]) for model in models])
