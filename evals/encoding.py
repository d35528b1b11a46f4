"""The texts of requests as tokens that fit the model."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from evals.scoring import Tokens
from evals.shared_encoding import SharedEncoder
from tasks import handles
from tasks.pieces import PiecedText, literal

if TYPE_CHECKING:
    from tasks.tokenizers import Tokenizer

# prompts that are encoded while others are read, by type of device: a million tokens take seconds
NUM_AHEAD = {"cpu": 1, "cuda": min(8, max(1, (os.cpu_count() or 2) // 2))}


class RequestEncoder:
    """Encodes what requests hold; remembers the last texts, since requests repeat them.

    Args:
        max_length: tokens that context and continuation may have together.
        truncation: "left" drops the beginning of a context that is too long; None refuses it.
    """

    def __init__(self, tokenizer: Tokenizer, *, max_length: int, truncation: str | None) -> None:
        self.tokenizer = tokenizer
        self.max_length, self.truncation = max_length, truncation
        self._last_context: tuple[str, Tokens] | None = None
        self._last_text: tuple[str, Tokens] | None = None

    @property
    def eos_token_id(self) -> int:
        """End of text.

        Raises:
            ValueError: the tokenizer has none.
        """
        if self.tokenizer.eos_token_id is None:
            raise ValueError(f"the tokenizer {self.tokenizer.name} has no EOS token: define one")
        return self.tokenizer.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        """What a text without context is scored behind: BOS, else EOS."""
        bos = self.tokenizer.bos_token_id
        return self.eos_token_id if bos is None else bos

    def encode_pair(self, context: str, continuation: str) -> tuple[Tokens, Tokens]:
        """Tokens of a context and of its continuation as it is written behind it.

        lm-eval's rules: white space at the end of a context belongs to the continuation; what is
        scored without a context stands behind BOS.
        """
        stripped = context.rstrip()
        continuation = context[len(stripped) :] + continuation
        tokens = self._encode_context(stripped)
        if not stripped or not len(tokens):
            return self._encode_without_context(continuation)
        whole = self._encode_text(_expanded(stripped + continuation))
        start = len(tokens)
        if continuation and len(whole) <= start:
            # the continuation has merged into the context's last token: score where they part
            shared = tokens[: len(whole)] == whole[: len(tokens)]
            parted = len(shared) if shared.all() else int(shared.argmin())
            start = max(1, min(parted, len(whole) - 1))
        return whole[:start] if start < len(tokens) else tokens, whole[start:]

    def encode_document(self, text: str) -> list[int]:
        """Tokens of a text that is scored as a whole, without what stands before it."""
        ids = self.tokenizer.encode(_expanded(text), add_special_tokens=False)
        # a text that brings its BOS along is scored after that one
        return ids[1:] if ids[:1] == [self.prefix_token_id] else ids

    def _encode_without_context(self, continuation: str) -> tuple[Tokens, Tokens]:
        ids = [self.prefix_token_id, *self.encode_document(continuation)]
        tokens = np.asarray(ids, dtype=np.int32)
        return tokens[:1], tokens[1:]

    def encode_ahead(self, prompts: Sequence[str], num_ahead: int) -> Iterator[Tokens]:
        """Tokens of each prompt, in order; so many of the next ones, at least one, are encoded
        meanwhile."""
        encoder = SharedEncoder(self.tokenizer)

        def encode(prompt: str) -> Tokens:
            return encoder.encode(_expanded(prompt))

        with ThreadPoolExecutor(num_ahead) as pool:
            encoding: deque[Future[Tokens]] = deque()
            for prompt in prompts:
                encoding.append(pool.submit(encode, prompt))
                if len(encoding) > num_ahead:
                    yield encoding.popleft().result()
            while encoding:
                yield encoding.popleft().result()

    def fit(self, context: Tokens, continuation: Any) -> tuple[Tokens, Any]:
        """The pair, its context shortened from the left where that was asked for.

        Args:
            continuation: tokens to be scored, of which the last is not read; or how many tokens
                will be generated.

        Raises:
            ValueError: it is too long, and that was not asked for.
        """
        generated = isinstance(continuation, int)
        behind = continuation if generated else max(len(continuation) - 1, 0)
        room = self.max_length - behind
        if len(context) <= room:
            return context, continuation
        if self.truncation == "left" and room > 0:
            return context[len(context) - room :], continuation
        remedy = "drop that length, or give truncation=left"
        if room <= 0:
            remedy = "generate fewer tokens" if generated else "shorten the continuation"
        raise ValueError(
            f"prompt is {len(context):,} tokens and {behind:,} more are to be "
            f"{'generated' if generated else 'scored'}, but the model holds {self.max_length:,}: "
            f"raise max_length, {remedy}"
        )

    def _encode_context(self, context: str) -> Tokens:
        """As `encode`, but what came last is not encoded again.

        The choices of one question follow each other with the same context; where a document is
        scored bin by bin, a context is what the pair before was as a whole.
        """
        if self._last_context is None or self._last_context[0] != context:
            self._last_context = (context, self._encode_text(_expanded(context)))
        return self._last_context[1]

    def _encode_text(self, text: PiecedText) -> Tokens:
        """Tokens of a text, whatever it holds; the last one's are remembered."""
        written = self.tokenizer.written(text)
        if self._last_text is None or self._last_text[0] != written:
            ids = self.tokenizer.encode(literal(written))
            self._last_text = (written, np.asarray(ids, dtype=np.int32))
        return self._last_text[1]


def _expanded(text: str) -> PiecedText:
    """The request's text with its handles expanded, whose prompts are literal."""
    return PiecedText(handles.expanded_pieces(text))
