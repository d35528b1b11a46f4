"""Context lengths and depths from what users write."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tasks.lengths import MAX_LENGTH_TOKENS, parse_depths, parse_length, parse_lengths

HUGE = 10**400


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        (1, 1),
        (4096, 4096),
        (4096.0, 4096),
        ("4096", 4096),
        ("4K", 4096),
        ("4k", 4096),
        ("1.5K", 1536),
        (" 128K ", 131072),
        ("1M", 1048576),
        ("131_072", 131072),
    ],
)
def test_length(value: Any, tokens: int) -> None:
    assert parse_length(value) == tokens


@pytest.mark.parametrize(
    "value",
    [
        0,
        -4,
        1.5,
        "4G",
        "",
        "K",
        True,
        None,
        "4 K M",
        "1.0001K",
        [4096],
        {},
        b"4K",
        float("nan"),
        -HUGE,
        "0." + "0" * 400 + "1",
        "1e3",
    ],
)
def test_wrong_length_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a positive whole number of tokens") as caught:
        parse_length(value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [2**31 + 1, "9" * 400, "9" * 400 + "M", HUGE, 1e30, "2049M"])
def test_a_length_that_no_text_has_is_refused(value: Any) -> None:
    if isinstance(value, float):
        value = int(value)
    with pytest.raises(ValueError, match=r"is beyond the 2,147,483,648 tokens that a") as caught:
        parse_length(value)
    assert len(str(caught.value)) < 200
    # more digits than Python writes
    with pytest.raises(ValueError, match="length a number of 16,610 bits is beyond"):
        parse_length(10**5000)
    assert parse_length("2048M") == MAX_LENGTH_TOKENS


@pytest.mark.parametrize(
    ("spec", "lengths"),
    [
        (4096, (4096,)),
        (["4K", 131072, "1M"], (4096, 131072, 1048576)),
        ("8K,4K,4K", (4096, 8192)),
        ("[4K,8K]", (4096, 8192)),
        ("4K..32K", (4096, 8192, 16384, 32768)),
        ("4K..20K", (4096, 8192, 16384, 20480)),
        ("4K..4K", (4096,)),
        ("1000..3000/3", (1000, 2000, 3000)),
        ("128K..1M/8", tuple(131072 * n for n in range(1, 9))),
        (["1K", "4K..8K"], (1024, 4096, 8192)),
    ],
)
def test_lengths(spec: Any, lengths: tuple[int, ...]) -> None:
    assert parse_lengths(spec) == lengths


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("8K..4K", "runs backwards"),
        ("4K..8K/1", "at least 2 are needed"),
        ([], "name no length"),
        ("", "name no length"),
        ("4K..x", "'x' is not a positive whole number"),
        ("1M..2M/999999999", "has more than 10,000 steps: write fewer"),
        ("1M..2M/" + "9" * 5000, "has more than 10,000 steps: write fewer"),
        (["1..9999/9999", "10000..2M/9999"], "are more than 10,000: write fewer"),
        (range(1, 10**9), "lengths are 999,999,999: write at most 10,000"),
        (None, "lengths None are no number, text or list"),
        ({"a": 1}, "are no number, text or list"),
    ],
)
def test_wrong_lengths_are_refused(spec: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_lengths(spec)
    assert len(str(caught.value)) < 200


def test_depths() -> None:
    assert parse_depths(11) == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    assert parse_depths("3") == (0.0, 0.5, 1.0)
    assert parse_depths(1) == (0.5,)
    assert parse_depths(0.25) == (0.25,)
    assert parse_depths([1, 0, "1/4", 0.25]) == (0.0, 0.25, 1.0)
    assert parse_depths("[0.5]") == (0.5,)
    assert len(parse_depths([f"{n}/11" for n in range(1, 11)])) == 10


def test_sigmoid_depths_are_closer_at_both_ends() -> None:
    depths = parse_depths(9, "sigmoid")
    assert (depths[0], depths[4], depths[-1]) == (0.0, 0.5, 1.0)
    gaps = [after - before for before, after in itertools.pairwise(depths)]
    assert gaps[0] < gaps[3] and gaps[-1] < gaps[4]
    assert gaps == pytest.approx(gaps[::-1], abs=1e-5)


@pytest.mark.parametrize(
    "spec",
    [
        *([1.1], [-0.1], ["a"], ["1/0"], [float("nan")], [None], [True], [[0.5]], "0.5,-1"),
        *(["1e999999999"], ["1e-999999999"], ["1e999"], ["9" * 400], [HUGE], ["1/" + "9" * 9999]),
    ],
)
def test_wrong_depth_is_refused(spec: Any) -> None:
    with pytest.raises(ValueError, match="is not a fraction of the haystack") as caught:
        parse_depths(spec)
    assert len(str(caught.value)) < 200


def test_wrong_depths_are_refused() -> None:
    with pytest.raises(ValueError, match="not a number of depths"):
        parse_depths(0)
    for spec in (10**9, "999999999", "9" * 5000, HUGE, -HUGE):
        with pytest.raises(ValueError, match=r"are too many: write at most|is not a number of"):
            parse_depths(spec)
    with pytest.raises(ValueError, match="depths are 1,000,000,000: write at most 10,000"):
        parse_depths(range(10**9))
    with pytest.raises(ValueError, match="name no depth"):
        parse_depths([])
    with pytest.raises(ValueError, match="depth_spacing 'square' is unknown"):
        parse_depths(3, "square")  # pyright: ignore[reportArgumentType]
