"""The order in which prompts are read: those that share text follow one another."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch

from yoco import ChunkSize
from yoco.common_spans import window_hashes

Item = TypeVar("Item")

# What is looked at of a prompt, behind a preamble that all prompts of a task may have.
LOOKED_AT = slice(2_048, 8_192)
# Lengths that are the same up to so much are one: prompts of one length in tokens differ by some
# characters, and are read in the order in which they came.
_SAME_LENGTH = 1 / 64


def sharing_order(lengths: Sequence[int], beginnings: Sequence[np.ndarray]) -> list[int]:
    """Indices of prompts, the longest first, behind each the others that begin much like it.

    Only an order is settled here: what two prompts really share, their tokens decide. Prompts that
    have most of the 64-token windows that are looked at in common are very likely told to belong
    together, wherever something was put in or left out.

    Args:
        lengths: of the prompts.
        beginnings: of each prompt its tokens, or the characters of its text, as integers; only
            those from 2,048 to 8,192 count. A prompt with fewer than 4,096 belongs to no other.
    """
    groups: dict[int | None, list[int]] = defaultdict(list)
    for place, beginning in enumerate(beginnings):
        groups[_least_hash(beginning[LOOKED_AT])].append(place)
    rank = [-round(math.log(length + 1) / _SAME_LENGTH) for length in lengths]
    short = groups.pop(None, [])
    for group in (*groups.values(), short):
        group.sort(key=rank.__getitem__)
    ordered = sorted(groups.values(), key=lambda group: rank[group[0]])
    return [place for group in (*ordered, short) for place in group]


def _least_hash(values: np.ndarray) -> int | None:
    """The least of the hashes of its windows: sets with much in common likely share it."""
    if len(values) < LOOKED_AT.start:
        return None
    return int(window_hashes(torch.from_numpy(values.astype(np.int64))).min())


def code_points(text: str) -> np.ndarray:
    """The characters of a text as integers."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def batches_of(
    items: Iterable[Item],
    num_tokens: Callable[[Item], int],
    *,
    chunk_size: ChunkSize,
    most: int | None,
) -> Iterator[tuple[Item, ...]]:
    """What is run together, in order: as many as fit one chunk; a longer one stands alone.

    Args:
        chunk_size: as it is when a batch is made.
        most: items of a batch; None for any number.
    """
    batch: list[Item] = []
    total = 0
    for item in items:
        size = num_tokens(item)
        if batch and (total + size > chunk_size.tokens or len(batch) == most):
            yield tuple(batch)
            batch, total = [], 0
        batch.append(item)
        total += size
    if batch:
        yield tuple(batch)
