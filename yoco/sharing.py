"""Long prompts read one after the other: what an earlier one left in the KV cache is used again.

What may be shared is worked out from the tokens alone.

With sliding windows the K and V of a token depend on the R tokens before it and on nothing else:
neither on what stands further in front nor on where the token stands. So a prompt that has long
spans in common with an earlier one, its source, reads only what lies between them, each time from
R tokens before to R tokens behind; the source's cache does for the rest, its positions shifted.

With gated retention everything in front matters: only a common beginning is used again, from a
place at which the state was kept, and the cache is written over from there.

Spliced prompts leave their source as it is, so that several can be continued side by side, and what
they share is read once for all of them.

Legend: T tokens of a prompt, R receptive field.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from more_itertools import constrained_batches
from torch import Tensor

from yoco.cache import (
    Context,
    KVCache,
    RetentionState,
    Segment,
    WindowState,
    first_not_finite,
)
from yoco.chunk_size import ChunkSize, NotEnoughMemory, ran_out_of_memory
from yoco.common_spans import CommonSpan, Source, common_length
from yoco.model import YOCO
from yoco.prefill import OnRead, extend, new_context, prefill_last, untold
from yoco.rows import Rows

# A prompt is spliced if it shares so much.
LEAST_SHARED = 0.75
# Of the tokens of the source, how many spliced prompts may have beside it, read and to come, before
# they are released; a single one may have more.
BESIDE_SHARE = 1 / 4
# Of the bytes of the KV cache, what the states kept for the next prompt may take; and how many are
# kept whatever they take.
STATES_SHARE = 1 / 8
FEWEST_STATES = 8


BeforeRelease = Callable[[], object]


def unused() -> None:
    """The `before_release` of those who use each prompt before they read the next."""


class PromptReader(ABC):
    """Reads prompts one after the other.

    Args:
        chunk_size: tokens of one pass of the self-decoder; shrinks where memory runs out.
    """

    def __init__(self, model: YOCO, *, chunk_size: int | ChunkSize) -> None:
        self.model, self.chunk_size = model, ChunkSize.of(chunk_size)

    @abstractmethod
    def release(self) -> None:
        """Lets go of what is kept for the next prompt, which is then read as the first was."""

    def read(
        self,
        tokens: Tensor,
        *,
        capacity: int,
        on_read: OnRead = untold,
        before_release: BeforeRelease = unused,
    ) -> Rows:
        """Reads a prompt into a context.

        Args:
            tokens: (T,) int64, on the CPU.
            capacity: tokens that the context has room for, the prompt's among them.
            on_read: told how many more tokens of the prompt are in the context, read or shared.
            before_release: called before the contexts of earlier prompts are written over, or
                would take memory beside this one's: now is the time to use them, and to let go.

        Returns:
            The last row, the one that predicts what comes next. It and its context are valid
            until a later `read` calls its `before_release`; without one, until the next `read`.

        Raises:
            ValueError: there are no tokens, or no room for them.
        """
        return self._read(tokens, capacity, on_read, before_release)

    @abstractmethod
    def _read(
        self, tokens: Tensor, capacity: int, on_read: OnRead, before_release: BeforeRelease
    ) -> Rows: ...


def prompt_reader(model: YOCO, *, chunk_size: int | ChunkSize, share: bool = True) -> PromptReader:
    """The reader that shares most of what this model may share.

    With the official arithmetic of rotary angles a shifted position is not quite the same, so
    there only beginnings are shared.

    Args:
        chunk_size: tokens of one pass of the self-decoder; shrinks where memory runs out.
        share: if false, every prompt is read by itself.
    """
    if not share:
        return SeparateReader(model, chunk_size=chunk_size)
    reach = model.config.receptive_field_tokens
    if reach is None or model.rope_precision != "float64":
        return RewindingReader(model, chunk_size=chunk_size)
    return SplicingReader(model, reach, chunk_size=chunk_size)


class SeparateReader(PromptReader):
    """Shares nothing."""

    def release(self) -> None:
        pass

    def _read(
        self, tokens: Tensor, capacity: int, on_read: OnRead, before_release: BeforeRelease
    ) -> Rows:
        before_release()
        context = new_context(self.model, capacity)
        return prefill_last(
            self.model, context, tokens, chunk_size=self.chunk_size, on_read=on_read
        )


@dataclass(frozen=True)
class _Patch:
    """Tokens [begin, stop) of a prompt that are read, from `first` on to warm up the state."""

    first: int
    begin: int
    stop: int


class SplicingReader(PromptReader):
    """Takes the K and V of common spans from an earlier prompt, wherever they stand.

    The first prompt, and one that shares too little, is read as a whole and becomes the source of
    those behind it.

    Args:
        reach: R, the model's receptive field.
    """

    def __init__(self, model: YOCO, reach: int, *, chunk_size: int | ChunkSize) -> None:
        super().__init__(model, chunk_size=chunk_size)
        self.reach = reach
        self._source: Source | None = None
        self._cache: KVCache | None = None
        self._num_beside = 0

    def release(self) -> None:
        self._source = self._cache = None
        self._num_beside = 0

    def _read(
        self, tokens: Tensor, capacity: int, on_read: OnRead, before_release: BeforeRelease
    ) -> Rows:
        kept = self._reusable(tokens)
        num_kept = sum(span.length for span in kept)
        if self._source is not None and kept and num_kept >= LEAST_SHARED * len(tokens):
            patches = list(self._patches(kept, len(tokens)))
            num_beside = sum(patch.stop - patch.first for patch in patches)
            num_beside += capacity - len(tokens)
            if self._num_beside + num_beside > BESIDE_SHARE * len(self._source.tokens):
                before_release()
                self._num_beside = 0
            self._num_beside += num_beside
            rows = self._splice_if_it_fits(tokens, kept, patches, capacity, on_read)
            if rows is None:
                # with the prompts beside it gone there is more room
                before_release()
                self._num_beside = num_beside
                rows = self._splice_if_it_fits(tokens, kept, patches, capacity, on_read)
            if rows is not None:
                on_read(num_kept)
                return rows
        # the old cache goes before there is a new one
        before_release()
        self.release()
        alone = SeparateReader(self.model, chunk_size=self.chunk_size)
        rows = alone.read(tokens, capacity=capacity, on_read=on_read)
        # what is not finite is shared with nobody
        if first_not_finite([rows.context]) == [None]:
            self._source, self._cache = Source(tokens), rows.context.cache
        return rows

    def _splice_if_it_fits(
        self,
        tokens: Tensor,
        kept: Sequence[CommonSpan],
        patches: Sequence[_Patch],
        capacity: int,
        on_read: OnRead,
    ) -> Rows | None:
        """As `_splice`; None where the memory is too little for it."""
        num_read = 0

        def tell(num_tokens: int) -> None:
            nonlocal num_read
            num_read += num_tokens
            on_read(num_tokens)

        try:
            return self._splice(tokens, kept, patches, capacity, tell)
        except Exception as error:
            if not isinstance(error, NotEnoughMemory) and not ran_out_of_memory(error):
                raise
            on_read(-num_read)
            return None

    def _reusable(self, tokens: Tensor) -> list[CommonSpan]:
        """Spans whose K and V are the source's, without the prompt's last token.

        One that would save less than it costs to begin again behind it is not among them.
        """
        if self._source is None:
            return []
        spans = []
        for span in self._source.common_spans(
            tokens, least=self.reach + 1, least_share=LEAST_SHARED
        ):
            # nothing stands in front of the beginning that could differ
            skipped = self.reach if span.start or span.source_start else 0
            start, stop = span.start + skipped, min(span.stop, len(tokens) - 1)
            if stop - start > self.reach:
                spans.append(CommonSpan(start, span.source_start + skipped, stop - start))
        return spans

    def _splice(
        self,
        tokens: Tensor,
        kept: Sequence[CommonSpan],
        patches: Sequence[_Patch],
        capacity: int,
        on_read: OnRead,
    ) -> Rows:
        """Reads what lies between the kept spans and behind the last, and joins all of it."""
        assert self._cache is not None
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
        # those that fit one pass are read together
        for pack in constrained_batches(
            patches,
            self.chunk_size.tokens,
            get_len=lambda patch: patch.stop - patch.first,
            strict=False,
        ):
            contexts = [
                new_context(
                    self.model,
                    (capacity if patch.stop == len(tokens) else patch.stop) - patch.first,
                    length=patch.first,
                    num_warm_up=patch.begin - patch.first,
                )
                for patch in pack
            ]
            rows = self._read_pack(contexts, [tokens[p.first : p.stop] for p in pack], on_read)
            # of all but the last only K and V are wanted, not the states
            segments += [segment for context in contexts for segment in context.segments]
        segments.sort(key=lambda segment: segment.first_true_position)
        rows.context.shared = segments[:-1]
        return rows

    def _patches(self, kept: Sequence[CommonSpan], num_tokens: int) -> Iterator[_Patch]:
        begins = [0, *(span.stop for span in kept)]
        stops = [*(span.start for span in kept), num_tokens]
        for begin, stop in zip(begins, stops, strict=True):
            if begin < stop:
                yield _Patch(max(0, begin - self.reach), begin, stop)

    def _read_pack(
        self, contexts: Sequence[Context], texts: Sequence[Tensor], on_read: OnRead
    ) -> Rows:
        """Reads a pack; returns the last row of its last context."""
        context = contexts[-1]
        if len(contexts) == 1:
            # the warm-up was counted with what is shared
            unseen = context.num_warm_up

            def tell(num_tokens: int) -> None:
                nonlocal unseen
                on_read(max(num_tokens - unseen, 0))
                unseen = max(unseen - num_tokens, 0)

            return prefill_last(
                self.model, context, texts[0], chunk_size=self.chunk_size, on_read=tell
            )
        try:
            hidden = extend(self.model, contexts, [text.to(self.model.device) for text in texts])
        except Exception as error:
            self.chunk_size.shrink(error, sum(map(len, texts)))
        else:
            on_read(sum(map(len, texts)) - sum(context.num_warm_up for context in contexts))
            return Rows(context, hidden[-1:].clone(), [context.length - 1])
        pairs = zip(contexts, texts, strict=True)
        return [self._read_pack([context], [text], on_read) for context, text in pairs][-1]


@dataclass
class _Place:
    """What the self-decoder remembers behind so many tokens."""

    length: int
    state: WindowState | RetentionState


class RewindingReader(PromptReader):
    """Goes back to where a prompt parts from the one before, and reads on from there."""

    def __init__(self, model: YOCO, *, chunk_size: int | ChunkSize) -> None:
        super().__init__(model, chunk_size=chunk_size)
        self._tokens = torch.empty(0, dtype=torch.int64)
        self._cache: KVCache | None = None
        self._places: list[_Place] = []

    def release(self) -> None:
        self._cache, self._places = None, []

    def _read(
        self, tokens: Tensor, capacity: int, on_read: OnRead, before_release: BeforeRelease
    ) -> Rows:
        before_release()
        context = self._rewound(tokens, capacity)
        on_read(context.length)
        self._tokens = tokens
        most = max(FEWEST_STATES, int(STATES_SHARE * context.cache.nbytes / context.state.nbytes))
        chunk_tokens = self.chunk_size.tokens
        num_chunks = -(-len(tokens) // chunk_tokens)
        spacing = -(-num_chunks // most) * chunk_tokens

        def keep(num_tokens: int) -> None:
            last = self._places[-1].length if self._places else 0
            if context.length - last >= spacing:
                # those of a shorter prompt lie closer
                if len(self._places) >= most:
                    del self._places[::2]
                self._places.append(_Place(context.length, context.state.fork(0)))
            on_read(num_tokens)

        return prefill_last(
            self.model,
            context,
            tokens[context.length :],
            chunk_size=self.chunk_size,
            on_read=keep,
        )

    def _rewound(self, tokens: Tensor, capacity: int) -> Context:
        """A context of what the prompt shares with the one before; an empty one if that is little.

        There is room for a chunk more than was asked for, so that a prompt that is a little longer
        than the one before need not begin anew.
        """
        # the last token is always read: its hidden state is asked for
        shared = min(common_length(tokens, self._tokens), len(tokens) - 1)
        self._places = [place for place in self._places if place.length <= shared]
        if self._cache is not None and self._places and capacity <= self._cache.capacity:
            place = self._places[-1]
            self._cache.rewind(place.length)
            state = place.state.fork(capacity - place.length)
            return Context(self.model.config, self._cache, state, place.length)
        # the old cache goes before there is a new one
        self.release()
        context = new_context(self.model, capacity + self.chunk_size.tokens)
        self._cache = context.cache
        return context
