"""Log-likelihoods of long texts: requests that follow one another are scored in one pass.

Legend: T tokens of the document, R rows.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

import yoco
from evals.scoring import Score, Tokens, to_device
from yoco import YOCO, ChunkSize, OnRead, Rows
from yoco.prefill import untold


@dataclass(frozen=True)
class Chain:
    """Requests that are spans of one token sequence.

    Attributes:
        tokens: (T,), up to the last that is scored.
        spans: (index of the request, start, stop) of what each request scores, ascending; together
            they leave no gap.
    """

    tokens: Tokens
    spans: list[tuple[int, int, int]]

    @property
    def num_tokens(self) -> int:
        """Tokens that the self-decoder must read: the last is only predicted."""
        return len(self.tokens) - 1


def find_chains(
    pairs: Sequence[tuple[Tokens, Tokens]], *, longer_than: int
) -> tuple[list[Chain], list[int]]:
    """Which (context, continuation) pairs are read as chains, longest first.

    Those that follow one another, the context of each being the context and the continuation of
    the one before; and any whose continuation alone is `longer_than` so many tokens.

    Args:
        pairs: no context and no continuation is empty.

    Returns:
        The chains, and the indices of all other pairs.
    """
    hashes = [_prefix_hashes(*pair) for pair in pairs]
    # equal requests are one, with several indices
    indices: dict[tuple[bytes, bytes], list[int]] = defaultdict(list)
    for index, key in enumerate(hashes):
        indices[key].append(index)
    ending_with = {whole: (context, whole) for context, whole in reversed(hashes)}

    def length(key: tuple[bytes, bytes]) -> int:
        return sum(map(len, pairs[indices[key][0]]))

    chains, others, taken = [], [], set()
    for key in sorted(indices, key=length, reverse=True):
        links: list[tuple[bytes, bytes]] = []
        link: tuple[bytes, bytes] | None = key
        while link is not None and link not in taken:
            links.append(link)
            taken.add(link)
            link = ending_with.get(link[0])
        context, continuation = pairs[indices[key][0]]
        if len(links) > 1 or (links and len(continuation) > longer_than):
            spans = []
            for each in reversed(links):
                stop = length(each)
                spans += [(index, stop - len(pairs[index][1]), stop) for index in indices[each]]
            chains.append(Chain(np.concatenate((context, continuation)), spans))
        elif links:
            others += indices[key]
    return chains, sorted(others)


def _prefix_hashes(context: Tokens, continuation: Tokens) -> tuple[bytes, bytes]:
    """Of the context, and of the context with the continuation."""
    digest = hashlib.sha256(context.tobytes())
    context_digest = digest.digest()
    digest.update(continuation.tobytes())
    return context_digest, digest.digest()


def score_chain(
    model: YOCO, chain: Chain, *, chunk_size: int | ChunkSize, on_read: OnRead
) -> list[Score]:
    """Scores every request of a chain in one pass."""
    first_scored = chain.spans[0][1]
    log_probs, greedy = _document(model, chain.tokens, first_scored, chunk_size, on_read)
    is_bad = log_probs.isnan()
    if is_bad[-1]:
        # K or V is not finite, which within a chunk also shows before the token it comes from
        inputs = torch.from_numpy(chain.tokens[:-1].astype(np.int64))
        origin = yoco.find_origin(model, inputs, first_row=first_scored - 1, chunk_size=chunk_size)
        num_good = 0 if origin is None else origin.position - (first_scored - 1)
        if num_good > int(is_bad.long().argmax()):
            before = chain.tokens[: first_scored + num_good]
            log_probs[:num_good], greedy[:num_good] = _document(
                model, before, first_scored, chunk_size, untold
            )
    results = []
    for index, start, stop in chain.spans:
        span = slice(start - first_scored, stop - first_scored)
        results.append(Score(index, float(log_probs[span].sum()), bool(greedy[span].all())))
    return results


def _document(
    model: YOCO,
    tokens: Tokens,
    first_scored: int,
    chunk_size: int | ChunkSize,
    on_read: OnRead,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`document_log_probs` of all scored tokens on the CPU, in float64."""
    log_probs = torch.full((len(tokens) - first_scored,), float("nan"), dtype=torch.float64)
    greedy = torch.zeros(len(log_probs), dtype=torch.bool)
    done = 0
    for part, greedy_of_part in document_log_probs(
        model, tokens, first_scored=first_scored, chunk_size=chunk_size, on_read=on_read
    ):
        stop = done + len(part)
        log_probs[done:stop], greedy[done:stop] = part.cpu(), greedy_of_part.cpu()
        done = stop
    return log_probs, greedy


