"""Datasets of others, read by `datasets`: what is wrong with their files ends in one line.

Readers of data formats are large, and a damaged file can end the process that reads it: a JSON
value nested 100,000 deep does. So files that lie here are read in a child process first.
"""

from __future__ import annotations

import bz2
import faulthandler
import gzip
import json
import lzma
import os
import signal
import stat
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tasks.shown import one_line

# `save_to_disk` leaves the first of a dict of splits, the second of a single dataset
SAVED_SPLITS, SAVED = "dataset_dict.json", "state.json"
# of an Arrow stream; without it rows may be missing and the rest be read
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
# of a compressed file, which may hold any amount
MAX_UNPACKED_BYTES = 2 << 30
_UNPACKERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return any((folder / name).exists() for name in (SAVED_SPLITS, SAVED))


def load(path: str, name: str | None = None, *, place: str, **options: Any) -> Any:
    """What `datasets.load_dataset` makes of a folder, of `data_files` or of the hub's dataset.

    Args:
        path, name, options: of `load_dataset`.
        place: what a message calls it.

    Raises:
        ValueError: It cannot be read, with the reason.
    """
    import datasets

    def read() -> Any:
        return datasets.load_dataset(path, name, **options)

    is_here = "data_files" in options or Path(path).is_dir()
    if Path(path).is_dir():
        _refuse_unreadable(Path(path))
        if any(file.suffix in (".csv", ".tsv") for file in Path(path).rglob("*")):
            # "NA" and "None" are words; without it, where files of other kinds lie there too
            with suppress(_NotForThisReader):
                return _read(
                    lambda: datasets.load_dataset(path, name, keep_default_na=False, **options),
                    place,
                    in_child_first=True,
                )
    return _read(read, place, in_child_first=is_here)


def load_saved(folder: Path, *, place: str, **options: Any) -> Any:
    """What `save_to_disk` wrote: a `Dataset`, or a `DatasetDict` of its splits.

    Raises:
        ValueError: It cannot be read, with the reason.
    """
    import datasets

    _refuse_unreadable(folder)
    for state in folder.rglob(SAVED):
        _check_parts(state)
    return _read(lambda: datasets.load_from_disk(folder, **options), place, in_child_first=True)


class _NotForThisReader(ValueError):
    """An option is unknown to the reader of these files."""


def _refuse_unreadable(folder: Path) -> None:
    """That no file in a folder is endless: a FIFO, a device, a small one that unpacks to very much.

    Raises:
        ValueError: One is.
    """
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names if not name.startswith(".")):
            # what cannot be read is for the reader of its format to say
            with suppress(OSError, EOFError, lzma.LZMAError, zipfile.BadZipFile, zlib.error):
                if not stat.S_ISREG(path.stat().st_mode):
                    raise ValueError(f"{one_line(path)} is no ordinary file: take it out of there")
                if _unpacked_bytes(path) > MAX_UNPACKED_BYTES:
                    raise ValueError(
                        f"{one_line(path)} unpacks to more than {MAX_UNPACKED_BYTES:,} bytes: "
                        "unpack it and leave a part of it"
                    )


def _unpacked_bytes(path: Path) -> int:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    if path.suffix not in _UNPACKERS:
        return 0
    num_bytes = 0
    with _UNPACKERS[path.suffix](path) as file:
        while num_bytes <= MAX_UNPACKED_BYTES and (block := file.read(1 << 20)):
            num_bytes += len(block)
    return num_bytes


def _check_parts(state: Path) -> None:
    """That the parts of a saved dataset lie next to its description, each to its end."""
    try:
        parts = json.loads(state.read_bytes())["_data_files"]
        names = [Path(part["filename"]) for part in parts]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{one_line(state)} is damaged: save the dataset again with `save_to_disk`"
        ) from error
    for name in names:
        if len(name.parts) != 1 or not (state.parent / name).is_file():
            raise ValueError(
                f"{one_line(state)} names the file {one_line(name)}, which is not next to it: "
                "save the dataset again"
            )
        with (state.parent / name).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - len(_END_OF_STREAM)))
            if file.read() != _END_OF_STREAM:
                raise ValueError(
                    f"{one_line(state.parent / name)} is cut short: save the dataset again"
                )


def config_names(folder: str, *, place: str) -> list[str]:
    """The configurations of a dataset in a folder."""
    import datasets

    with faults_as_ours(place):
        return datasets.get_dataset_config_names(folder)


@contextmanager
def faults_as_ours(place: str) -> Iterator[None]:
    """Whatever `datasets` raises within, as a ValueError of one line."""
    try:
        with quietly():
            yield
    # of hundreds of readers, each of which raises what its parts raise
    except Exception as error:
        raise ValueError(f"{place} cannot be read by `datasets`: {reason_of(error)}") from error


def _read(read: Callable[[], Any], place: str, *, in_child_first: bool) -> Any:
    with quietly():
        fault = fault_in_child(lambda: _look_at(read())) if in_child_first else None
    if fault and "doesn't have a 'keep_default_na'" in fault:
        raise _NotForThisReader(fault)
    if fault:
        raise ValueError(f"{place} cannot be read by `datasets`: {fault}")
    with faults_as_ours(place):
        return read()


def _look_at(found: Any) -> None:
    """Checks all values of a dataset, or of its splits: offsets, lengths, UTF-8."""
    for dataset in found.values() if isinstance(found, dict) else [found]:
        dataset.data.table.validate(full=True)


def fault_in_child(function: Callable[[], object]) -> str | None:
    """Calls the function in a process of its own: None, or how it failed, in one line."""
    if not hasattr(os, "fork"):
        return None
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # the child does not go on with what other threads do
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _be_the_child(function, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        return f"its reader ended in {signal.Signals(-status).name}, as over a damaged file"
    return said or None


def _be_the_child(function: Callable[[], object], writing: int) -> None:
    """Never returns."""
    try:
        # of how it ends our message speaks
        faulthandler.disable()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        with suppress(ImportError, ValueError, OSError):
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            function()
        except BaseException as error:
            os.write(writing, reason_of(error).encode(errors="replace"))
    finally:
        os._exit(0)


def reason_of(error: BaseException) -> str:
    """Why reading failed, in one short line: the first cause of what was raised."""
    while error.__cause__ is not None:
        error = error.__cause__
    match error:
        case StopIteration():
            return "it holds no rows"
        case RecursionError():
            return "it is nested too deep"
        case MemoryError():
            return "it is too large for the memory"
    text = next((line for line in str(error).splitlines() if line.strip()), "")
    return one_line(text or type(error).__name__, most=300)


@contextmanager
def quietly() -> Iterator[None]:
    """Without the progress bars and the log of `datasets`: its errors reach the user as ours."""
    import datasets

    verbosity = datasets.logging.get_verbosity()
    has_bars = not datasets.are_progress_bars_disabled()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)
        if has_bars:
            datasets.enable_progress_bars()
