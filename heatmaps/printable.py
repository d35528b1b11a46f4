"""Names as they may be shown: nothing in them moves a cursor, hides text or turns it around."""

import unicodedata

# Cc control characters, Cf marks such as right-to-left overrides, Cs lone surrogates, Zl and Zp
# line separators, Co and Cn what no font has
_UNSHOWABLE = {"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"}
# joiners of emoji and of several scripts: they change shapes only
_HARMLESS = {"\u200c", "\u200d"}


def printable(text: str) -> str:
    """The text in one line, every character that must not be shown written as its escape.

    A line break is written as \\n. Ordinary text is returned as it is.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character in _HARMLESS or _is_showable(character) else _escaped(character)
        for character in text
    )


def _is_showable(character: str) -> bool:
    return unicodedata.category(character) not in _UNSHOWABLE


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def brief(text: str, longest: int = 100) -> str:
    """The printable text, its middle left out where it is longer than `longest` characters."""
    if len(text) > longest:
        # before it is made printable, which takes time for every character
        text = f"{text[: longest - longest // 2]}...{text[-(longest // 2) :]}"
    return printable(text)
