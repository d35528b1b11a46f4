"""The order in which prompts are read: those that share text follow one another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from yoco.common_spans import window_hashes

# As much of the beginning of a prompt is looked at. Shorter prompts are packed, not shared.
BEGINNING = 2_048


def sharing_order(lengths: Sequence[int], beginnings: Sequence[np.ndarray]) -> list[int]:
    """Indices of prompts, the longest first, behind each the others that begin much like it.

    Only an order is settled here: what two prompts really share, their tokens decide. Prompts
    whose beginnings have most of their 64-token windows in common are very likely told to belong
    together, wherever something was put in or left out.

    Args:
        lengths: of the prompts.
        beginnings: of each prompt its tokens, or the characters of its text, as integers; only the
            first 2,048 count, and a prompt of fewer belongs to no other.
    """
    groups: dict[int | None, list[int]] = defaultdict(list)
    for place, beginning in enumerate(beginnings):
        groups[_least_hash(beginning[:BEGINNING])].append(place)
    short = groups.pop(None, [])
    for group in (*groups.values(), short):
        group.sort(key=lambda place: -lengths[place])
    ordered = sorted(groups.values(), key=lambda group: -lengths[group[0]])
    return [place for group in (*ordered, short) for place in group]


def _least_hash(beginning: np.ndarray) -> int | None:
    """The least of the hashes of its windows, as two sets with much in common likely share it."""
    if len(beginning) < BEGINNING:
        return None
    return int(window_hashes(torch.from_numpy(beginning.astype(np.int64))).min())


def code_points(text: str) -> np.ndarray:
    """The characters of a text as integers."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
