"""Texts of which parts are literal, as `markupsafe.Markup` marks what is not."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

Pieces = tuple[tuple[str, bool], ...]


class PiecedText(str):
    """A text that knows which of its parts are literal; what is made of it (a slice) does not.

    Attributes:
        pieces: (part, whether it is literal), of which the text consists.
    """

    pieces: Pieces

    def __new__(cls, pieces: Iterable[tuple[str, bool]]) -> PiecedText:
        kept = tuple(pieces)
        made = super().__new__(cls, "".join(piece for piece, _ in kept))
        made.pieces = kept
        return made


def literal(text: str) -> PiecedText:
    """The text as one literal piece."""
    return PiecedText([(text, True)])


def pieces_of(text: str) -> Pieces:
    """The text's pieces; nothing of a plain string is literal."""
    return text.pieces if isinstance(text, PiecedText) else ((text, False),)


class Marker:
    """Puts marks in place of names in what is not literal."""

    def __init__(self, marks: Mapping[str, str], *, whole_words: Collection[str] = ()) -> None:
        """Prepares to search for names.

        Args:
            marks: What each name becomes.
            whole_words: Names that count only with no letter or digit next to them.
        """
        self._marks = dict(marks)
        # a few short strings are found much faster than hundreds of names
        self._beginnings = {name[:3] for name in marks}
        names = sorted(marks, key=len, reverse=True)
        patterns = [
            rf"(?<!\w){re.escape(n)}(?!\w)" if n in whole_words else re.escape(n) for n in names
        ]
        self._names = re.compile("|".join(patterns)) if names else None

    def marked(self, text: str) -> str:
        """The text with a mark for each name in a part that is not literal."""
        if not self._may_name(text):
            return str(text)
        return "".join(
            piece if is_literal else self._substituted(piece)
            for piece, is_literal in pieces_of(text)
        )

    def in_literal(self, text: str) -> str | None:
        """A name in a literal part of the text, None if there is none."""
        if self._names is None or not self._may_name(text):
            return None
        found = (self._names.search(piece) for piece, is_literal in pieces_of(text) if is_literal)
        return next((match[0] for match in found if match), None)

    def _may_name(self, text: str) -> bool:
        return any(beginning in text for beginning in self._beginnings)

    def _substituted(self, piece: str) -> str:
        assert self._names is not None
        return self._names.sub(lambda match: self._marks[match[0]], piece)
