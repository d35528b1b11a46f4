"""Long texts as tokens: what a text has in common with an earlier one is not encoded again.

Prompts over one haystack differ in a few sentences, and a million tokens take a tokenizer seconds.
Only the text about each difference is encoded, with some text on either side; where it meets what
is kept, both must have the same tokens, or else the whole text is encoded.
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from evals.reading_order import code_points
from evals.scoring import Tokens
from tasks.pieces import literal
from tasks.token_index import Unsynchronised
from yoco.common_spans import Source

if TYPE_CHECKING:
    from tasks.tokenizers import Tokenizer

# A shorter text is encoded at once.
LEAST_CHARS = 1 << 16
# A text that has less in common with the source is encoded as a whole, and is the next source.
LEAST_SHARED = 0.75
# Text that a part is encoded with on either side, and how far about a joint tokens are compared.
_OVERLAP_CHARS = 1024
_JOINT_CHARS = 128


class SharedEncoder:
    """Encodes one text after the other, from any thread."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._source: _EncodedText | None = None

    def encode(self, text: str) -> Tokens:
        """The ids (T,) that `tokenizer.encode` gives; of parts, as far as their joints tell."""
        text = self.tokenizer.written(text)
        source = self._source
        if source is not None and len(text) >= LEAST_CHARS:
            try:
                return source.encode(text)
            except Unsynchronised:
                # the old source goes before there is a new one
                if self._source is source:
                    self._source = None
                source = None
        tokens = np.asarray(self.tokenizer.encode(literal(text)), dtype=np.int32)
        if len(text) >= LEAST_CHARS:
            self._source = _EncodedText(text, tokens, self.tokenizer)
        return tokens


@dataclass(frozen=True)
class _Kept:
    """Characters [start, stop) of a text whose tokens are the source's; there they stand `shift`
    further in front."""

    start: int
    stop: int
    shift: int


@dataclass(frozen=True)
class _Located:
    """Tokens and the characters at which they begin; ids and starts (T,)."""

    ids: np.ndarray
    starts: np.ndarray

    def between(self, start: int, stop: int) -> _Located:
        """Those that begin in [start, stop)."""
        first, last = np.searchsorted(self.starts, (start, stop))
        return _Located(self.ids[first:last], self.starts[first:last])

    def moved(self, shift: int) -> _Located:
        """The same tokens so many characters further back."""
        return _Located(self.ids, self.starts + shift)


class _EncodedText:
    """A written text with its tokens, for others that have much in common with it."""

    def __init__(self, text: str, tokens: Tokens, tokenizer: Tokenizer) -> None:
        self.text, self.tokens, self.tokenizer = text, tokens, tokenizer
        self._preparing = threading.Lock()

    def encode(self, text: str) -> Tokens:
        """The tokens of another text.

        Raises:
            Unsynchronised: they are not to be had from this one's.
        """
        if self.tokenizer.brings_bos(text) != self.tokenizer.brings_bos(self.text):
            raise Unsynchronised("only one of the texts brings its BOS along")
        # several threads come at once, and what they need takes a while
        with self._preparing:
            source = self._codes
        kept = self._kept(text, source)
        with self._preparing:
            num_before, own = self._own
        parts = [self.tokens[:num_before]]
        begin = 0
        for before, span in zip([None, *kept], [*kept, None], strict=True):
            stop = span.start if span is not None else len(text)
            if begin < stop:
                part = self._part(text, begin, stop)
                for joint, beside in ((begin, before), (stop, span)):
                    if beside is not None:
                        self._compare(part, own, joint, beside.shift)
                parts.append(part.between(begin, stop).ids)
            if span is not None:
                parts.append(own.between(span.start - span.shift, span.stop - span.shift).ids)
                begin = span.stop
        return np.concatenate([*parts, self.tokens[num_before + len(own.ids) :]])

    @functools.cached_property
    def _own(self) -> tuple[int, _Located]:
        """How many special tokens this text has in front, and the tokens of its own."""
        try:
            ids, starts = self.tokenizer.char_starts(self.text)
        except ValueError as error:
            raise Unsynchronised(str(error)) from error
        for num_before in range(len(self.tokens) - len(ids) + 1):
            if np.array_equal(self.tokens[num_before : num_before + len(ids)], ids):
                return num_before, _Located(ids, starts)
        raise Unsynchronised("the text's own tokens are others where it is encoded as a whole")

    @functools.cached_property
    def _codes(self) -> Source:
        return Source(_codes(self.text))

    def _kept(self, text: str, source: Source) -> list[_Kept]:
        """What is kept of the source: common to both, and so far from where they differ that
        nothing of that is felt there."""
        margin = _OVERLAP_CHARS + _JOINT_CHARS
        kept = []
        spans = source.common_spans(_codes(text), least=2 * margin + 1, least_share=LEAST_SHARED)
        if not spans:
            raise Unsynchronised("too little is in common")
        for span in spans:
            shift = span.start - span.source_start
            at_start = span.start == span.source_start == 0
            at_stop = span.stop == len(text) and span.stop - shift == len(self.text)
            start = span.start + (0 if at_start else margin)
            stop = span.stop - (0 if at_stop else margin)
            kept.append(_Kept(start, stop, shift))
        return kept

    def _part(self, text: str, begin: int, stop: int) -> _Located:
        """The tokens about [begin, stop), as some text on either side makes them."""
        first = max(0, begin - _OVERLAP_CHARS)
        ids, starts = self.tokenizer.char_starts(text[first : stop + _OVERLAP_CHARS])
        return _Located(ids, starts + first)

    def _compare(self, part: _Located, own: _Located, joint: int, shift: int) -> None:
        """Raises Unsynchronised if a part's tokens about a joint are not the source's."""
        about = joint - _JOINT_CHARS, joint + _JOINT_CHARS
        expected = own.between(*(char - shift for char in about)).moved(shift)
        found = part.between(*about)
        if not (
            np.array_equal(found.ids, expected.ids)
            and np.array_equal(found.starts, expected.starts)
        ):
            raise Unsynchronised(f"at character {joint}")


def _codes(text: str) -> torch.Tensor:
    """Code points (characters,) int64."""
    return torch.from_numpy(code_points(text).astype(np.int64))
