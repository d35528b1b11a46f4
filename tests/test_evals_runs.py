"""The store of completed runs: what is found again, and what never is."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import platform
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from evals.model_keys import ModelKey
from evals.run_keys import RunKey
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
    software={"torch": "2.13.0", "code_sha256": "d" * 64},
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


def test_a_workspace_holds_no_pickles_and_leads_nowhere_else(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "out")
    workspace = store.workspace(KEY)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.db").touch()
    # of versions before; a database, a folder, a link
    (workspace / "requests_rank0.db").write_bytes(b"a pickle")
    (workspace / "requests_rank0.db-journal").touch()
    (workspace / "requests_rank1.db").mkdir()
    (workspace / "requests_rank2.db").symlink_to(elsewhere / "mine.db")
    (workspace / "results").symlink_to(elsewhere)
    (workspace / "answers_rank0.txt").write_text("kept")
    assert os.listdir(store.workspace(KEY)) == ["answers_rank0.txt"]
    # the folder itself, and that of all
    for folder in (workspace, workspace.parent):
        shutil.rmtree(folder)
        folder.symlink_to(elsewhere)
        assert os.listdir(store.workspace(KEY)) == []
        assert not folder.is_symlink()
    assert os.listdir(elsewhere) == ["mine.db"]


ODD_MANIFESTS = [
    b"",
    b"null",
    b"[]",
    b'{"format": 2}',
    b'{"format": 2, "key": 3, "files": {}, "not_measured": []}',
    b'{"format": 2, "key": {}, "files": {}, "not_measured": []}',
    b'{"format": 2, "key": KEY, "files": {}, "not_measured": []}',
    b'{"format": 2, "key": KEY, "files": [], "not_measured": []}',
    b'{"format": 2, "key": KEY, "files": {"results_x.json": null}, "not_measured": []}',
    b'{"format": 2, "key": KEY, "files": FILES, "not_measured": null}',
    b'{"format": 2, "key": KEY, "files": FILES, "not_measured": [{}]}',
    b'{"format": 2, "key": KEY, "files": {"results_x.json": "a"}, "not_measured": []}',
    b'{"format": 2, "key": KEY, "files": {"results_x.json": "a", "samples_x.jsonl": "a", '
    b'"../../x\\u001b[2J": "a"}, "not_measured": []}',
    b"[" * 100_000,
    b'{"format": ' + b"9" * 5000 + b"}",
    b"\xff\xfe",
]


@pytest.mark.parametrize("content", ODD_MANIFESTS, ids=range(len(ODD_MANIFESTS)))
def test_odd_manifests_are_runs_to_do_again(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, folder = completed(tmp_path)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    content = content.replace(b"KEY", json.dumps(KEY.to_dict()).encode())
    content = content.replace(b"FILES", json.dumps(files).encode())
    (folder / "manifest.json").write_bytes(content)
    assert store.find(KEY) is None
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.isprintable() is False and "run again" in said
    assert said.removesuffix("\n").isprintable() and len(said) < 500


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_manifests_that_are_no_files(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, folder = completed(tmp_path)
    path = folder / "manifest.json"
    path.unlink()
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            path.symlink_to(path)
    assert store.find(KEY) is None
    assert "it has no manifest" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    ["results_2999-01-01T00-00-00.json", "samples_x_2999-01-01T00-00-00.jsonl", "a.json", "deeper"],
)
def test_what_somebody_laid_into_a_run_is_not_taken_for_it(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, folder = completed(tmp_path)
    # a picture of it is no result
    (folder / "heatmap.png").touch()
    assert store.find(KEY) == folder
    if name == "deeper":
        (folder / name).mkdir()
    else:
        (folder / name).write_text("{}")
    assert store.find(KEY) is None
    assert f"{folder}: {name} was added to it; moved to" in capsys.readouterr().err


def test_one_process_at_a_time(tmp_path: Path) -> None:
    here = rf"\({os.getpid()} on {re.escape(platform.node())}, since 20\d\d-.*\)"
    message = rf"another process {here} is at work in {re.escape(str(tmp_path))}: wait for it"
    with RunStore(tmp_path).locked():
        with pytest.raises(ValueError, match=message), RunStore(tmp_path).locked():
            pass
        for odd in ('{"pid": "\\u001b[2J"}', "[" * 100_000, '{"pid": {}, "host": [], "since": 9}'):
            (tmp_path / ".lock-holder").write_text(odd)
            with (
                pytest.raises(ValueError, match=r"another process.* is at work in") as refused,
                RunStore(tmp_path).locked(),
            ):
                pass
            assert str(refused.value).isprintable()
    with RunStore(tmp_path).locked():
        pass
    assert not (tmp_path / ".lock-holder").exists()


def test_where_nothing_can_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root, reason in [
        (tmp_path / "file", "there is a file of that name"),
        (tmp_path / "file" / "below", "Not a directory"),
        (tmp_path / ("n" * 300), "File name too long"),
    ]:
        message = f"^results cannot be written into {re.escape(str(root))}: {reason}$"
        with pytest.raises(OSError, match=message), RunStore(root).locked():
            pass
    # a task's name is part of names of files
    store = RunStore(tmp_path / "out")
    store.check_writable(["piqa", "t" * 200])
    for task in ("t" * 220, "t" * 250):
        message = "^results cannot be written into .*: File name too long$"
        with pytest.raises(OSError, match=message):
            store.check_writable(["piqa", task])
    # nothing is left of the attempt
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_is_said_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    message = "^results cannot be written into .*: No space left on device$"
    with pytest.raises(OSError, match=message):
        RunStore(tmp_path / "out").check_writable(["piqa"])
    assert os.listdir(tmp_path) == []
