"""Whole numbers and whole words."""

from __future__ import annotations

import pytest

from tasks.scoring import holds, recall


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("12", "12"),
        ("12", " 12."),
        ("12", "It is 12, of course"),
        ("12", "(12)"),
        ("12", "12\n34"),
        ("47330", " 47330.47300...300.."),
        ("12", "number is:12."),
        ("12", "It is 3. 12 it is"),
        ("12345", "12,345"),
        ("12345", "about 12,345."),
        ("1234567", "1,234,567"),
        ("12,345", "12345"),
        ("blue door", "the Blue Door!"),
        ("Émile", "ÉMILE"),
    ],
)
def test_found(value: str, answer: str) -> None:
    assert holds(value, answer)


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("12", ""),
        ("12", "4123"),
        ("12", "51234"),
        ("12", "3.12"),
        ("12", "a12"),
        ("12", "12th"),
        ("345", "12,345"),
        ("12", "12,345"),
        ("12345", "1,2345"),
        ("blue", "bluebell"),
    ],
)
def test_not_found(value: str, answer: str) -> None:
    assert not holds(value, answer)


def test_recall_is_the_fraction_found() -> None:
    assert recall(["1", "22", "333", "4444"], " 22 and 4,444, not 3333") == 0.5
    assert recall(["7"], "7") == 1.0
    assert recall(["7"], "") == 0.0
