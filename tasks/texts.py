"""Texts as they lie about: files, folders, the columns of datasets, the sources of Python."""

from __future__ import annotations

import codecs
import functools
import glob
import logging
import os
import stat
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tasks import dataset_reading
from tasks.shown import listed, one_line

# of one text, and of all that make one haystack: more than 200M tokens
MAX_TEXT_BYTES = 1 << 30
# of which it is told whether a file is text
_HEAD_BYTES = 1 << 16

_STDLIB_SKIPPED = {"site-packages", "dist-packages", "test", "tests", "__pycache__"} | {
    "idlelib",
    "lib2to3",
    "turtledemo",
}

_log = logging.getLogger(__name__)


def is_folder(name: str) -> bool:
    """Whether a folder has this name; the empty name is not the one we are in."""
    return bool(name) and "\0" not in name and os.path.isdir(name)


def file_paths(pattern: str) -> list[Path]:
    """The files that a pattern matches, or all of a folder, in sorted order.

    `**` stands for any folders; links to folders are not followed there, nor hidden ones entered.

    Raises:
        ValueError: If it matches no file.
    """
    if is_folder(pattern):
        return _folder_paths(Path(pattern))
    paths = [Path(name) for name in sorted(_matches(pattern))] if "\0" not in pattern else []
    paths = [path for path in paths if path.is_file()]
    if not paths:
        raise ValueError(
            f"'files:{one_line(pattern)}' matches no file (looked in {Path.cwd()}): "
            "correct the pattern or start from another folder"
        )
    return paths


def _folder_paths(folder: Path) -> list[Path]:
    found: list[Path] = []
    for parent, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    paths = sorted((path for path in found if path.is_file()), key=lambda path: path.as_posix())
    if not paths:
        raise ValueError(f"folder {one_line(folder)} holds no files: give one with text files")
    return paths


def _matches(pattern: str) -> set[str]:
    """As `glob.glob(recursive=True)`, which walks through links to folders for ever."""
    parts = pattern.split("/")
    if "**" not in parts:
        return set(glob.glob(pattern))
    place = parts.index("**")
    before, after = "/".join(parts[:place]), "/".join(parts[place + 1 :]) or "*"
    bases = glob.glob(f"{before}/") if before or place else ["."]
    found: set[str] = set()
    for base in bases:
        for parent, subfolders, _ in os.walk(base):
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            found |= _matches(os.path.join(glob.escape(parent), after))
    return found


def texts_of(paths: Sequence[Path], *, strict: bool) -> Iterator[tuple[Path, str]]:
    """The files that are text, with their text.

    Args:
        strict: Refuse a file that is no text; otherwise it is left out, and that is said.

    Raises:
        ValueError: If a file is no text, or too large.
    """
    left_out = []
    for path in paths:
        try:
            if not strict:
                _refuse_binary(path)
            text = read_text(path)
        except _NotText:
            if strict:
                raise
            left_out.append(path.name)
            continue
        yield path, text
    if left_out:
        _log.warning(
            "%d of %d files are left out, for they are not text in UTF-8: %s",
            *(len(left_out), len(paths), listed(left_out)),
        )


class _NotText(ValueError):
    """A file holds something else than text in UTF-8."""


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, its line ends as they are.

    Raises:
        ValueError: If it is in another encoding, too large, or no ordinary file.
    """
    name = one_line(path)
    with open(path, "rb", opener=_not_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError(f"{name} is no ordinary file: give a text file")
        content = file.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        raise ValueError(
            f"text file {name} is larger than {MAX_TEXT_BYTES:,} bytes: split it or leave it out"
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _NotText(
            f"text file {name} is not UTF-8 at byte {error.start}: convert it or leave it out"
        ) from error


def _not_waiting(path: str, flags: int) -> int:
    # to open a FIFO is to wait for somebody who writes
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _refuse_binary(path: Path) -> None:
    with open(path, "rb", opener=_not_waiting) as file:
        head = file.read(_HEAD_BYTES)
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError as error:
        raise _NotText(f"{path} is not UTF-8") from error
    if "\0" in text:
        raise _NotText(f"{path} holds a NUL")


def stdlib_texts() -> Iterator[str]:
    """The sources of this Python's standard library, as far as they are UTF-8."""
    for path in _stdlib_paths():
        try:
            yield path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def _stdlib_paths() -> list[Path]:
    root = Path(sysconfig.get_path("stdlib"))
    found: list[Path] = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if name not in _STDLIB_SKIPPED]
        found += [Path(folder, name) for name in names if name.endswith(".py")]
    # what a build or a distribution wrote for this very machine
    kept = (path for path in found if not path.name.startswith(("_sysconfigdata", "sitecustom")))
    return sorted(kept, key=lambda path: path.relative_to(root).as_posix())


