"""Log-likelihoods: each distinct context is read once, its continuations are forks of it.

The cross-decoder and the output head run on the scored rows only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

import yoco
from evals.reading_order import sharing_order
from yoco import YOCO, Context, NotEnoughMemory, OnRead, PromptReader, Rows
from yoco.not_finite import packs_spoil_each_other
from yoco.prefill import untold
from yoco.sharing import BeforeRelease, unused

Tokens = np.ndarray  # int32, one dimension


class Score(NamedTuple):
    """What one request gets.

    Attributes:
        index: of the request.
        log_likelihood: in nats; NaN where it was formed of logits, K or V that are not finite.
        is_greedy: whether greedy decoding would give the continuation.
    """

    index: int
    log_likelihood: float
    is_greedy: bool


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

    Raises:
        NotEnoughMemory: the prompts do not fit together, or one does not fit.
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
    hidden = _read_packed(reader, contexts, prompts)
    on_read(sum(lengths))
    last = [x[-1:] for x in hidden.split(lengths)]
    return [
        Rows(context, x, [context.length - 1]) for context, x in zip(contexts, last, strict=True)
    ]


def _read_packed(
    reader: PromptReader, contexts: Sequence[Context], texts: Sequence[Tokens]
) -> torch.Tensor:
    """Hidden states of texts that are read into their contexts in one pass.

    Where memory runs out, what the reader keeps for later goes, and they are read one by one.
    """
    model = reader.model
    try:
        return yoco.extend(model, contexts, [to_device(model, text) for text in texts])
    except Exception as error:
        reader.chunk_size.shrink(error, sum(map(len, texts)))
    reader.release()
    parts = []
    for context, text in zip(contexts, texts, strict=True):
        tokens = torch.from_numpy(text.astype(np.int64))
        chunks = yoco.prefill(model, context, tokens, chunk_size=reader.chunk_size)
        parts += [hidden for _, hidden in chunks]
    return torch.cat(parts)


def to_device(model: YOCO, tokens: Tokens) -> torch.Tensor:
    """Tokens (T,) int64 on the model's device."""
    return torch.from_numpy(tokens.astype(np.int64)).to(model.device)


def score_batch(reader: PromptReader, batch: Sequence[Question], *, on_read: OnRead) -> list[Score]:
    """Scores every continuation of a batch of questions.

    Where the memory is too little for the batch, its halves are scored one after the other.

    Args: as `read_prompts`.

    Raises:
        NotEnoughMemory: it is too little for a single question.
    """
    try:
        scores = _score_packed(reader, batch, on_read=on_read)
    except NotEnoughMemory:
        if len(batch) == 1:
            raise
        scores = None
    if scores is None:
        reader.release()
        middle = len(batch) // 2
        return [
            *score_batch(reader, batch[:middle], on_read=on_read),
            *score_batch(reader, batch[middle:], on_read=on_read),
        ]
    if len(scores) == 1 or not packs_spoil_each_other(reader.model):
        return scores
    return [
        score if not np.isnan(score.log_likelihood) else _score_alone(reader, batch, score.index)
        for score in scores
    ]


def _score_alone(reader: PromptReader, batch: Sequence[Question], index: int) -> Score:
    """One request of a batch, with nothing packed beside it."""
    reader = yoco.prompt_reader(reader.model, chunk_size=reader.chunk_size, share=False)
    for question in batch:
        for each, tokens in question.continuations:
            if each == index:
                alone = Question(question.context, [(index, tokens)])
                return _score_packed(reader, [alone], on_read=untold)[0]
    raise AssertionError(index)


def _score_packed(
    reader: PromptReader, batch: Sequence[Question], *, on_read: OnRead
) -> list[Score]:
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
        hidden = _read_packed(reader, forks, fork_tokens)
        on_read(sum(lengths))
        for fork, x in zip(forks, hidden.split(lengths), strict=True):
            rows.append(Rows(fork, x, range(fork.length - len(x), fork.length)))
    outputs = yoco.outputs_at(model, rows)

    # the row behind a context predicts the first token of each of its continuations
    picked, targets, spans = [], [], []
    next_row, next_fork = len(batch), len(batch)
    for row, question in enumerate(batch):
        for index, tokens in question.continuations:
            picked += [row, *range(next_row, next_row + len(tokens) - 1)]
            next_row += len(tokens) - 1
            targets.append(tokens)
            # all that it was formed of is in the context, or in its fork
            spans.append((index, len(tokens), next_fork if len(tokens) > 1 else row))
            next_fork += len(tokens) > 1
    log_probs, greedy = yoco.score(
        model, outputs[picked], to_device(model, np.concatenate(targets))
    )
    lengths = [length for _, length, _ in spans]
    parts = zip(log_probs.cpu().split(lengths), greedy.cpu().split(lengths), strict=True)
    bad_positions = yoco.first_not_finite([each.context for each in rows])
    scores = []
    for (index, _, place), (log_prob, is_greedy) in zip(spans, parts, strict=True):
        if bad_positions[place] is None:
            scores.append(Score(index, float(log_prob.double().sum()), bool(is_greedy.all())))
        else:
            scores.append(Score(index, float("nan"), False))
    return scores


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
