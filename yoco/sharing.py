"""Long prompts read one after the other: what an earlier one left in the KV cache is used again.

What may be shared is worked out from the tokens alone.

With sliding windows the K and V of a token depend on the R tokens before it and on nothing else:
neither on what stands further in front nor on where the token stands. So a prompt that has long
spans in common with an earlier one, its source, reads only what lies between them, each time from
R tokens before to R tokens behind; the source's cache does for the rest, its positions shifted.

With gated retention everything in front matters: only a common beginning is used again, from a
place at which the state was kept, and the cache is written over from there.

Legend: T tokens of a prompt, R receptive field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from yoco.cache import Context, KVCache, RetentionState, Segment, WindowState
from yoco.common_spans import CommonSpan, Source, common_length
from yoco.model import YOCO
from yoco.prefill import OnRead, Rows, extend, new_context, prefill_last

# States that a prompt keeps for the next one: of the 3B shape 20 MB each.
MAX_STATES = 64


class PromptReader(Protocol):
    """Reads prompts one after the other."""

    def read(self, tokens: Tensor, *, capacity: int, on_read: OnRead = ...) -> Rows:
        """Reads a prompt into a context.

        Args:
            tokens: (T,) int64, on the CPU, at least one.
            capacity: tokens that the context has room for, the prompt's among them.
            on_read: told how many more tokens of the prompt are in the context, read or shared.

        Returns:
            The last row, the one that predicts what comes next. It and its context are valid
            until the next prompt is read.
        """
        ...


def prompt_reader(model: YOCO, *, chunk_size: int, share: bool = True) -> PromptReader:
    """The reader that shares most of what this model may share.

    With the official arithmetic of rotary angles a shifted position is not quite the same, so
    there only beginnings are shared.

    Args:
        chunk_size: tokens of one pass of the self-decoder.
        share: if false, every prompt is read by itself.
    """
    if not share:
        return SeparateReader(model, chunk_size=chunk_size)
    reach = model.config.receptive_field_tokens
    if reach is None or model.rope_precision != "float64":
        return RewindingReader(model, chunk_size=chunk_size)
    return SplicingReader(model, reach, chunk_size=chunk_size)


class SeparateReader:
    """Shares nothing."""

    def __init__(self, model: YOCO, *, chunk_size: int) -> None:
        self.model, self.chunk_size = model, chunk_size

    def read(
        self, tokens: Tensor, *, capacity: int, on_read: OnRead = lambda num_tokens: None
    ) -> Rows:
        """As `PromptReader.read`."""
        context = new_context(self.model, capacity)
        return prefill_last(
            self.model, context, tokens, chunk_size=self.chunk_size, on_read=on_read
        )


class SplicingReader:
    """Takes the K and V of common spans from an earlier prompt, wherever they stand.

    Args:
        reach: R, the model's receptive field.
    """

    def __init__(self, model: YOCO, reach: int, *, chunk_size: int) -> None:
        self.model, self.reach, self.chunk_size = model, reach, chunk_size
        self._source: Source | None = None
        self._cache: KVCache | None = None

    def read(
        self, tokens: Tensor, *, capacity: int, on_read: OnRead = lambda num_tokens: None
    ) -> Rows:
        """As `PromptReader.read`; the first prompt, and one that shares less than half of its
        tokens, is read as a whole and the source of those behind it."""
        kept = self._reusable(tokens)
        num_kept = sum(span.length for span in kept)
        if 2 * num_kept >= len(tokens):
            on_read(num_kept)
            return self._splice(tokens, kept, capacity, on_read)
        # the old cache goes before there is a new one
        self._source = self._cache = None
        alone = SeparateReader(self.model, chunk_size=self.chunk_size)
        rows = alone.read(tokens, capacity=capacity, on_read=on_read)
        self._source, self._cache = Source(tokens), rows.context.cache
        return rows

    def _reusable(self, tokens: Tensor) -> list[CommonSpan]:
        """Spans whose K and V are the source's, without the prompt's last token.

        One that would save less than it costs to begin again behind it is not among them.
        """
        if self._source is None:
            return []
        spans = []
        for span in self._source.common_spans(tokens):
            # nothing stands in front of the beginning that could differ
            skipped = self.reach if span.start or span.source_start else 0
            start, stop = span.start + skipped, min(span.stop, len(tokens) - 1)
            if stop - start > self.reach:
                spans.append(CommonSpan(start, span.source_start + skipped, stop - start))
        return spans

    def _splice(
        self, tokens: Tensor, kept: Sequence[CommonSpan], capacity: int, on_read: OnRead
    ) -> Rows:
        """Reads what lies between the kept spans and behind the last, and joins all of it."""
        assert self._cache is not None
        model = self.model
        begins = [0, *(span.stop for span in kept)]
        stops = [*(span.start for span in kept), len(tokens)]
        patches = [(begin, stop) for begin, stop in zip(begins, stops, strict=True) if begin < stop]
        contexts, texts = [], []
        for begin, stop in patches:
            first = max(0, begin - self.reach)
            room = (capacity if stop == len(tokens) else stop) - first
            contexts.append(new_context(model, room, first=first, begin=begin))
            texts.append(tokens[first:stop])
        if sum(map(len, texts)) <= self.chunk_size:
            hidden = extend(model, contexts, [text.to(model.device) for text in texts])
            rows = Rows(contexts[-1], hidden[-1:].clone(), [len(tokens) - 1])
            on_read(sum(stop - begin for begin, stop in patches))
        else:
            for context, text in zip(contexts, texts, strict=True):
                warm_up = context.num_warm_up
                rows = prefill_last(model, context, text, chunk_size=self.chunk_size)
                on_read(len(text) - warm_up)
        segments = [
            Segment(
                self._cache,
                span.source_start,
                span.source_start + span.length,
                position=span.source_start,
                shift=span.start - span.source_start,
            )
            for span in kept
        ]
        segments += [segment for context in contexts[:-1] for segment in context.segments]
        contexts[-1].shared = sorted(segments, key=lambda segment: segment.first_true_position)
        return rows


@dataclass
class _Place:
    """What the self-decoder remembers behind so many tokens."""

    length: int
    state: WindowState | RetentionState


class RewindingReader:
    """Goes back to where a prompt parts from the one before, and reads on from there."""

    def __init__(self, model: YOCO, *, chunk_size: int) -> None:
        self.model, self.chunk_size = model, chunk_size
        self._tokens = torch.empty(0, dtype=torch.int64)
        self._cache: KVCache | None = None
        self._places: list[_Place] = []

    def read(
        self, tokens: Tensor, *, capacity: int, on_read: OnRead = lambda num_tokens: None
    ) -> Rows:
        """As `PromptReader.read`; shares the beginning with the prompt before."""
        # the last token is always read: its hidden state is asked for
        shared = min(common_length(tokens, self._tokens), len(tokens) - 1)
        self._places = [place for place in self._places if place.length <= shared]
        if self._cache is None or capacity > self._cache.capacity or not self._places:
            # the old cache goes before there is a new one
            self._cache, self._places = None, []
            context = new_context(self.model, capacity)
            self._cache = context.cache
        else:
            place = self._places[-1]
            self._cache.length = place.length
            state = place.state.fork(len(tokens))
            context = Context(self.model.config, self._cache, state, place.length)
            on_read(place.length)
        self._tokens = tokens
        num_chunks = -(-len(tokens) // self.chunk_size)
        spacing = -(-num_chunks // MAX_STATES) * self.chunk_size

        def keep(num_tokens: int) -> None:
            last = self._places[-1].length if self._places else 0
            if context.length - last >= spacing:
                self._places.append(_Place(context.length, context.state.fork(0)))
            on_read(num_tokens)

        unread = tokens[context.length :]
        return prefill_last(self.model, context, unread, chunk_size=self.chunk_size, on_read=keep)
