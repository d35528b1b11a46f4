"""The files that `lm_eval --log_samples --output_path` leaves behind, found and read.

`results_<time>.json` holds the scores and settings of a run, `samples_<task>_<time>.jsonl` of the
same time, beside it, one line a document and filter.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any

from heatmaps.json_text import MOST_BYTES, parsed
from heatmaps.printable import brief

_TIMESTAMP = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2}(?:\.[0-9]+)?"
_SAMPLES_NAME = re.compile(rf"samples_(?P<task>.+)_(?P<timestamp>{_TIMESTAMP})\.jsonl", re.DOTALL)
_RESULTS_NAME = re.compile(rf".+_(?P<timestamp>{_TIMESTAMP})\.json", re.DOTALL)
# Below an output folder of `yoco compare`: runs that were not whole any more, or are not yet.
_SET_ASIDE, _UNFINISHED = ".damaged", "unfinished"


@dataclass(frozen=True, kw_only=True)
class SamplesFile:
    """One samples_*.jsonl.

    Attributes:
        task: as its name says; the last part where lm-eval wrote group::task.
        written: when the run ended, by the file's name; by its date if it was renamed.
        results: the results file of the same run, None if there is none beside it.
    """

    path: Path
    task: str
    written: datetime
    results: Path | None


def find_sample_files(
    paths: Iterable[str | PathLike[str]],
) -> tuple[list[SamplesFile], list[str]]:
    """Samples files, oldest first, each once, and one-line notes on what was left out or is odd.

    Args:
        paths: results_*.json (leads to the samples files of the same timestamp beside it),
            samples_*.jsonl, or folders, searched recursively but for what `yoco compare` set aside
            or did not finish. Links to folders within are not followed.

    Raises:
        FileNotFoundError: a path does not exist, or there are no samples files.
        ValueError: a file is neither.
    """
    paths = [Path(path) for path in paths]
    found: dict[Path, SamplesFile] = {}
    bare: list[Path] = []
    aside: list[Path] = []
    for path in paths:
        if path.is_dir():
            results, sample_paths, passed_over = _search(path)
            aside += passed_over
        elif not path.exists():
            raise FileNotFoundError(
                f"{_shown(path)}: no such file or folder; give results_*.json, samples_*.jsonl or "
                "the folder that lm_eval --output_path named"
            )
        elif not path.is_file():
            raise ValueError(f"{_shown(path)}: neither a file nor a folder: give one of these")
        elif path.suffix == ".jsonl":
            results, sample_paths = [], [path]
        elif _RESULTS_NAME.fullmatch(path.name):
            results, sample_paths = [path], _samples_beside(path)
        else:
            raise ValueError(
                f"{_shown(path)}: not a result file of lm-eval; give results_<time>.json, "
                "samples_<task>_<time>.jsonl or a folder"
            )
        without = [p for p in results if not _samples_beside(p)]
        if without and not path.is_dir():
            raise FileNotFoundError(_no_samples(path))
        bare += without
        for sample_path in sample_paths:
            found.setdefault(sample_path.resolve(), _samples_file(sample_path))
    if not found:
        if bare:
            raise FileNotFoundError(_no_samples(bare[0]))
        named = ", ".join(_shown(path) for path in paths) or "no path"
        others = f"; {note}" if (note := _aside_note(aside)) else ""
        raise FileNotFoundError(f"{named}: no lm-eval result files (samples_*.jsonl) found{others}")
    notes = []
    if bare:
        notes.append(
            f"{counted(len(bare), 'results file')} without samples left out "
            f"({brief(bare[0].name)}{', ...' if len(bare) > 1 else ''}): written without "
            "--log_samples"
        )
    if note := _aside_note(aside):
        notes.append(note)
    files = sorted(found.values(), key=lambda file: (file.written, file.path))
    return files, notes + _notes_on_dates(files)


def _search(folder: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Results files, samples files, and folders with some that are not to be read."""
    results, samples, aside = [], [], []
    for parent, folders, names in os.walk(folder):
        passed_over = [n for n in folders if n.endswith(_SET_ASIDE) or n == _UNFINISHED]
        aside += [p for n in passed_over if any((p := Path(parent, n)).rglob("samples_*.jsonl"))]
        folders[:] = [name for name in folders if name not in passed_over]
        files = [Path(parent, name) for name in names]
        results += [p for p in files if _RESULTS_NAME.fullmatch(p.name) and p.is_file()]
        samples += [p for p in files if _is_samples(p)]
    return sorted(results), sorted(samples), sorted(aside)


