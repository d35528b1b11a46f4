"""The files that `lm_eval --log_samples --output_path` leaves behind, found and read.

`results_<time>.json` holds the scores and settings of a run, `samples_<task>_<time>.jsonl` of the
same time, beside it, one line a document and filter.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any

_TIMESTAMP = r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}(?:\.\d+)?"
_SAMPLES_NAME = re.compile(rf"samples_(?P<task>.+)_(?P<timestamp>{_TIMESTAMP})\.jsonl")
_RESULTS_NAME = re.compile(rf".+_(?P<timestamp>{_TIMESTAMP})\.json")


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
    """Samples files, oldest first, each once, and one-line notes on results files without any.

    Args:
        paths: results_*.json (leads to the samples files of the same timestamp beside it),
            samples_*.jsonl, or folders, searched recursively.

    Raises:
        FileNotFoundError: a path does not exist, or there are no samples files.
        ValueError: a file is neither.
    """
    paths = [Path(path) for path in paths]
    found: dict[Path, SamplesFile] = {}
    bare: list[Path] = []
    for path in paths:
        if path.is_dir():
            results = [p for p in sorted(path.rglob("*.json")) if _RESULTS_NAME.fullmatch(p.name)]
            sample_paths = sorted(path.rglob("samples_*.jsonl"))
        elif not path.is_file():
            raise FileNotFoundError(
                f"{path}: no such file or folder; give results_*.json, samples_*.jsonl or the "
                "folder that lm_eval --output_path named"
            )
        elif path.suffix == ".jsonl":
            results, sample_paths = [], [path]
        elif _RESULTS_NAME.fullmatch(path.name):
            results, sample_paths = [path], _samples_beside(path)
        else:
            raise ValueError(
                f"{path}: not a result file of lm-eval; give results_<time>.json, "
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
        named = ", ".join(str(path) for path in paths) or "no path"
        raise FileNotFoundError(f"{named}: no lm-eval result files (samples_*.jsonl) found")
    notes = []
    if bare:
        notes.append(
            f"{counted(len(bare), 'results file')} without samples left out ({bare[0].name}"
            f"{', ...' if len(bare) > 1 else ''}): written without --log_samples"
        )
    return sorted(found.values(), key=lambda file: (file.written, file.path)), notes


def _samples_beside(results: Path) -> list[Path]:
    match = _RESULTS_NAME.fullmatch(results.name)
    assert match
    ending = f"_{match['timestamp']}.jsonl"
    return [p for p in sorted(results.parent.glob("samples_*.jsonl")) if p.name.endswith(ending)]


def _samples_file(path: Path) -> SamplesFile:
    match = _SAMPLES_NAME.fullmatch(path.name)
    if not match:
        # Renamed by hand: the date of the file stands in for the one in its name.
        written = datetime.fromtimestamp(path.stat().st_mtime)
        return SamplesFile(
            path=path, task=path.stem.removeprefix("samples_"), written=written, results=None
        )
    timestamp = match["timestamp"]
    day, _, time = timestamp.partition("T")
    results = [
        p
        for p in sorted(path.parent.glob("*.json"))
        if (m := _RESULTS_NAME.fullmatch(p.name)) and m["timestamp"] == timestamp
    ]
    return SamplesFile(
        path=path,
        # lm-eval 0.5 writes the members of a group as group::task.
        task=match["task"].rpartition("::")[2],
        written=datetime.fromisoformat(f"{day}T{time.replace('-', ':')}"),
        results=results[0] if results else None,
    )


def _no_samples(results: Path) -> str:
    return (
        f"{results}: results without samples beside them; "
        "run again with --log_samples --output_path"
    )


def read_results(path: Path) -> dict[str, Any]:
    """The content of a results file.

    Raises:
        ValueError: it is not lm-eval's.
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        raise ValueError(
            f"{path}: not valid JSON, as in a half-written file: delete it or run again"
        ) from None
    if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
        raise ValueError(f"{path}: not a results file of lm-eval: it has no config")
    return content


def counted(number: int, noun: str) -> str:
    """The number with its noun: 1 sample, 2,000 samples."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
