"""llm-foundry's rows turned back into the hub's, from which they were made."""

from __future__ import annotations

from typing import Any

import pytest
from checkpoint_samples import HUB_ROWS, foundry_row

from tasks.foundry import is_foundry, to_hub

ARC: dict[str, Any] = {"query": "Question: Why?", "choices": ["a", "b"], "gold": 1}


@pytest.mark.parametrize("task", ["arc_easy", "boolq", "piqa"])
def test_what_the_layout_keeps_comes_back(task: str) -> None:
    for row in HUB_ROWS[task]:
        found = to_hub(task, foundry_row(task, row))
        # a passage that itself holds a question may be cut elsewhere: the prompt is the same
        if task == "boolq" and "\nQuestion: " in row["passage"]:
            continue
        assert found == {name: row[name] for name in found}
        assert row.keys() - found.keys() <= {"id", "idx"}


@pytest.mark.parametrize("number", [0, 1])
def test_winogrande_is_cut_between_words(number: int) -> None:
    row = HUB_ROWS["winogrande"][number]
    found = to_hub("winogrande", foundry_row("winogrande", row))
    before, behind = found["sentence"].split("_")
    expected_before, expected_behind = row["sentence"].split("_")
    for option in ("option1", "option2"):
        assert before + found[option] == expected_before + row[option]
    assert behind.strip() == expected_behind.strip()
    assert found["answer"] == row["answer"]
    # options share a first word: it is part of the sentence
    assert found["option1"] == ("cup", "Mia")[number]


def test_layouts_are_told_by_their_columns() -> None:
    assert is_foundry(["gold", "query", "choices", "category"])
    assert is_foundry(["context_options", "continuation", "gold"])
    assert not is_foundry(["query", "choices"])
    assert not any(is_foundry(rows[0]) for rows in HUB_ROWS.values())


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        ("hellaswag", ARC, "is read for arc_challenge, arc_easy, boolq, piqa, winogrande only"),
        ("arc_easy", {**ARC, "query": "Why?"}, "query is 'Why\\?'...: it must begin with 'Quest"),
        ("arc_easy", {**ARC, "gold": 2}, "gold is 2: it must be one of 0..1"),
        (
            "piqa",
            {**ARC, "choices": ["a"]},
            "column 'choices' is \\['a'\\]: it must hold two texts or more",
        ),
        ("piqa", {**ARC, "query": None}, "column 'query' is null: it must be text"),
        ("arc_easy", {**ARC, "choices": ["a", None]}, "has as text 2 what is null"),
        ("arc_easy", {**ARC, "gold": True}, "is true or false .True.: it must be a whole number"),
        ("arc_easy", {**ARC, "gold": "1"}, "column 'gold' is text .'1'.: it must be a whole"),
        ("boolq", ARC, "choices are \\['a', 'b'\\]: boolq's are \\['no', 'yes'\\]"),
        (
            "boolq",
            {"query": "Passage: x", "choices": ["no", "yes"], "gold": 0},
            "query ends in 'Passage: x': it must end in a line 'Question: ...\\?'",
        ),
        ("winogrande", ARC, "it lacks 'context_options' of llm-foundry's layout for winogrande"),
        (
            "winogrande",
            {"context_options": ["_ a", "_ b"], "continuation": "c", "gold": 0},
            "'_ ' holds the mark '_'",
        ),
    ],
)
def test_other_rows_are_refused(task: str, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_hub(task, row)
