"""What the columns of benchmark data must hold, and that every row of them does.

For the tasks of the paper's table the columns are known; for lm-eval's others what their templates
read is, or, where functions read it, only that nothing may be missing.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.shown import listed, shown

# A value -> what is wrong with it, or None.
Check = Callable[[Any], str | None]
Row = Mapping[str, Any]

_INT64 = 2**63
_TEMPLATES = ("doc_to_text", "doc_to_target", "doc_to_choice")


def text(value: Any) -> str | None:
    """Words."""
    if not isinstance(value, str):
        return f"is {described(value)}: it must be text"
    return any_text(value) if value.strip() else f"is {described(value)}: it must be filled in"


def any_text(value: Any) -> str | None:
    """Text, which may be empty."""
    if not isinstance(value, str):
        return f"is {described(value)}: it must be text"
    try:
        value.encode()
    except UnicodeEncodeError:
        return f"is {shown(value)}, with half a character (a lone surrogate): mend it"
    return None


def whole(value: Any) -> str | None:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        return f"is {described(value)}: it must be a whole number"
    return None


def index(value: Any) -> str | None:
    """A whole number, or one as text."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 9:
        return None
    return whole(value)


def texts(value: Any) -> str | None:
    """A list of two or more texts."""
    if not isinstance(value, list | tuple):
        return f"is {described(value)}: it must be a list of texts"
    if len(value) < 2:
        return f"is {shown(value)}: it must hold two texts or more"
    for number, each in enumerate(value, start=1):
        if wrong := text(each):
            return f"has as text {number} what {wrong}"
    return None


def choices(value: Any) -> str | None:
    """Texts with a label each."""
    if not isinstance(value, Mapping) or not {"text", "label"} <= value.keys():
        return f"is {described(value)}: it must be an object of the lists text and label"
    for name in ("text", "label"):
        if wrong := texts(value[name]):
            return f"({name}) {wrong}"
    if len(value["text"]) != len(value["label"]):
        return f"has {len(value['text'])} texts and {len(value['label'])} labels"
    return None


def any_value(value: Any) -> str | None:
    """Something: no null and no NaN, however deep."""
    match value:
        case None:
            return "is null: fill it in, or leave that row or column out"
        case float() if not math.isfinite(value):
            return f"is {value}, which is no number: fill it in, or leave that row out"
        case int() if not -_INT64 <= value < _INT64:
            return f"is {shown(value)}: it must fit into 64 bits"
        case str():
            return any_text(value)
        case bool() | int() | float() | bytes():
            return None
        case Mapping():
            parts = list(value.values())
        case list() | tuple():
            parts = value
        case _:
            return f"is {shown(value)}, a {type(value).__name__}: save it as text"
    for part in parts:
        if wrong := any_value(part):
            return f"holds what {wrong}"
    return None


_CHOICES = {"choices": choices, "answerKey": text}
HUB_COLUMNS: dict[str, dict[str, Check]] = {
    "arc_challenge": {"question": text, **_CHOICES},
    "arc_easy": {"question": text, **_CHOICES},
    "boolq": {"passage": text, "question": text, "label": whole},
    "hellaswag": {
        "activity_label": text,
        "ctx_a": text,
        "ctx_b": any_text,
        "endings": texts,
        "label": index,
    },
    "openbookqa": {"question_stem": text, **_CHOICES},
    "piqa": {"goal": text, "sol1": text, "sol2": text, "label": whole},
    "sciq": {
        "support": any_text,
        "question": text,
        **dict.fromkeys(("distractor1", "distractor2", "distractor3", "correct_answer"), text),
    },
    "winogrande": {"sentence": text, "option1": text, "option2": text, "answer": text},
}
# Where the right answer of a row is, and of which it must be one.
_ANSWERS: dict[str, tuple[str, Callable[[Row], Collection[Any]]]] = {
    **dict.fromkeys(
        ("arc_challenge", "arc_easy", "openbookqa"),
        ("answerKey", lambda row: list(row["choices"]["label"])),
    ),
    **dict.fromkeys(("boolq", "piqa"), ("label", lambda row: (0, 1))),
    "hellaswag": ("label", lambda row: [*range(n := len(row["endings"])), *map(str, range(n))]),
    "winogrande": ("answer", lambda row: ("1", "2")),
}


