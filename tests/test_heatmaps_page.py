"""Places on a page, and texts that fit; saving is tested with the heatmaps."""

from __future__ import annotations

import time

import pytest

from heatmaps.page import FACTS_PT, Page, elided, save, text_width


def test_places_are_inches_from_the_top_left():
    page = Page.of_size(8, 4)
    axes = page.axes(2, 1, 4, 2)
    assert axes.get_position().bounds == pytest.approx((0.25, 0.25, 0.5, 0.5))
    page.text(2, 1, "cost $5 or $6")
    page.text(2, 1, "beside a middle", va="center")
    first, second = page.figure.texts
    assert first.get_position() == second.get_position() == (0.25, 0.75)
    assert (first.get_verticalalignment(), second.get_verticalalignment()) == ("top", "center")
    assert first.get_text() == "cost $5 or $6" and not first.get_parse_math()


def test_axes_share_the_scales_of_others():
    page = Page.of_size(8, 4)
    first = page.axes(1, 1, 2, 2)
    second, alone = page.axes(4, 1, 2, 2, like=first), page.axes(7, 1, 1, 2)
    first.set(xlim=(0, 7), ylim=(0, 9))
    assert (second.get_xlim(), second.get_ylim()) == ((0, 7), (0, 9))
    # Negative control.
    assert alone.get_xlim() != (0, 7)


def test_long_texts_keep_both_ends():
    name = "a-name-that-goes-on-and-on-until-it-ends"
    width = 0.6 * text_width(name, FACTS_PT)
    short = elided(name, width, FACTS_PT)
    assert text_width(short, FACTS_PT) <= width
    beginning, end = short.split("…")
    assert name.startswith(beginning) and name.endswith(end) and beginning and end
    assert elided(name, 2 * width, FACTS_PT) == name


def test_the_longest_name_is_shortened_at_once():
    """It took 120 seconds at 10,000 characters."""
    name = "".join(chr(97 + number % 26) for number in range(100_000))
    begun = time.monotonic()
    short = elided(name, 3, FACTS_PT)
    assert time.monotonic() - begun < 2
    assert 2.8 < text_width(short, FACTS_PT) <= 3
    beginning, end = short.split("…")
    assert name.startswith(beginning) and name.endswith(end)


def test_as_much_is_kept_as_fits():
    name = "a-name-that-goes-on-and-on-until-it-ends"
    for width in (0.05, 0.3, 0.9, 1.7):
        short = elided(name, width, FACTS_PT)
        kept = len(short) - 1
        longer = f"{name[: (kept + 2) // 2]}…{name[len(name) - (kept + 1) // 2 :]}"
        assert text_width(longer, FACTS_PT) > width
        assert short == "…" or text_width(short, FACTS_PT) <= width


def test_a_picture_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "made" / "a.png"
    save(Page.of_size(1, 1).figure, path)
    whole = path.read_bytes()
    broken = Page.of_size(1, 1)
    broken.figure.text(0.5, 0.5, "a", fontfamily="serif").draw = None  # pyright: ignore
    with pytest.raises(TypeError):
        save(broken.figure, path)
    assert path.read_bytes() == whole and list(path.parent.iterdir()) == [path]


def test_characters_that_the_font_lacks_are_boxes_without_a_warning(tmp_path):
    """Warnings are errors here."""
    name = "\u6a21\u578b" * 100
    page = Page.of_size(4, 1)
    page.text(0, 0, elided(name, 3, FACTS_PT))
    for suffix in ("png", "svg", "pdf"):
        save(page.figure, tmp_path / f"a.{suffix}")