def document_log_probs(
    model: YOCO, tokens: Tokens, *, first_scored: int, chunk_size: int | ChunkSize, on_read: OnRead
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Log-probability of every token of a document behind those before it, in one pass.

    Each chunk's rows go through the cross-decoder as soon as its K and V are there, so nothing
    but the KV cache grows with the document. Where K or V are not finite nothing more is read.

    Args:
        tokens: (T,), T above first_scored.
        first_scored: at least 1.
        on_read: told the number of tokens read after each chunk.

    Yields:
        For each chunk that predicts scored tokens, in order, their log-probabilities (R,) float32
        in nats, NaN where they were formed of what is not finite, and whether each is the most
        probable token (R,) bool; on the model's device.
    """
    inputs = torch.from_numpy(tokens[:-1].astype(np.int64))
    context = yoco.new_context(model, len(inputs))
    for start, hidden in yoco.prefill(model, context, inputs, chunk_size=chunk_size):
        stop = start + len(hidden)
        first = max(start, first_scored - 1)
        if first < stop:
            outputs = yoco.outputs_at(
                model, [Rows(context, hidden[first - start :], range(first, stop))]
            )
            targets = to_device(model, tokens[first + 1 : stop + 1])
            log_probs, greedy = yoco.score(model, outputs, targets)
            bad_position = yoco.first_not_finite([context])[0]
            if bad_position is not None:
                log_probs = log_probs.clone()
                log_probs[max(bad_position - first, 0) :] = float("nan")
            yield log_probs, greedy
            if bad_position is not None:
                on_read(len(inputs) - start)
                return
        on_read(len(hidden))


def score_document(
    model: YOCO,
    tokens: Tokens,
    *,
    first_scored: int,
    chunk_size: int | ChunkSize,
    on_read: OnRead,
) -> float:
    """Log-likelihood in nats of tokens[first_scored:] behind tokens[:first_scored], in one pass.

    NaN where it was formed of what is not finite.

    Args: as `document_log_probs`.
    """
    chunks = document_log_probs(
        model, tokens, first_scored=first_scored, chunk_size=chunk_size, on_read=on_read
    )
    return sum(float(log_probs.double().sum()) for log_probs, _ in chunks)


def score_text(
    model: YOCO,
    tokens: Sequence[int],
    *,
    prefix_token: int,
    max_length: int,
    chunk_size: int | ChunkSize,
    on_read: OnRead,
) -> tuple[float, tuple[Tokens, int] | None]:
    """Log-likelihood in nats of a whole text, in lm-eval's disjoint windows, every token once.

    Returns:
        It; NaN where it was formed of what is not finite, and then also the tokens of that window
        and the position of its first row.
    """
    windows = get_rolling_token_windows(
        token_list=list(tokens), prefix_token=prefix_token, max_seq_len=max_length, context_len=1
    )
    total = 0.0
    for context, continuation in map(make_disjoint_window, windows):
        window = np.asarray([*context, *continuation], np.int32)
        total += score_document(
            model, window, first_scored=len(context), chunk_size=chunk_size, on_read=on_read
        )
        if math.isnan(total):
            return total, (window[:-1], len(context) - 1)
    return total, None