def columns_read(config: Mapping[str, Any], *fields: str) -> set[str] | None:
    """The columns that the templates of an lm-eval task read; None where functions read them.

    Args:
        config: of the task, as its file has it, functions by name or as such.
        fields: of these templates only.
    """
    import jinja2
    from jinja2 import nodes
    from jinja2.defaults import DEFAULT_NAMESPACE

    if config.get("process_docs"):
        return None
    found: set[str] = set()
    for field in fields or _TEMPLATES:
        template = config.get(field)
        if callable(template) or (isinstance(template, str) and is_function(template)):
            return None
        if not isinstance(template, str):
            continue
        if template.isidentifier():
            found.add(template)
            continue
        try:
            names = list(jinja2.Environment().parse(template).find_all(nodes.Name))
        except jinja2.TemplateError:
            return None
        own = {name.name for name in names if name.ctx != "load"}
        found |= {name.name for name in names} - own - DEFAULT_NAMESPACE.keys()
    return found


def is_function(name: str) -> bool:
    """Whether a task's configuration names a function so, by its file."""
    return os.sep in name and Path(f"{name.rpartition('.')[0]}.py").is_file()


def missing_columns(config: Mapping[str, Any], columns: Collection[str]) -> list[str]:
    """What the task reads and the data lack."""
    known = HUB_COLUMNS.get(str(config.get("task")))
    read = known or columns_read(config) or ()
    return [column for column in sorted(read) if column not in columns]


def with_types(
    rows: Sequence[Mapping[str, str]], task: str, shown_columns: Collection[str] | None
) -> list[dict[str, Any]]:
    """Rows of text with numbers where a task wants them.

    Args:
        shown_columns: what prompts and choices show: that stays text. Of the others those are
            numbers that hold nothing else, as a program writes them.
    """
    known = HUB_COLUMNS.get(task)
    if known is not None:
        wanted = [name for name, check in known.items() if check is whole]
    else:
        # where functions read the columns: what is text in the hub's datasets
        kept = {"answer", "answerKey"} if shown_columns is None else set(shown_columns)
        wanted = [name for name in (rows[0] if rows else ()) if name not in kept]
    numbers: dict[str, Callable[[str], int | float]] = {}
    for name in wanted:
        for kind, pattern in ((int, r"-?(0|[1-9]\d{,17})"), (float, r"-?\d{1,17}\.\d{1,17}")):
            if all(re.fullmatch(pattern, row.get(name, ""), re.ASCII) for row in rows):
                numbers[name] = kind
    return [
        {name: numbers[name](value) if name in numbers else value for name, value in row.items()}
        for row in rows
    ]


def check_types(place: str, rows: Iterable[Row], task: str) -> None:
    """That each column holds values of one type throughout, as a table of Arrow wants it.

    Raises:
        ValueError: One does not; file, row and column are named.
    """
    kinds: dict[str, tuple[str, int]] = {}
    for number, row in enumerate(rows, start=1):
        for column, value in row.items():
            if value is None:
                continue
            kind, first = kinds.setdefault(column, (_kind(value), number))
            # one fraction would make fractions of all
            is_whole = HUB_COLUMNS.get(task, {}).get(column) is whole
            wrong = any_text(value) if isinstance(value, str) else is_whole and whole(value)
            if kind == _kind(value) and wrong:
                raise ValueError(f"{place}, row {number:,}, column {shown(column)} {wrong}")
            if kind != _kind(value):
                raise ValueError(
                    f"{place}, row {number:,}, column {shown(column)} is {described(value)}, but "
                    f"in row {first:,} it is {kind}: give all rows one type"
                )


def check_rows(place: str, rows: Iterable[Row], config: Mapping[str, Any]) -> None:
    """Checks every value that an lm-eval task of this configuration reads.

    Raises:
        ValueError: A value is not what it must be; file, row and column are named.
    """
    task = str(config.get("task"))
    checks = HUB_COLUMNS.get(task)
    if checks is None and (read := columns_read(config)) is not None:
        checks = dict.fromkeys(sorted(read), any_value)
    answer, allowed = _ANSWERS.get(task, (None, None))
    for number, row in enumerate(rows, start=1):
        for column in row if checks is None else checks:
            value = row.get(column)
            if wrong := (checks[column] if checks else _top_value)(value):
                raise ValueError(f"{place}, row {number:,}, column {shown(column)} {wrong}")
        if answer and allowed and row[answer] not in (found := allowed(row)):
            raise ValueError(
                f"{place}, row {number:,}, column {answer!r} is {shown(row[answer])}: it must be "
                f"one of {listed(found)}"
            )


def _top_value(value: Any) -> str | None:
    """Something; what is within it a function may well take as null."""
    return None if isinstance(value, Mapping | list | tuple) else any_value(value)


def described(value: Any) -> str:
    """The value as a message names it."""
    if value is None:
        return "null"
    if isinstance(value, str) and not value.strip():
        return "empty"
    return f"{_kind(value)} ({shown(value)})"


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case Mapping():
            return "an object"
        case list() | tuple():
            return "a list"
    return "null" if value is None else f"a {type(value).__name__}"
