"""Greedy and sampled decoding of several contexts at once.

Legend: B contexts, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from yoco.cache import first_not_finite
from yoco.chunk_size import in_halves, joined
from yoco.model import YOCO
from yoco.prefill import extend, finite_rows, logits_at
from yoco.rows import Rows


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; temperature 0 is greedy.

    Attributes:
        temperature: divides the logits; at least 0.
        top_p: probability mass of the most probable tokens that are drawn from, in (0, 1].
        seed: of the draws of one context; the same seed draws the same text, whatever else is
            decoded beside it.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"temperature is {self.temperature}: it must be at least 0")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}: it must be above 0 and at most 1")


def choose(logits: Tensor, sampling: Sampling, generator: torch.Generator | None) -> int:
    """One token id from logits (V,) float32."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    probs = (logits / sampling.temperature).softmax(dim=-1).cpu()
    ordered, ids = probs.sort(descending=True, stable=True)
    # the token that crosses top_p is still in
    kept = ordered.cumsum(0) - ordered < sampling.top_p
    drawn = torch.multinomial(ordered * kept, 1, generator=generator)
    return int(ids[drawn])


def refuse_not_finite(index: int, tokens: list[int]) -> None:
    """The `on_not_finite` of those who have no other answer.

    Raises:
        ValueError: always.
    """
    raise ValueError(
        f"the logits of context {index} are not finite after {len(tokens):,} new tokens: "
        "use dtype=bfloat16 if it is float16, else look at the checkpoint's weights"
    )


def generate(
    model: YOCO,
    prompts: Sequence[Rows],
    *,
    max_new_tokens: Sequence[int],
    sampling: Sequence[Sampling],
    is_finished: Callable[[int, list[int]], bool] = lambda index, tokens: False,
    on_not_finite: Callable[[int, list[int]], object] = refuse_not_finite,
) -> list[list[int]]:
    """Continues several contexts until each is finished or has its tokens.

    Args:
        prompts: the last row of each context, as `prefill_last` returns it. The contexts are
            extended, and need room for max_new_tokens - 1 tokens.
        max_new_tokens: of each context.
        sampling: of each context.
        is_finished: told the index of a context and its tokens so far after each token.
        on_not_finite: told the index of a context whose logits, or K or V that they were formed
            of, are not finite, and its tokens up to there; it is not continued. Once a context.

    Returns:
        The new tokens of each context, the one that finished it included.
    """
    generators = [
        torch.Generator().manual_seed(s.seed) if s.temperature > 0 else None for s in sampling
    ]
    texts: list[list[int]] = [[] for _ in prompts]
    rows = list(prompts)
    active = [index for index, limit in enumerate(max_new_tokens) if limit > 0]
    is_bad: set[int] = set()
    while active:
        logits = logits_at(model, [rows[index] for index in active])
        # one copy to the host for all of them
        greedy, finite = torch.stack((logits.argmax(dim=1), finite_rows(logits))).tolist()
        for index, row, best, is_finite in zip(active, logits, greedy, finite, strict=True):
            if not is_finite:
                is_bad.add(index)
            elif sampling[index].temperature == 0:
                texts[index].append(best)
            else:
                texts[index].append(choose(row, sampling[index], generators[index]))
        active = [
            index
            for index in active
            if index not in is_bad
            and len(texts[index]) < max_new_tokens[index]
            and not is_finished(index, texts[index])
        ]
        if not active:
            break

        def extend_by_newest(indices: list[int]) -> Tensor:
            newest = torch.tensor([[texts[index][-1]] for index in indices], device=model.device)
            return extend(model, [rows[index].context for index in indices], list(newest))

        hidden = joined(in_halves(extend_by_newest, active, doing="a token was generated"))
        for index, x in zip(active, hidden.split(1), strict=True):
            context = rows[index].context
            rows[index] = Rows(context, x, [context.length - 1])
    # softmax may have hidden a key that is not finite
    for index, position in enumerate(first_not_finite([row.context for row in rows])):
        if position is not None:
            is_bad.add(index)
    for index in sorted(is_bad):
        on_not_finite(index, texts[index])
    return texts
