"""A folder of completed runs, each of one task and one model, found again by its whole key.

    ROOT/runs/TASK-DIGEST/        manifest.json, results_TIME.json, samples_TASK_TIME.jsonl
    ROOT/unfinished/TASK-DIGEST/  answers to single requests, until the run is complete

A run is written beside, synchronised, and renamed when it is whole; the manifest, with the key and
a hash of each file, is its last file. What a kill leaves behind is never read as a result.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock

from evals.run_keys import RunKey

MANIFEST = "manifest.json"
_FORMAT = 1


class RunStore:
    """The completed runs of one folder.

    Args:
        root: created where it is missing.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from working in this folder; the lock ends with the process.

        Raises:
            ValueError: another process works there.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.root / ".lock")
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            raise ValueError(
                f"another process is at work in {self.root}: wait for it, or give another --output"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def find(self, key: RunKey) -> Path | None:
        """The folder of the completed run of this key, checked file by file; None if there is none.

        A folder that is not whole any more is moved aside.
        """
        folder = self._folder("runs", key)
        if not folder.exists():
            return None
        fault = _fault(folder, key)
        if fault is None:
            # of a run that was killed when all but this was done
            self._discard_workspace(key)
            return folder
        aside = folder.with_name(folder.name + ".damaged")
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        print(f"{folder}: {fault}; moved to {aside.name}, and run again", file=sys.stderr)
        return None

    def workspace(self, key: RunKey) -> Path:
        """The folder of a run in progress; it survives a kill, for what is safe to use again."""
        folder = self._folder("unfinished", key)
        folder.mkdir(parents=True, exist_ok=True)
        # one that was killed while it wrote its results
        shutil.rmtree(folder / "results", ignore_errors=True)
        for path in folder.glob("*.db"):
            if not _is_sound(path):
                path.unlink()
        return folder

    def complete(self, key: RunKey, written: Path, *, pretrained: str) -> Path:
        """Makes the folder `written`, below the workspace, the completed run of this key.

        Returns:
            Where it is now.
        """
        files = {path.name: _sha256(path) for path in sorted(written.iterdir())}
        manifest = {
            "format": _FORMAT,
            "key": key.to_dict(),
            "files": files,
            "pretrained": pretrained,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        (written / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        for path in (*written.iterdir(), written):
            _synchronise(path)
        folder = self._folder("runs", key)
        folder.parent.mkdir(exist_ok=True)
        written.rename(folder)
        _synchronise(folder.parent)
        self._discard_workspace(key)
        return folder

    def _discard_workspace(self, key: RunKey) -> None:
        workspace = self._folder("unfinished", key)
        shutil.rmtree(workspace, ignore_errors=True)
        with suppress(OSError):
            # others may be unfinished still
            workspace.parent.rmdir()

    def _folder(self, kind: str, key: RunKey) -> Path:
        name = re.sub(r"[^\w.-]+", "_", key.task)
        return self.root / kind / f"{name}-{key.digest[:16]}"


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder / MANIFEST} cannot be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise ValueError(f"{folder / MANIFEST} is no manifest of format {_FORMAT}")
    return manifest


def _fault(folder: Path, key: RunKey) -> str | None:
    """What is wrong with a completed run; None if nothing is."""
    try:
        manifest = read_manifest(folder)
    except ValueError as error:
        return str(error)
    if manifest.get("key") != key.to_dict():
        return "its manifest names another run"
    for name, sha256 in manifest["files"].items():
        path = folder / name
        if not path.is_file() or _sha256(path) != sha256:
            return f"{name} is missing, or not what was written"
    return None


def _is_sound(database: Path) -> bool:
    """Whether SQLite finds a database whole; what a kill interrupted it takes back itself."""
    try:
        connection = sqlite3.connect(database)
        try:
            return connection.execute("pragma quick_check").fetchone() == ("ok",)
        finally:
            connection.close()
    except sqlite3.DatabaseError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
