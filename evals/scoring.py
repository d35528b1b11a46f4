"""Log-likelihoods: each distinct context is read once, its continuations are forks of it.

The cross-decoder and the output head run on the scored rows only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

import yoco
from evals.reading_order import sharing_order
from yoco import YOCO, Context, OnRead, PromptReader, Rows
from yoco.sharing import BeforeRelease, unused

Tokens = np.ndarray  # int32, one dimension


@dataclass
class Question:
    """One context and what is to be scored behind it.

    Attributes:
        context: tokens, at least one.
        continuations: (index of the request, tokens) pairs; no continuation is empty.
    """

    context: Tokens
    continuations: list[tuple[int, Tokens]] = field(default_factory=list)

    @property
    def num_tokens(self) -> int:
        """Tokens that the self-decoder must read: the last of a continuation is only predicted."""
        return len(self.context) + sum(len(tokens) - 1 for _, tokens in self.continuations)


def group_by_context(pairs: Sequence[tuple[Tokens, Tokens]]) -> list[Question]:
    """Questions of (context, continuation) pairs, in `sharing_order`; indices count the pairs."""
    questions: dict[bytes, Question] = {}
    for index, (context, continuation) in enumerate(pairs):
        question = questions.setdefault(context.tobytes(), Question(context))
        question.continuations.append((index, continuation))
    made = list(questions.values())
    order = sharing_order(
        [len(question.context) for question in made], [question.context for question in made]
    )
    return [made[place] for place in order]


def read_prompts(
    reader: PromptReader,
    prompts: Sequence[Tokens],
    *,
    extra_capacity: Sequence[int],
    on_read: OnRead,
    before_release: BeforeRelease = unused,
) -> list[Rows]:
    """Reads a batch of prompts: several are packed into one pass, one may share with those before.

    Args:
        reader: reads what stands alone in its batch.
        prompts: several only if they fit one chunk together.
        extra_capacity: for each prompt the tokens that will be read behind it.
        on_read: told how many more tokens of the prompts are in their contexts.
        before_release: called before the contexts of earlier prompts of this reader go.

    Returns:
        For each prompt its context and last row, valid as `PromptReader.read` says.
    """
    if len(prompts) == 1:
        tokens = torch.from_numpy(prompts[0].astype(np.int64))
        capacity = len(tokens) + extra_capacity[0]
        rows = reader.read(
            tokens, capacity=capacity, on_read=on_read, before_release=before_release
        )
        return [rows]
    model, lengths = reader.model, [len(prompt) for prompt in prompts]
    contexts = [
        yoco.new_context(model, length + extra)
        for length, extra in zip(lengths, extra_capacity, strict=True)
    ]
    hidden = yoco.extend(model, contexts, [to_device(model, prompt) for prompt in prompts])
    on_read(sum(lengths))
    last = [x[-1:] for x in hidden.split(lengths)]
    return [
        Rows(context, x, [context.length - 1]) for context, x in zip(contexts, last, strict=True)
    ]


def to_device(model: YOCO, tokens: Tokens) -> torch.Tensor:
    """Tokens (T,) int64 on the model's device."""
    return torch.from_numpy(tokens.astype(np.int64)).to(model.device)


def score_batch(
    reader: PromptReader, batch: Sequence[Question], *, on_read: OnRead
) -> list[tuple[int, float, bool]]:
    """Scores every continuation of a batch of questions.

    Args: as `read_prompts`.

    Returns:
        (index of the request, log-likelihood in nats, whether greedy decoding would give it).
    """
    model = reader.model
    contexts = read_prompts(
        reader,
        [question.context for question in batch],
        extra_capacity=[0] * len(batch),
        on_read=on_read,
    )
    forks, fork_tokens = _fork_longer(contexts, batch)
    rows = [*contexts]
    if forks:
        lengths = [len(tokens) for tokens in fork_tokens]
        hidden = yoco.extend(model, forks, [to_device(model, tokens) for tokens in fork_tokens])
        on_read(sum(lengths))
        for fork, x in zip(forks, hidden.split(lengths), strict=True):
            rows.append(Rows(fork, x, range(fork.length - len(x), fork.length)))
    outputs = yoco.outputs_at(model, rows)

    # the row behind a context predicts the first token of each of its continuations
    picked, targets, spans = [], [], []
    next_row = len(batch)
    for row, question in enumerate(batch):
        for index, tokens in question.continuations:
            picked += [row, *range(next_row, next_row + len(tokens) - 1)]
            next_row += len(tokens) - 1
            targets.append(tokens)
            spans.append((index, len(tokens)))
    log_probs, greedy = yoco.score(
        model, outputs[picked], to_device(model, np.concatenate(targets))
    )
    lengths = [length for _, length in spans]
    return [
        (index, float(log_prob.double().sum()), bool(is_greedy.all()))
        for (index, _), log_prob, is_greedy in zip(
            spans, log_probs.cpu().split(lengths), greedy.cpu().split(lengths), strict=True
        )
    ]


def _fork_longer(
    contexts: Sequence[Rows], batch: Sequence[Question]
) -> tuple[list[Context], list[Tokens]]:
    """Forks for the continuations of more than one token, and what each fork has to read."""
    forks, fork_tokens = [], []
    for rows, question in zip(contexts, batch, strict=True):
        for _, tokens in question.continuations:
            if len(tokens) > 1:
                forks.append(rows.context.fork(len(tokens) - 1))
                fork_tokens.append(tokens[:-1])
    return forks, fork_tokens