@functools.lru_cache(maxsize=2)
def dataset_texts(dataset: str) -> Sequence[str | None]:
    """A column of text of a dataset, read as it is asked.

    Args:
        dataset: "NAME[:CONFIG][:SPLIT][#COLUMN]", as `datasets` knows them, or a folder that
            `save_to_disk` wrote; the split is "train" unless given or the only one, the column is
            "text" unless given or the only one of strings.

    Raises:
        ValueError: If the dataset cannot be read or has no rows, or if it is not clear which
            column is meant.
    """
    source, column = split_column(dataset)
    place = f"dataset 'hf:{one_line(dataset)}'"
    rows = _rows(source, place)
    if not len(rows):
        raise ValueError(f"{place} has no rows: name another")
    column = _text_column(rows.features, column, place, source)
    arrow = rows.data.column(column)
    if arrow.null_count:
        _log.warning(
            "%s: %d of %d rows are null in the column %r, and left out",
            *(place, arrow.null_count, len(arrow), column),
        )
    import pyarrow.compute as of_arrow

    lengths = of_arrow.call_function("binary_length", [arrow])
    longest = of_arrow.call_function("max", [lengths]).as_py() or 0
    if longest > MAX_TEXT_BYTES:
        raise ValueError(
            f"{place} has a row of {longest:,} bytes: leave it out, for at most "
            f"{MAX_TEXT_BYTES:,} are read"
        )
    return rows[column]


def split_column(dataset: str) -> tuple[str, str]:
    """The dataset without the column that "#COLUMN" at its end names, and that or ""."""
    source, mark, column = dataset.rpartition("#")
    # a folder may have the mark in its name
    if not mark or (source.partition(":")[0] == source and Path(dataset).is_dir()):
        return dataset, ""
    return source, column


def _rows(source: str, place: str) -> Any:
    """The rows of the split that is meant."""
    name, config, split = [*source.split(":"), "", ""][:3]
    if Path(name).is_file():
        raise ValueError(f"{place} is a file: give the folder that holds it, or files:{name}")
    if Path(name).is_dir() and dataset_reading.is_saved(Path(name)):
        if config:
            raise ValueError(
                f"{place} was saved by `save_to_disk` without configurations: use '::'"
            )
        found = dataset_reading.load_saved(Path(name), place=place)
        if not isinstance(found, dict):
            if split and split != str(found.split):
                raise ValueError(f"{place} is a dataset without splits: leave out ':{split}'")
            return found
    else:
        found = _loaded(name, config, split, place)
        if not isinstance(found, dict):
            return found
    wanted = split or (next(iter(found)) if len(found) == 1 else "train")
    if wanted not in found:
        raise ValueError(
            f"{place} has no split {wanted!r}, only {listed(found)}: "
            f"write hf:{name}:{config}:SPLIT with one of them"
        )
    return found[wanted]


def _loaded(name: str, config: str, split: str, place: str) -> Any:
    """The splits of a folder, or the one of the hub's dataset that is meant."""
    if not Path(name).is_dir():
        return dataset_reading.load(name, config or None, place=place, split=split or "train")
    # In memory and not through the user's cache: that goes by names and times of files.
    with tempfile.TemporaryDirectory() as cache:
        options: dict[str, Any] = {"cache_dir": cache, "keep_in_memory": True}
        if "[" in split:
            options["split"] = split
        return dataset_reading.load(name, config or None, place=place, **options)


def _text_column(features: Any, asked: str, place: str, source: str) -> str:
    from datasets import Value

    columns = [
        column
        for column, feature in features.items()
        if isinstance(feature, Value) and feature.dtype in ("string", "large_string")
    ]
    wanted = asked or "text"
    if wanted in columns:
        return wanted
    if wanted in features:
        kind = getattr(features[wanted], "dtype", None) or type(features[wanted]).__name__
        raise ValueError(
            f"{place}: its column {wanted!r} holds {one_line(kind, 60)}, not text: name another as "
            f"hf:{source}#COLUMN (strings are in: {listed(columns) or 'none'})"
        )
    if asked:
        raise ValueError(f"{place} has no column {asked!r}, only {listed(features)}: name one")
    if not columns:
        raise ValueError(
            f"{place} has no column of strings, only {sorted(features)}: name another dataset"
        )
    if len(columns) > 1:
        raise ValueError(
            f"{place} has no column 'text', but strings in {listed(columns)}: "
            f"say which is the text, as hf:{source}#{columns[-1]}"
        )
    _log.warning("%s: its text is the column %r, the only one of strings", place, columns[0])
    return columns[0]
