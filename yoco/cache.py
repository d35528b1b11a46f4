"""What a context holds: spans of KV caches, and the small state of the self-decoder.

A context is a list of segments plus a state. A segment is a span of some KV cache and a shift:
its keys carry the rotary position at which they were computed, their true position is that plus
the shift. Contexts share segments without copying; only the state is copied by a fork.

Legend: N tokens of this call, S source tokens, G key/value heads, D head width, W window.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from yoco.config import YOCOConfig

# decoding appends to a window's buffer and moves the window to the front once in so many tokens
WINDOW_SLACK = 256


class KVCache:
    """The single global KV cache: storage of a fixed number of tokens, filled from the front.

    Attributes:
        keys, values: (capacity, G, D), in the model's dtype.
        length: tokens written so far.
        not_finite: which of them have a K or V that is not finite, ascending; `settle` first.
    """

    def __init__(
        self, config: YOCOConfig, capacity: int, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        shape = (capacity, config.n_attn_kv_heads, config.cross_head_dim)
        self.keys = torch.empty(shape, device=device, dtype=dtype)
        self.values = torch.empty(shape, device=device, dtype=dtype)
        self.length = 0
        self.not_finite: list[int] = []
        # (first token, a number for each that is finite if its K and V are): on the device
        self._noted: list[tuple[int, Tensor]] = []

    @property
    def capacity(self) -> int:
        """Tokens that fit."""
        return len(self.keys)

    @property
    def nbytes(self) -> int:
        """Bytes of the storage, filled or not."""
        return self.keys.nbytes + self.values.nbytes

    def require_room(self, num_tokens: int) -> None:
        """Raises ValueError if `num_tokens` more do not fit."""
        stop = self.length + num_tokens
        if stop > self.capacity:
            raise ValueError(
                f"{stop:,} tokens do not fit the KV cache of {self.capacity:,}: give the context "
                "a larger capacity"
            )

    def append(self, k: Tensor, v: Tensor) -> None:
        """Writes k, v (N, G, D) behind what is there; the caller has made sure of the room."""
        stop = self.length + len(k)
        assert stop <= self.capacity
        self.keys[self.length : stop] = k
        self.values[self.length : stop] = v
        self.length = stop

    def note(self, sums: Tensor) -> None:
        """Remembers `kv_sums` (N,) of the tokens that were appended last; waits for no device."""
        self._noted.append((self.length - len(sums), sums))

    def rewind(self, length: int) -> None:
        """Forgets all but the first `length` tokens."""
        settle([self])
        self.not_finite = [token for token in self.not_finite if token < length]
        self.length = length


def kv_sums(k: Tensor, v: Tensor) -> Tensor:
    """For each token of k, v (N, G, D) one number (N,), which is finite if all of them are."""
    wide = torch.promote_types(k.dtype, torch.float32)
    return k.sum((1, 2), dtype=wide) + v.sum((1, 2), dtype=wide)


def settle(caches: Iterable[KVCache]) -> None:
    """Brings `not_finite` of the caches up to date; waits for the device once for all of them."""
    noted = [
        (cache, *each) for cache in {id(c): c for c in caches}.values() for each in cache._noted
    ]
    if not noted:
        return
    is_bad = ~np.isfinite(torch.cat([sums for _, _, sums in noted]).cpu().numpy())
    any_bad, begin = bool(is_bad.any()), 0
    for cache, first, sums in noted:
        cache._noted = []
        if any_bad:
            cache.not_finite += (np.flatnonzero(is_bad[begin : begin + len(sums)]) + first).tolist()
            begin += len(sums)


@dataclass(frozen=True)
class Segment:
    """Tokens [start, stop) of a KV cache, as they stand in one context.

    Attributes:
        position: the rotary position with which the first of them was stored.
        shift: true position minus stored position.
    """

    cache: KVCache
    start: int
    stop: int
    position: int
    shift: int = 0

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def first_true_position(self) -> int:
        """True position of the first token."""
        return self.position + self.shift

    @property
    def first_not_finite(self) -> int | None:
        """True position of the first token whose K or V is not finite; `settle` the cache first."""
        tokens = (token for token in self.cache.not_finite if self.start <= token < self.stop)
        token = next(tokens, None)
        return None if token is None else token - self.start + self.first_true_position


class WindowState:
    """The last W-1 keys and values of every sliding-window layer.

    They lie in one buffer a layer with some slack behind, so that a decoding step writes one
    token and copies none; when the slack is used up the window moves to the front.
    """

    def __init__(
        self, config: YOCOConfig, capacity: int, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        assert config.sliding_window is not None
        self.reach = config.sliding_window - 1
        size = min(self.reach + WINDOW_SLACK, capacity)
        shape = (config.n_self_layers, 2, size, config.n_self_kv_heads, config.self_head_dim)
        self.buffer = torch.empty(shape, device=device, dtype=dtype)
        self.start = self.stop = 0
        # of each layer the window after this call, where it does not fit the buffer's end; an
        # interrupted call leaves the buffer as it was
        self._moved: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers."""
        return self.buffer.nbytes

    def next_nbytes(self, num_tokens: int) -> int:
        """Bytes of the window after a call of so many tokens, held until the call is closed."""
        size = self.buffer.shape[2]
        return self.buffer[:, :, : min(self.reach, num_tokens, size)].nbytes

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Remembers k, v (N, G, D) of one layer; returns the window's keys and values with them.

        Returns:
            keys, values (S, G, D), the last N of S being the new ones. Valid until the next
            call for this layer.
        """
        buffer, stop = self.buffer[layer], self.stop + len(k)
        if stop <= buffer.shape[1]:
            buffer[0, self.stop : stop] = k
            buffer[1, self.stop : stop] = v
            return buffer[0, self.start : stop], buffer[1, self.start : stop]
        if self.stop > self.start:
            k = torch.cat((buffer[0, self.start : self.stop], k))
            v = torch.cat((buffer[1, self.start : self.stop], v))
        kept = min(self.reach, len(k))
        # copies, for a view would hold the whole chunk
        self._moved[layer] = k[len(k) - kept :].clone(), v[len(v) - kept :].clone()
        return k, v

    def advance(self, num_tokens: int) -> None:
        """Closes a call in which every layer was extended by `num_tokens`."""
        if self.stop + num_tokens <= self.buffer.shape[2]:
            self.stop += num_tokens
            self.start = max(self.start, self.stop - self.reach)
        else:
            for layer, (k, v) in self._moved.items():
                self.buffer[layer, 0, : len(k)] = k
                self.buffer[layer, 1, : len(v)] = v
            self._moved = {}
            self.start, self.stop = 0, min(self.reach, self.stop - self.start + num_tokens)

    def abandon(self) -> None:
        """Ends a call that failed: everything is as it was before."""
        self._moved = {}

    def fork(self, capacity: int) -> WindowState:
        """A copy that may go another way, with room for `capacity` more tokens."""
        length = self.stop - self.start
        size = min(self.reach + WINDOW_SLACK, length + capacity)
        other = object.__new__(WindowState)
        other.reach, other.start, other.stop, other._moved = self.reach, 0, length, {}
        other.buffer = self.buffer.new_empty(*self.buffer.shape[:2], size, *self.buffer.shape[3:])
        other.buffer[:, :, :length] = self.buffer[:, :, self.start : self.stop]
        return other


class RetentionState:
    """The recurrent memory of every gated-retention layer, (layers, H, D, D) float32."""

    def __init__(self, config: YOCOConfig, *, device: torch.device) -> None:
        width = config.self_head_dim
        shape = (config.n_self_layers, config.n_self_heads, width, width)
        self.memory = torch.zeros(shape, device=device, dtype=torch.float32)
        # of each layer what its memory will be after this call
        self._changed: dict[int, Tensor] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of the memory."""
        return self.memory.nbytes

    def next_nbytes(self, num_tokens: int) -> int:
        """Bytes of the memory after a call of so many tokens, held until the call is closed."""
        return self.memory.nbytes

    def change(self, layer: int, memory: Tensor) -> None:
        """Takes a layer's memory (H, D, D) as it is after this call; `advance` closes the call."""
        self._changed[layer] = memory

    def advance(self, num_tokens: int) -> None:
        """Closes a call in which every layer's memory was changed."""
        for layer, memory in self._changed.items():
            self.memory[layer] = memory
        self._changed = {}

    def abandon(self) -> None:
        """Ends a call that failed: everything is as it was before."""
        self._changed = {}

    def fork(self, capacity: int) -> RetentionState:
        """A copy that may go another way."""
        other = object.__new__(RetentionState)
        other.memory, other._changed = self.memory.clone(), {}
        return other


