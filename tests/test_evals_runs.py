"""The store of completed runs: what is found again, and what never is."""

from __future__ import annotations

import dataclasses
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from evals.run_keys import ModelKey, RunKey
from evals.runs import RunStore

MODEL = ModelKey(
    checkpoint_sha256="a" * 64,
    tokenizer_sha256="b" * 64,
    dtype="float32",
    device_type="cpu",
    kernels={"retention": "chunked"},
    rope_precision="float64",
    max_length=1024,
)
KEY = RunKey(
    model=MODEL,
    task="group::task",
    task_sha256="c" * 64,
    settings={"lengths": [1, 2]},
    texts_sha256={},
    data_sha256=None,
    limit=None,
    num_fewshot=0,
    lm_eval_version="0.4.13",
    yoco_evals_version="0.1.0",
)


def written(store: RunStore, key: RunKey = KEY) -> Path:
    folder = store.workspace(key) / "results"
    folder.mkdir()
    (folder / "results_x.json").write_text("{}")
    (folder / "samples_x.jsonl").write_text("1\n2\n")
    return folder


def completed(root: Path) -> tuple[RunStore, Path]:
    store = RunStore(root)
    return store, store.complete(KEY, written(store), pretrained="model")


def test_a_completed_run_is_found_by_its_key(tmp_path: Path) -> None:
    _, folder = completed(tmp_path)
    assert RunStore(tmp_path).find(KEY) == folder
    assert folder.name == f"group_task-{KEY.digest[:16]}"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["key"] == KEY.to_dict()
    assert manifest["key"]["model"]["checkpoint_sha256"] == "a" * 64
    assert manifest["files"].keys() == {"results_x.json", "samples_x.jsonl"}
    assert not (tmp_path / "unfinished").exists()


@pytest.mark.parametrize("field", [each.name for each in dataclasses.fields(RunKey)])
def test_every_part_of_the_key_counts(field: str, tmp_path: Path) -> None:
    store, folder = completed(tmp_path)
    others: list[Any] = ["other"]
    if field == "model":
        others = [
            dataclasses.replace(MODEL, **{each.name: "other"})
            for each in dataclasses.fields(ModelKey)
        ]
    for other in others:
        key = dataclasses.replace(KEY, **{field: other})
        assert store.find(key) is None
        # made anew, beside the old
        assert store.complete(key, written(store, key), pretrained="model") != folder
        assert store.find(KEY) == folder


def test_a_run_in_progress_is_not_found(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    folder = written(store)
    assert store.find(KEY) is None
    # killed while it wrote its results: they are not taken up again
    assert store.workspace(KEY) == folder.parent
    assert not folder.exists()


def test_a_kill_after_the_last_step_leaves_nothing_behind(tmp_path: Path) -> None:
    store, folder = completed(tmp_path)
    store.workspace(KEY)
    assert store.find(KEY) == folder
    assert not (tmp_path / "unfinished").exists()


@pytest.mark.parametrize("damage", ["cut", "gone", "no manifest", "half a manifest", "another's"])
def test_damage_is_moved_aside(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, folder = completed(tmp_path)
    manifest = folder / "manifest.json"
    match damage:
        case "cut":
            (folder / "samples_x.jsonl").write_text("1\n")
        case "gone":
            (folder / "results_x.json").unlink()
        case "no manifest":
            manifest.unlink()
        case "half a manifest":
            manifest.write_text(manifest.read_text()[:40])
        case _:
            manifest.write_text(manifest.read_text().replace('"float32"', '"float16"'))
    assert store.find(KEY) is None
    assert folder.with_name(folder.name + ".damaged").is_dir()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "run again" in said
    again = store.complete(KEY, written(store), pretrained="model")
    assert store.find(KEY) == again == folder


def test_answers_survive_unless_their_database_is_damaged(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    database = store.workspace(KEY) / "requests_rank0.db"
    connection = sqlite3.connect(database)
    connection.execute("create table answers (value)")
    connection.executemany("insert into answers values (?)", [(n,) for n in range(5000)])
    connection.commit()
    connection.close()
    store.workspace(KEY)
    assert database.exists()
    content = bytearray(database.read_bytes())
    content[4096:12288] = bytes(8192)
    database.write_bytes(content)
    store.workspace(KEY)
    assert not database.exists()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    message = f"another process is at work in {tmp_path}: wait for it"
    with (
        RunStore(tmp_path).locked(),
        pytest.raises(ValueError, match=re.escape(message)),
        RunStore(tmp_path).locked(),
    ):
        pass
    with RunStore(tmp_path).locked():
        pass
