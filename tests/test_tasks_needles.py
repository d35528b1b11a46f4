"""Keys, values and wording."""

from __future__ import annotations

import random

import pytest

from tasks.haystacks import load_haystack
from tasks.needles import CITIES, MAGIC_NUMBER, MAX_VALUE, Needle, NeedleTemplate, draw_needles


def test_keys_are_distinct_capitalised_words() -> None:
    assert len(CITIES) >= 150
    assert len({city.casefold() for city in CITIES}) == len(CITIES)
    assert all(city.isalpha() and city.isascii() and city.istitle() for city in CITIES)


def test_wording_is_the_trained_one() -> None:
    assert Needle("Paris", "7").sentence() == " The special magic Paris number is 7."
    assert MAGIC_NUMBER.question(["Paris"]) == (
        "\nWhat is the special magic Paris number? The special magic Paris number is"
    )
    assert MAGIC_NUMBER.question(["Paris", "Rome", "Oslo"]) == (
        "\nWhat are the special magic Paris, Rome and Oslo numbers? "
        "The special magic Paris, Rome and Oslo numbers are"
    )


def test_keys_and_values_are_distinct_in_a_prompt() -> None:
    for seed in range(200):
        needles = draw_needles(random.Random(seed), 8, "")
        assert len({needle.key for needle in needles}) == 8
        assert len({needle.value for needle in needles}) == 8
        assert all(1 <= int(needle.value) <= MAX_VALUE for needle in needles)


def test_a_key_that_the_haystack_names_is_not_drawn() -> None:
    first = draw_needles(random.Random(3), 2, "")[0]
    named = draw_needles(random.Random(3), 2, "xx The special magic " + first.key + " number is 1.")
    assert first.key not in [needle.key for needle in named]
    # negative control: the city alone does not exclude it
    assert draw_needles(random.Random(3), 2, f"He went to {first.key}.")[0] == first


def test_too_many_needles_are_refused() -> None:
    with pytest.raises(ValueError, match=r"needles=500 is more than the \d+ keys"):
        draw_needles(random.Random(0), 500, "")


def test_distractors_never_use_a_real_key() -> None:
    text = load_haystack("needles").text
    assert "special magic" in text
    assert not [city for city in CITIES if f"magic {city} number" in text]


def test_another_wording() -> None:
    template = NeedleTemplate(sentence=" {key} has the code {value}.", phrase="{key} has the code")
    assert Needle("Rome", "5").sentence(template) == " Rome has the code 5."
    first = draw_needles(random.Random(0), 1, "", template)[0]
    assert draw_needles(random.Random(0), 1, f"{first.key} has the code 1.", template)[0] != first