@dataclass
class Context:
    """A sequence of tokens that a model has read, ready to be continued or asked.

    Attributes:
        cache: where the next tokens' K and V go.
        state: what the self-decoder remembers.
        length: the next token has this true position.
        shared: segments that were read before `cache` begins, in order.
        num_warm_up: so many tokens at the front of `cache` only brought the state to where the
            context begins to be read; no row sees them.
    """

    config: YOCOConfig
    cache: KVCache
    state: WindowState | RetentionState
    length: int = 0
    shared: list[Segment] = field(default_factory=list)
    num_warm_up: int = 0

    @classmethod
    def empty(
        cls,
        config: YOCOConfig,
        capacity: int,
        *,
        device: torch.device,
        dtype: torch.dtype,
        length: int = 0,
        num_warm_up: int = 0,
    ) -> Context:
        """A context with room for `capacity` tokens.

        Args:
            length: true position of the first token that will be read.
            num_warm_up: as the attribute.
        """
        if config.mixer == "sliding_window":
            state = WindowState(config, capacity, device=device, dtype=dtype)
        else:
            state = RetentionState(config, device=device)
        cache = KVCache(config, capacity, device=device, dtype=dtype)
        return cls(config, cache, state, length, num_warm_up=num_warm_up)

    @property
    def segments(self) -> list[Segment]:
        """All that a row behind the last token reads, in the order of true positions."""
        stored, skipped = self.cache.length, self.num_warm_up
        if stored <= skipped:
            return list(self.shared)
        own = Segment(self.cache, skipped, stored, position=self.length - stored + skipped)
        return [*self.shared, own]

    @property
    def nbytes(self) -> int:
        """Bytes of this context's own storage; what it shares is counted where it was made."""
        return self.cache.nbytes + self.state.nbytes

    def fork(self, capacity: int) -> Context:
        """A context that goes on from here by itself, with room for `capacity` more tokens.

        The tokens so far are shared, not copied: a later extension of this context is not seen
        by the fork.
        """
        keys = self.cache.keys
        cache = KVCache(self.config, capacity, device=keys.device, dtype=keys.dtype)
        return Context(self.config, cache, self.state.fork(capacity), self.length, self.segments)


def first_not_finite(contexts: Sequence[Context]) -> list[int | None]:
    """Of each context the true position of the first token whose K or V is not finite.

    Waits for the device once.
    """
    settle(segment.cache for context in contexts for segment in context.segments)
    return [
        next(
            (
                position
                for segment in context.segments
                if (position := segment.first_not_finite) is not None
            ),
            None,
        )
        for context in contexts
    ]
