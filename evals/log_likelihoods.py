"""Many log-likelihood requests: what they have in common is read once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evals.chains import find_chains, score_chain
from evals.reading_order import batches_of
from evals.scoring import Score, Tokens, group_by_context, score_batch
from yoco import OnRead, PromptReader


class LogLikelihoods:
    """(context, continuation) pairs in the order in which they are scored.

    Args:
        pairs: no context and no continuation is empty.
        chain_longer_than: a continuation of more tokens is read by itself.

    Attributes:
        num_tokens: that the self-decoder reads for all of them.
    """

    def __init__(self, pairs: Sequence[tuple[Tokens, Tokens]], *, chain_longer_than: int) -> None:
        self._chains, self._apart = find_chains(pairs, longer_than=chain_longer_than)
        self._questions = group_by_context([pairs[index] for index in self._apart])
        self.num_tokens = sum(each.num_tokens for each in [*self._chains, *self._questions])

    def scored(
        self, reader: PromptReader, *, most: int | None, on_read: OnRead
    ) -> Iterator[list[Score]]:
        """Scores of all pairs, as they are to be had; their indices count the pairs.

        Args:
            most: contexts of a batch; None for any number.
            on_read: told how many more tokens were read.
        """
        for chain in self._chains:
            yield score_chain(reader.model, chain, chunk_size=reader.chunk_size, on_read=on_read)
        batches = batches_of(
            self._questions,
            lambda question: question.num_tokens,
            chunk_size=reader.chunk_size,
            most=most,
        )
        for batch in batches:
            scores = score_batch(reader, batch, on_read=on_read)
            yield [score._replace(index=self._apart[score.index]) for score in scores]
