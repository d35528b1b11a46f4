"""Folders that results go to: one process at a time, and it is known early that they can."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import filelock

from heatmaps.printable import printable

LOCK, HOLDER = ".lock", ".lock-holder"
# the least that a run writes
_PROBE_BYTES = 16_384
# of what is shown of a file that anybody may have written
_MOST_CHARS = 200


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Makes a folder, and keeps other processes from working there as long as this one lives.

    Raises:
        ValueError: another process works there.
        OSError: it cannot be made, or not be written into.
    """
    lock = filelock.FileLock(folder / LOCK)
    holder = folder / HOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise ValueError(
            f"another process{_description(holder)} is at work in {folder}: wait for it, or give "
            "another --output"
        ) from None
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        try:
            _write_holder(holder)
        except OSError as error:
            raise _unwritable(folder, error) from error
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def check_writable(folder: Path, longest_name: str) -> None:
    """That files of such names can be written into a folder, which is made for that and removed.

    Raises:
        OSError: they cannot, with the reason.
    """
    probe = folder / ("." + "n" * (len(longest_name.encode()) - 1))
    made: list[Path] = []
    try:
        made += [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        with probe.open("wb") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            # where a quota or another machine has its say
            os.fsync(file.fileno())
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        with suppress(OSError):
            probe.unlink()
        for path in made:
            with suppress(OSError):
                path.rmdir()


def _unwritable(folder: Path, error: OSError) -> OSError:
    reason = error.strerror or str(error)
    if isinstance(error, FileExistsError):
        reason = "there is a file of that name"
    return OSError(f"results cannot be written into {folder}: {reason}")


def _write_holder(path: Path) -> None:
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    text = json.dumps({"pid": os.getpid(), "host": platform.node(), "since": since})
    # whatever a process that was killed has left there
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8")


def _description(holder: Path) -> str:
    """Who holds a lock; nothing where that cannot be read, or is not written yet."""
    try:
        if holder.is_symlink() or not holder.is_file():
            return ""
        with holder.open("rb") as file:
            found = json.loads(file.read(4096))
        text = f" ({found['pid']} on {found['host']}, since {found['since']})"
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return ""
    return printable(text)[:_MOST_CHARS]
