"""A folder of completed runs, each of one task and one model, found again by its whole key.

    ROOT/runs/TASK-DIGEST/        manifest.json, results_TIME.json, samples_TASK_TIME.jsonl
    ROOT/unfinished/TASK-DIGEST/  answers to single requests, until the run is complete

A run is written next to them, synchronised, and renamed when it is whole; the manifest, with the
key and a hash of each file, is its last file. What a kill leaves is never read as a result, and
neither is what somebody adds to a run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evals.output_folders import check_writable, held
from evals.run_keys import RunKey
from heatmaps.printable import printable

MANIFEST = "manifest.json"
_FORMAT = 2
_DIGEST_CHARS = 16


class RunStore:
    """The completed runs of one folder.

    Args:
        root: created where it is missing.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def locked(self) -> AbstractContextManager[None]:
        """Keeps other processes from working in this folder; the lock ends with the process.

        Raises:
            ValueError: another process works there.
            OSError: the folder cannot be made, or not be written into.
        """
        return held(self.root)

    def check_writable(self, tasks: Iterable[str]) -> None:
        """That runs of these tasks can be written.

        Raises:
            OSError: they cannot, with the reason.
        """
        longest = max(tasks, key=lambda task: len(task.encode()))
        folder = self.root / "unfinished" / f"{_as_name(longest)}-{'0' * _DIGEST_CHARS}" / "results"
        check_writable(folder, f"samples_{longest}_2000-01-01T00-00-00.000000.jsonl")

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
            self.discard_workspace(key)
            return folder
        aside = folder.with_name(folder.name + ".damaged")
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        print(f"{folder}: {fault}; moved to {aside.name}, and run again", file=sys.stderr)
        return None

    def workspace(self, key: RunKey) -> Path:
        """The folder of a run in progress; it survives a kill, for what is safe to use again."""
        folder = self._folder("unfinished", key)
        for path in (folder.parent, folder):
            # what a link leads to is not ours to write to
            if path.is_symlink():
                path.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        # of one that was killed while it wrote its results; and what versions before kept answers
        # in, pickles, which are not opened
        for path in (folder / "results", *folder.glob("*.db*")):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        return folder

    def complete(
        self, key: RunKey, written: Path, *, pretrained: str, not_measured: Sequence[str] = ()
    ) -> Path:
        """Makes the folder `written`, below the workspace, the completed run of this key.

        Args:
            not_measured: a line for each part of the run that has no score.

        Returns:
            Where it is now.
        """
        files = {path.name: _sha256(path) for path in sorted(written.iterdir())}
        manifest = {
            "format": _FORMAT,
            "key": key.to_dict(),
            "files": files,
            "pretrained": pretrained,
            "not_measured": list(not_measured),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        folder = self._folder("runs", key)
        try:
            text = json.dumps(manifest, indent=2) + "\n"
            (written / MANIFEST).write_text(text, encoding="utf-8")
            for path in (*written.iterdir(), written):
                _synchronise(path)
            folder.parent.mkdir(exist_ok=True)
            written.rename(folder)
            _synchronise(folder.parent)
        except OSError as error:
            raise OSError(
                f"{folder} cannot be written: {error.strerror}; all answers are kept: run again "
                "when it can be"
            ) from error
        self.discard_workspace(key)
        return folder

    def discard_workspace(self, key: RunKey) -> None:
        """Removes what was kept of a run in progress."""
        workspace = self._folder("unfinished", key)
        shutil.rmtree(workspace, ignore_errors=True)
        with suppress(OSError):
            # others may be unfinished still
            workspace.parent.rmdir()

    def _folder(self, kind: str, key: RunKey) -> Path:
        return self.root / kind / f"{_as_name(key.task)}-{key.digest[:_DIGEST_CHARS]}"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a completed run says of itself.

    Attributes:
        key: the run's, as `RunKey.to_dict` has it.
        files: hash of each by its name.
        not_measured: a line for each part of the run that has no score.
    """

    key: dict[str, Any]
    files: dict[str, str]
    not_measured: tuple[str, ...]


def _as_name(task: str) -> str:
    return re.sub(r"[^\w.-]+", "_", task)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a run.

    Raises:
        ValueError: there is none, or it is not as we write them.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError("it has no manifest")
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is not {_FORMAT}")
        manifest = Manifest(
            key=dict(content["key"]),
            files=_strings(content["files"]),
            not_measured=tuple(_strings(dict.fromkeys(content["not_measured"], ""))),
        )
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        reason = printable(f"{type(error).__name__}: {error}")[:100]
        raise ValueError(f"its manifest cannot be read ({reason})") from error
    return manifest


def _strings(mapping: Any) -> dict[str, str]:
    """The mapping, all of strings.

    Raises:
        TypeError: it is not.
    """
    found = dict(mapping)
    if not all(isinstance(each, str) for pair in found.items() for each in pair):
        raise TypeError("not all are strings")
    return found


def _fault(folder: Path, key: RunKey) -> str | None:
    """What is wrong with a completed run; None if nothing is."""
    try:
        manifest = read_manifest(folder)
    except ValueError as error:
        return str(error)
    if manifest.key != key.to_dict():
        return "its manifest names another run"
    for kind in ("results_", "samples_"):
        if not any(name.startswith(kind) for name in manifest.files):
            return f"its manifest names no {kind}* file"
    for name, sha256 in manifest.files.items():
        path = folder / name
        if Path(name).name != name or not path.is_file() or _sha256(path) != sha256:
            return f"{printable(name)[:100]} is missing, or not what was written"
    for path in sorted(folder.iterdir()):
        # which readers of the folder would take for results of this run
        could_be_read = path.is_dir() or path.suffix in (".json", ".jsonl")
        if could_be_read and path.name not in manifest.files and path.name != MANIFEST:
            return f"{printable(path.name)[:100]} was added to it"
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
