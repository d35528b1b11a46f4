"""The JSON file holds what is needed to check a comparison."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from comparison_samples import accuracies, compare, write_models
from result_samples import write_run

from heatmaps.comparison.json_file import SCHEMA, SCHEMA_VERSION, write_json


@pytest.fixture
def content(tmp_path):
    models = write_models(tmp_path, {"A": 0.5, "B": 1.0})
    extra = write_run(tmp_path / "extra", {"sciq": accuracies(3, 0.5)}, pretrained="/models/B")
    models[1][1].append(extra)
    comparison = compare(models, seed=7, resamples=200)
    paths = tmp_path / "a.json", tmp_path / "b.json"
    for path in paths:
        write_json(comparison, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    return json.loads(paths[0].read_text(), parse_constant=pytest.fail)


def test_schema_settings_and_versions(content):
    assert (content["schema"], content["schema_version"]) == (SCHEMA, SCHEMA_VERSION)
    assert content["baseline"] == "A" and content["models"] == ["A", "B"]
    assert content["settings"]["seed"] == 7 and content["settings"]["resamples"] == 200
    assert content["versions"]["scipy"] and content["versions"]["numpy"]


def test_every_file_is_there_with_its_hash(content):
    runs = [m["run"] for task in content["tasks"] for m in task["models"] if "run" in m]
    files = {path: sha for run in runs for path, sha in run["files"].items()}
    # Two samples files for each of three tasks, one for sciq, and three results files.
    assert len(files) == 2 * 3 + 1 + 3
    for path, sha in files.items():
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == sha


def test_figures_can_be_checked_against_each_other(content):
    for task in content["tasks"]:
        first, second = task["models"]
        if second.get("difference"):
            difference = second["difference"]
            gap = second["score"] - first["score"]
            assert difference["difference"] == pytest.approx(gap)
            low, high = difference["interval"]
            assert low <= difference["difference"] <= high
            assert (
                difference["wins"] + difference["losses"] + difference["ties"]
                == second["num_documents"]
            )
        assert second["reported"]["score"] == pytest.approx(second["score"])


def test_what_was_not_measured_is_null(content):
    (sciq,) = [task for task in content["tasks"] if task["task"] == "sciq"]
    assert sciq["models"][0] == {"model": "A", "score": None}
    assert sciq["models"][1]["difference"] is None
    assert content["mean"]["models"][0]["difference"] is None
    assert content["mean"]["tasks"] == ["arc_easy", "piqa"]
