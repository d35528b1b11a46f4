"""Rows of llm-foundry's benchmark files as the rows of the hub's datasets that lm-eval reads.

llm-foundry writes a whole prompt into `query` (and the answers into `choices` and `gold`;
winogrande's into `context_options` and `continuation`). What the hub has is taken out of it again,
so that lm-eval's own templates make the prompt. Text that a file has lost stays lost: its boolq
has no titles before the passages, and no file has the hub's ids.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

from tasks.columns import Row, text, texts, whole
from tasks.shown import listed, shown

_QUESTION, _PASSAGE = "Question: ", "Passage: "
_LAYOUTS = (
    {"query": text, "choices": texts, "gold": whole},
    {"context_options": texts, "continuation": text, "gold": whole},
)


def is_foundry(columns: Iterable[str]) -> bool:
    """Whether these are the columns of llm-foundry's layout."""
    return any(layout.keys() <= set(columns) for layout in _LAYOUTS)


def to_hub(task: str, row: Row) -> dict[str, Any]:
    """The row as the hub's dataset of lm-eval's task `task` has it.

    Raises:
        ValueError: the task is not among `HUB_ROWS`, or the row is not of that layout.
    """
    if task not in HUB_ROWS:
        raise ValueError(
            f"llm-foundry's layout ({listed(row)}) is read for {', '.join(HUB_ROWS)} only, and "
            f"not for {task}: give the columns of the hub's dataset"
        )
    layout = _LAYOUTS[1] if task == "winogrande" else _LAYOUTS[0]
    for column, check in layout.items():
        if column not in row:
            raise ValueError(f"it lacks {column!r} of llm-foundry's layout for {task}")
        if wrong := check(row[column]):
            raise ValueError(f"column {column!r} {wrong}")
    return HUB_ROWS[task](row)


def _arc(row: Row) -> dict[str, Any]:
    labels = [chr(ord("A") + index) for index in range(len(row["choices"]))]
    return {
        "question": _behind(_QUESTION, row["query"]),
        "choices": {"text": list(row["choices"]), "label": labels},
        "answerKey": labels[_gold(row, row["choices"])],
    }


def _boolq(row: Row) -> dict[str, Any]:
    if list(row["choices"]) != ["no", "yes"]:
        raise ValueError(f"choices are {shown(row['choices'])}: boolq's are ['no', 'yes']")
    passage, mark, question = _behind(_PASSAGE, row["query"]).rpartition("\n" + _QUESTION)
    if not mark or not question.endswith("?"):
        raise ValueError(
            f"query ends in {row['query'][-40:]!r}: it must end in a line '{_QUESTION}...?'"
        )
    # lm-eval's template puts the question mark
    return {
        "question": question.removesuffix("?"),
        "passage": passage,
        "label": _gold(row, row["choices"]),
    }


def _piqa(row: Row) -> dict[str, Any]:
    first, second = _two("choices", row["choices"])
    return {
        "goal": _behind(_QUESTION, row["query"]).removesuffix("\n"),
        "sol1": first,
        "sol2": second,
        "label": _gold(row, row["choices"]),
    }


def _winogrande(row: Row) -> dict[str, Any]:
    contexts = _two("context_options", row["context_options"])
    # whole words: what lm-eval joins again is the same wherever it is cut
    words = zip(*(context.split(" ") for context in contexts), strict=False)
    shared = itertools.takewhile(lambda pair: pair[0] == pair[1], words)
    before = "".join(f"{word} " for word, _ in shared)
    if "_" in before:
        raise ValueError(
            f"{shown(before)} holds the mark '_' that stands for the option: take it out"
        )
    return {
        "sentence": f"{before}_ {row['continuation']}",
        "option1": contexts[0][len(before) :],
        "option2": contexts[1][len(before) :],
        "answer": str(_gold(row, contexts) + 1),
    }


def _behind(opening: str, query: str) -> str:
    if not query.startswith(opening):
        raise ValueError(f"query is {query[:40]!r}...: it must begin with {opening!r}")
    return query.removeprefix(opening)


def _two(name: str, values: Iterable[str]) -> tuple[str, str]:
    found = list(values)
    if len(found) != 2:
        raise ValueError(f"{name} holds {len(found)} texts: it must hold two")
    return found[0], found[1]


def _gold(row: Row, choices: Iterable[str]) -> int:
    gold, num_choices = row["gold"], len(list(choices))
    if not isinstance(gold, int) or not 0 <= gold < num_choices:
        raise ValueError(f"gold is {shown(gold)}: it must be one of 0..{num_choices - 1}")
    return gold


HUB_ROWS: dict[str, Callable[[Row], dict[str, Any]]] = {
    "arc_challenge": _arc,
    "arc_easy": _arc,
    "boolq": _boolq,
    "piqa": _piqa,
    "winogrande": _winogrande,
}
