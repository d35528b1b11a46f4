"""Rows of JSON and CSV files exactly as they are written: nothing in them is taken for a type.

Readers that guess make dates, numbers or nothing of words ("2020-01-01", "007", "NA").
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.shown import listed, one_line, shown

MAX_FILE_BYTES = 1 << 30
_OTHER_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a .jsonl, .json or .csv file; every cell of a CSV is text.

    Raises:
        ValueError: The file is not what its name says, with the line.
    """
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise ValueError(
            f"{one_line(path)} has {size:,} bytes, and at most {MAX_FILE_BYTES:,} are read: "
            "save it as Parquet, or leave a part of it"
        )
    reader: Callable[[str], list[dict[str, Any]]] = {
        ".csv": _csv_rows,
        ".json": _json_rows,
        ".jsonl": _jsonl_rows,
    }[path.suffix]
    try:
        return reader(_text(path.read_bytes()))
    except _Broken as error:
        raise ValueError(f"{one_line(path)}{error}") from error


class _Broken(ValueError):
    """What is wrong, to be said after the file's name."""


def _text(content: bytes) -> str:
    encoding = _OTHER_ENCODINGS.get(content[:2])
    try:
        # a mark of the byte order at the beginning is no part of the text
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        what = f"is {encoding}" if encoding else f"is not UTF-8 in line {line:,}"
        raise _Broken(f" {what}: save it as UTF-8") from error
    return text


def _jsonl_rows(text: str) -> list[dict[str, Any]]:
    lines = text.split("\n")
    return [
        _row(_json(line, f", line {number:,},"), f", line {number:,},")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]


def _json_rows(text: str) -> list[dict[str, Any]]:
    """A list of rows, one row, or rows line by line."""
    if not text.strip():
        return []
    try:
        content = _json(text, "")
    except _Broken:
        if "\n" not in text.strip():
            raise
        return _jsonl_rows(text)
    if isinstance(content, list):
        return [_row(row, f", row {number:,},") for number, row in enumerate(content, start=1)]
    return [_row(content, "")]


def _json(text: str, place: str) -> Any:
    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(found)
        if len(content) < len(found):
            names = [name for name, _ in found]
            twice = next(name for name in names if names.count(name) > 1)
            raise _Broken(f"{place} has {shown(twice)} twice: leave one of them")
        return content

    try:
        return json.loads(text, object_pairs_hook=pairs)
    except RecursionError as error:
        raise _Broken(f"{place} is nested too deep for a row of data: leave it out") from error
    except _Broken:
        raise
    except ValueError as error:
        reason = one_line(str(error).partition(": line")[0], 100)
        raise _Broken(f"{place} is not whole JSON ({reason}): mend it or leave it out") from error


def _row(content: Any, place: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise _Broken(f"{place} holds {shown(content)}: a row is an object with a name per column")
    return content


def _csv_rows(text: str) -> list[dict[str, Any]]:
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise _Broken(f", line {line:,}, holds a NUL, as in a damaged file: take it out")
    limit = csv.field_size_limit(sys.maxsize)
    try:
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        found = [(lines.line_num, line) for line in lines if line]
    except csv.Error as error:
        raise _Broken(f", line {lines.line_num:,}, is not CSV ({error}): mend it") from error
    finally:
        csv.field_size_limit(limit)
    if not found:
        return []
    (_, header), *rows = found
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise _Broken(f" has one column {shown(header[0])}: separate its columns by commas")
    wrong = [name for name in header if not name.strip() or header.count(name) > 1]
    if wrong:
        raise _Broken(f" has the columns {listed(map(shown, header))}: give each a name of its own")
    for number, row in rows:
        if len(row) != len(header):
            raise _Broken(
                f", line {number:,}, has {len(row)} cells for {len(header)} columns: "
                "put quotes around what holds a comma or a line break"
            )
    return [dict(zip(header, row, strict=True)) for _, row in rows]
