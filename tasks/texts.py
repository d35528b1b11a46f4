"""Texts as they lie about: files, the columns of datasets, the sources of Python."""

from __future__ import annotations

import functools
import glob
import os
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

_STDLIB_SKIPPED = {"site-packages", "dist-packages", "test", "tests", "__pycache__"} | {
    "idlelib",
    "lib2to3",
    "turtledemo",
}


def file_paths(pattern: str) -> list[Path]:
    """The files that a pattern matches, in sorted order; `**` stands for any folders.

    Raises:
        ValueError: If it matches no file.
    """
    paths = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
    paths = [path for path in paths if path.is_file()]
    if not paths:
        raise ValueError(
            f"'files:{pattern}' matches no file (looked in {Path.cwd()}): "
            "correct the pattern or start from another folder"
        )
    return paths


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, its line ends as they are.

    Raises:
        ValueError: If it is in another encoding.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"text file {path} is not UTF-8 at byte {error.start}: convert it or leave it out"
        ) from error


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
def dataset_texts(dataset: str) -> Sequence[str]:
    """A column of text of a dataset: the one called "text", else the first; read as it is asked.

    Args:
        dataset: "NAME[:CONFIG][:SPLIT]", as `datasets` knows them; the split is "train" unless
            given.

    Raises:
        ValueError: If no column holds strings.
    """
    from datasets import Value, load_dataset

    name, config, split = [*dataset.split(":"), "", ""][:3]
    rows = load_dataset(name, config or None, split=split or "train")
    columns = [
        column
        for column, feature in rows.features.items()
        if isinstance(feature, Value) and feature.dtype in ("string", "large_string")
    ]
    if not columns:
        raise ValueError(
            f"dataset 'hf:{dataset}' has no column of strings, only {sorted(rows.features)}: "
            "name another dataset"
        )
    return rows["text" if "text" in columns else columns[0]]
