"""Whether a tokenizer can say a text: found out on samples, before anything is built of it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from tasks.tokenizers import Tokenizer

_SAMPLE_CHARS, _NUM_SAMPLES = 2000, 4
# A token stands for at most so many characters on average, runs of white space included.
_MAX_CHARS_PER_TOKEN = 200
_MAX_UNKNOWN = 0.5
_LIMIT_S = 5.0


def require_covered(text: str, what: str, tokenizer: Tokenizer) -> None:
    """Raises ValueError if the tokenizer makes unknown tokens of most of the text, or hardly any.

    Args:
        text: What is to be encoded.
        what: Names it for the message.
        tokenizer: The tokenizer.
    """
    last = max(len(text) - _SAMPLE_CHARS, 0)
    places = sorted({last * number // _NUM_SAMPLES for number in range(_NUM_SAMPLES + 1)})
    samples = [text[place : place + _SAMPLE_CHARS] for place in places]
    counted: list[tuple[int, int]] = []

    def count() -> None:
        for sample in samples:
            ids, starts = tokenizer.char_starts(sample)
            sizes = np.diff(starts, append=len(sample))
            unknown = ids == (-1 if tokenizer.unk_token_id is None else tokenizer.unk_token_id)
            counted.append((len(ids), int(sizes[unknown].sum())))

    _within_limit(count, what, tokenizer)
    num_chars = sum(map(len, samples))
    num_tokens, num_unknown = (sum(numbers) for numbers in zip(*counted, strict=True))
    if num_unknown > _MAX_UNKNOWN * num_chars:
        raise ValueError(
            f"tokenizer {tokenizer.name!r} reads {what} as unknown tokens "
            f"({num_unknown:,} of {num_chars:,} characters looked at): use the tokenizer of a "
            "model that knows this text, or another text"
        )
    if num_tokens * _MAX_CHARS_PER_TOKEN < num_chars:
        raise ValueError(
            f"tokenizer {tokenizer.name!r} makes only {num_tokens:,} tokens of {num_chars:,} "
            f"characters of {what}: use the tokenizer of a model that knows this text, or another "
            "text"
        )


def _within_limit(count: Callable[[], None], what: str, tokenizer: Tokenizer) -> None:
    """Runs it, in a thread that is left alone if it does not end: a regular expression in a
    tokenizer.json may take for ever, and cannot be stopped."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            count()
        # handed on to the caller's thread
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_LIMIT_S)
    if thread.is_alive():
        raise ValueError(
            f"tokenizer {tokenizer.name!r} does not come to an end of a few thousand characters of "
            f"{what} in {_LIMIT_S:g} s: its rules for splitting text do not suit it, use another"
        )
    if errors:
        raise errors[0]
