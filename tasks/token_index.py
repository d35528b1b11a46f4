"""Where the tokens of a haystack lie, tokenised once and only as far as it is read."""

from __future__ import annotations

import functools
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from tasks.haystacks import Haystack
from tasks.tokenizers import Tokenizer

PIECE_CHARS = 1 << 16
# Text that a piece is tokenised with on either side, and how far about a joint the tokens of the
# two pieces are compared.
_OVERLAP_CHARS = 1024
_JOINT_CHARS = 128


class Unsynchronised(Exception):
    """Tokens of a part of a text are not the tokens of the whole text there."""


@dataclass(frozen=True)
class _Piece:
    """Tokens that begin in one piece, offsets from its first character; and those at its joints."""

    ids: np.ndarray
    starts: np.ndarray
    left_joint: tuple[np.ndarray, np.ndarray]
    right_joint: tuple[np.ndarray, np.ndarray]


class TokenIndex:
    """Counts and finds tokens of a haystack that is read cyclically.

    The text is tokenised in pieces, each once and when first needed. A position is a number of
    characters from the start of the text and may run past its end, into the next repetition.
    """

    def __init__(
        self, haystack: Haystack, tokenizer: Tokenizer, *, piece_chars: int | None = PIECE_CHARS
    ) -> None:
        """Prepares an index without tokenising anything.

        Args:
            haystack: The text.
            tokenizer: Its tokenizer.
            piece_chars: Size of a piece; None takes the whole text as one piece and lets its end
                and beginning meet unchecked, for tokenizers that read a text only as a whole.
        """
        self.haystack, self.tokenizer = haystack, tokenizer
        self._checks_joints = piece_chars is not None
        self._bounds = _piece_bounds(haystack.text, piece_chars or len(haystack.text))
        self._pieces: dict[int, _Piece] = {}
        self._checked_joints: set[int] = set()

    @property
    def num_tokenised_pieces(self) -> int:
        """How many pieces have been tokenised so far."""
        return len(self._pieces)

    def count(self, start: int, stop: int) -> int:
        """The number of tokens that begin in [start, stop).

        Raises:
            Unsynchronised: If two pieces on the way disagree where they meet.
        """
        first, skipped = self._locate(start)
        last, reached = self._locate(stop)
        whole = sum(len(self._piece_after(number).ids) for number in range(first, last))
        return whole + reached - skipped

    def advance(self, char: int, num_tokens: int) -> int:
        """The position of the token so many tokens after the first that begins at char or later.

        Raises:
            Unsynchronised: If two pieces on the way disagree where they meet.
        """
        number, token = self._locate(char)
        token += num_tokens
        while token < 0:
            number -= 1
            token += len(self._piece_after(number).ids)
        while token >= (size := len(self._piece(number).ids)):
            self._piece_after(number)
            token -= size
            number += 1
        return self._first_char(number) + int(self._piece(number).starts[token])

    def tokens(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """The ids and positions of the tokens that begin in [start, stop), a short span."""
        ids: list[np.ndarray] = []
        starts: list[np.ndarray] = []
        for number in range(self._locate(start)[0], self._locate(stop)[0] + 1):
            piece, origin = self._piece(number), self._first_char(number)
            low, high = np.searchsorted(piece.starts, (start - origin, stop - origin))
            ids.append(piece.ids[low:high])
            starts.append(piece.starts[low:high].astype(np.int64) + origin)
        return np.concatenate(ids), np.concatenate(starts)

    def _locate(self, char: int) -> tuple[int, int]:
        """The piece that a position lies in, counted through all repetitions, and in it the first
        token that begins there or later (possibly one past the piece's last)."""
        cycle, offset = divmod(char, len(self.haystack.text))
        place = bisect_right(self._bounds, offset) - 1
        number = cycle * (len(self._bounds) - 1) + place
        starts = self._piece(number).starts
        return number, int(np.searchsorted(starts, offset - self._bounds[place]))

    def _first_char(self, number: int) -> int:
        cycle, place = divmod(number, len(self._bounds) - 1)
        return cycle * len(self.haystack.text) + self._bounds[place]

    def _piece(self, number: int) -> _Piece:
        place = number % (len(self._bounds) - 1)
        if place not in self._pieces:
            self._pieces[place] = self._tokenise(self._bounds[place], self._bounds[place + 1])
        return self._pieces[place]

    def _piece_after(self, number: int) -> _Piece:
        """The piece, once it is known to meet its successor in the same tokens."""
        piece = self._piece(number)
        place = number % (len(self._bounds) - 1)
        if self._checks_joints and place not in self._checked_joints:
            successor = self._piece(number + 1)
            if not all(map(np.array_equal, piece.right_joint, successor.left_joint)):
                raise Unsynchronised(f"{self.haystack.name} at character {self._bounds[place + 1]}")
            self._checked_joints.add(place)
        return piece

    def _tokenise(self, start: int, stop: int) -> _Piece:
        text = self.haystack.slice(start - _OVERLAP_CHARS, stop + _OVERLAP_CHARS)
        ids, starts = self.tokenizer.char_starts(text)
        starts = starts - _OVERLAP_CHARS
        size = stop - start

        def between(low: int, high: int) -> slice:
            first, last = np.searchsorted(starts, (low, high))
            return slice(int(first), int(last))

        own = between(0, size)
        left = between(-_JOINT_CHARS, _JOINT_CHARS)
        right = between(size - _JOINT_CHARS, size + _JOINT_CHARS)
        return _Piece(
            ids=ids[own].copy(),
            starts=starts[own].astype(np.int32),
            left_joint=(ids[left].copy(), starts[left].copy()),
            right_joint=(ids[right].copy(), starts[right] - size),
        )


def _piece_bounds(text: str, piece_chars: int) -> list[int]:
    """Where the pieces begin, at line starts where there are any, and the end of the text."""
    bounds = [0]
    while bounds[-1] + piece_chars < len(text):
        middle, end = bounds[-1] + piece_chars // 2, bounds[-1] + piece_chars
        line_start = text.rfind("\n", middle, end) + 1
        bounds.append(line_start or end)
    return [*bounds, len(text)]


@functools.lru_cache(maxsize=2)
def token_index(haystack: Haystack, tokenizer: Tokenizer, *, whole: bool = False) -> TokenIndex:
    """The index that this process keeps for a haystack and a tokenizer.

    Args:
        haystack: The text.
        tokenizer: Its tokenizer.
        whole: Whether the text has to be tokenised in one piece.
    """
    return TokenIndex(haystack, tokenizer, piece_chars=None if whole else PIECE_CHARS)