def _is_samples(path: Path) -> bool:
    # A pipe would be waited for and a device read for ever; a link to itself is no file.
    return path.name.startswith("samples_") and path.suffix == ".jsonl" and path.is_file()


def _aside_note(folders: list[Path]) -> str | None:
    if not folders:
        return None
    names = ", ".join(brief(folder.name) for folder in folders[:3])
    return (
        f"{counted(len(folders), 'folder')} left out ({names}{', ...' if len(folders) > 3 else ''})"
        ": set aside by yoco compare as damaged, or unfinished"
    )


def _notes_on_dates(files: list[SamplesFile]) -> list[str]:
    now = datetime.now()
    return [
        f"{brief(file.path.name)} is dated later than now, and still counts as the newest: "
        "rename it if that is wrong"
        for file in files
        if file.written > now
    ]


def _samples_beside(results: Path) -> list[Path]:
    match = _RESULTS_NAME.fullmatch(results.name)
    assert match
    ending = f"_{match['timestamp']}.jsonl"
    beside = sorted(results.parent.glob("samples_*.jsonl"))
    return [p for p in beside if p.name.endswith(ending) and p.is_file()]


def _samples_file(path: Path) -> SamplesFile:
    match = _SAMPLES_NAME.fullmatch(path.name)
    written = _time_of(match["timestamp"]) if match else None
    if not match or written is None:
        # Renamed by hand: the date of the file stands in for the one in its name.
        return SamplesFile(
            path=path,
            task=path.stem.removeprefix("samples_"),
            written=_modified(path),
            results=None,
        )
    results = [
        p
        for p in sorted(path.parent.glob("*.json"))
        if (m := _RESULTS_NAME.fullmatch(p.name))
        and m["timestamp"] == match["timestamp"]
        and p.is_file()
    ]
    return SamplesFile(
        path=path,
        # lm-eval 0.5 writes the members of a group as group::task.
        task=match["task"].rpartition("::")[2],
        written=written,
        results=results[0] if results else None,
    )


def _time_of(timestamp: str) -> datetime | None:
    """The time in a file's name; None if there is no such day or hour."""
    day, _, time = timestamp.partition("T")
    try:
        return datetime.fromisoformat(f"{day}T{time.replace('-', ':')}")
    except ValueError:
        return None


def _modified(path: Path) -> datetime:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime)
    except (ValueError, OverflowError):
        # beyond the year 9999
        return datetime.max


def _no_samples(results: Path) -> str:
    return (
        f"{_shown(results)}: results without samples beside them; "
        "run again with --log_samples --output_path"
    )


def _shown(path: Path) -> str:
    return brief(str(path), 400)


def read_results(path: Path) -> dict[str, Any]:
    """The content of a results file.

    Raises:
        ValueError: it is not lm-eval's.
    """
    with path.open("rb") as file:
        text = file.read(MOST_BYTES + 1)
    try:
        content = parsed(text, "valid JSON")
    except ValueError as error:
        raise ValueError(f"{_shown(path)}: {error}: delete it or run again") from None
    if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
        raise ValueError(f"{_shown(path)}: not a results file of lm-eval: it has no config")
    return content


def of_task(content: Mapping[str, Any], section: str, task: str) -> Any:
    """What a section of the results file says of the task; lm-eval 0.5 may call it group::task."""
    entries = content.get(section)
    if not isinstance(entries, dict):
        return None
    return next(
        (entry for name, entry in entries.items() if name.rpartition("::")[2] == task), None
    )


def counted(number: int, noun: str) -> str:
    """The number with its noun: 1 sample, 2,000 samples."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
