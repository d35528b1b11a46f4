"""Caches, with positions stored as values, so that a wrong place shows."""

from __future__ import annotations

import pytest
import torch

from yoco import Context, KVCache, RopeConfig, YOCOConfig
from yoco.cache import WINDOW_SLACK, RetentionState, WindowState

CPU = torch.device("cpu")


def config(window: int | None = 5) -> YOCOConfig:
    return YOCOConfig(
        vocab_size=7,
        dim=8,
        hidden_dim=8,
        n_self_layers=2,
        n_cross_layers=1,
        n_self_heads=2,
        n_self_kv_heads=2,
        n_attn_heads=2,
        n_attn_kv_heads=1,
        mixer="sliding_window" if window else "gated_retention",
        sliding_window=window,
        norm_eps=1e-5,
        self_rope=RopeConfig(theta=1e4),
        cross_rope=RopeConfig(theta=1e4),
    )


def marked(start: int, stop: int, heads: int) -> torch.Tensor:
    """Keys (N, heads, 4) whose values are their positions."""
    return torch.arange(start, stop).float()[:, None, None].expand(-1, heads, 4).clone()


@pytest.mark.parametrize("steps", [[1] * 700, [3, 1, 1, 600, 1, 1, 2, 300, 1], [5, 5], [1]])
@pytest.mark.parametrize("window", [1, 2, 5, 257])
def test_window_state_gives_each_layer_its_last_keys(steps: list[int], window: int) -> None:
    state = WindowState(config(window), 2000, device=CPU, dtype=torch.float32)
    state.buffer.fill_(float("nan"))
    position = 0
    for step in steps:
        for layer in range(2):
            new = marked(position, position + step, 2) + 10_000 * layer
            keys, values = state.extend(layer, new, -new)
            first = max(0, position - (window - 1))
            expected = torch.arange(first, position + step) + 10_000 * layer
            assert keys[:, 0, 0].tolist() == expected.tolist()
            assert torch.equal(values, -keys)
        state.advance(step)
        position += step


def test_window_state_is_no_larger_than_it_must_be() -> None:
    state = WindowState(config(5), 10**9, device=CPU, dtype=torch.float32)
    assert state.nbytes == 2 * 2 * (4 + WINDOW_SLACK) * 2 * 4 * 4
    small = WindowState(config(5), 3, device=CPU, dtype=torch.float32)
    assert small.nbytes == 2 * 2 * 3 * 2 * 4 * 4


def test_forks_share_segments_and_own_their_state() -> None:
    context = Context.empty(config(), 6, device=CPU, dtype=torch.float32)
    assert isinstance(context.state, WindowState)
    context.cache.append(marked(0, 4, 1), marked(0, 4, 1))
    for layer in range(2):
        context.state.extend(layer, marked(0, 4, 2), marked(0, 4, 2))
    context.state.advance(4)
    context.length = 4

    fork = context.fork(10)
    context.cache.append(marked(4, 6, 1), marked(4, 6, 1))
    context.length = 6
    assert [len(segment) for segment in fork.segments] == [4]
    assert fork.segments[0].cache is context.cache
    fork.cache.append(marked(70, 73, 1), marked(70, 73, 1))
    fork.length = 7
    assert [(len(s), s.first_true_position) for s in fork.segments] == [(4, 0), (3, 4)]

    assert isinstance(fork.state, WindowState)
    for step, position in ((10, 4), (1, 14)):
        new = marked(position, position + step, 2)
        keys = [fork.state.extend(layer, new, new)[0] for layer in range(2)]
        assert keys[1][:, 0, 0].tolist() == list(range(position - 4, position + step))
        fork.state.advance(step)
    own, _ = context.state.extend(0, marked(4, 5, 2), marked(4, 5, 2))
    assert own[:, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_forks_of_retention_own_their_memory() -> None:
    context = Context.empty(config(None), 6, device=CPU, dtype=torch.float32)
    fork = context.fork(3)
    assert isinstance(context.state, RetentionState) and isinstance(fork.state, RetentionState)
    context.state.memory += 1
    assert fork.state.memory.abs().max() == 0


def test_overflow_names_both_sizes() -> None:
    cache = KVCache(config(), 1000, device=CPU, dtype=torch.float32)
    with pytest.raises(ValueError, match="1,001 tokens do not fit the KV cache of 1,000"):
        cache.require_room(1001)


def test_nbytes_are_exact() -> None:
    context = Context.empty(config(None), 10, device=CPU, dtype=torch.float32)
    assert context.cache.nbytes == 2 * 10 * 1 * 4 * 4
    assert context.nbytes == context.cache.nbytes + 2 * 2 * 4 * 4 * 4
