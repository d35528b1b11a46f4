"""How much is computed at once: less where memory runs out, with the same results."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# chunks of fewer tokens save nothing any more
LEAST_TOKENS = 16
LESS_MEMORY = "shorter lengths, a smaller max_length, dtype=bfloat16, share=false, or more memory"
_MESSAGES = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "bad_alloc",
    "can't start new thread",
)


class NotEnoughMemory(ValueError):
    """What was asked for does not fit the memory; says what to do."""


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on whatever device and by whomever."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(part in str(error) for part in _MESSAGES)


def out_of_memory(doing: str) -> NotEnoughMemory:
    """The error where nothing smaller is left to try."""
    return NotEnoughMemory(
        f"memory ran out while {doing}, in the smallest pieces: give {LESS_MEMORY}"
    )


@contextmanager
def one_line_where_memory_ends() -> Iterator[None]:
    """Within it, an allocation that fails and has nothing to fall back on ends in one line.

    Raises:
        NotEnoughMemory: one did.
    """
    try:
        yield
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
        raise out_of_memory("prompts were read and answered") from error


class ChunkSize:
    """Tokens of one pass of the self-decoder, the same for all who hold this object.

    Attributes:
        tokens: at the moment; it only ever shrinks.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self._has_shrunk = False

    @staticmethod
    def of(value: int | ChunkSize) -> ChunkSize:
        """The object itself, or one of so many tokens."""
        return value if isinstance(value, ChunkSize) else ChunkSize(value)

    def shrink(self, error: Exception, num_tokens: int) -> None:
        """Halves what failed, if it failed for want of memory; the first time it says so.

        Args:
            num_tokens: that were to be read at once.

        Raises:
            NotEnoughMemory: they were too few to be halved.
            Exception: the error itself, if it is another.
        """
        if not ran_out_of_memory(error):
            raise error
        if num_tokens <= LEAST_TOKENS:
            raise out_of_memory(f"{num_tokens:,} tokens were read") from None
        self.take(max(LEAST_TOKENS, min(self.tokens, num_tokens) // 2))

    def take(self, num_tokens: int) -> None:
        """Takes smaller chunks from here on; the first time it says so."""
        if not self._has_shrunk:
            logger.warning(
                "memory is too little for chunks of %s tokens: smaller ones from here on, "
                "with the same results",
                f"{self.tokens:,}",
            )
        self._has_shrunk = True
        self.tokens = num_tokens


def split_in_two(items: Any) -> tuple[Any, Any] | None:
    """The halves of a sequence or of a tensor's rows; None of a single one."""
    middle = len(items) // 2
    return (items[:middle], items[middle:]) if middle else None


def in_halves(
    run: Callable[[Any], Result],
    items: Any,
    *,
    doing: str,
    split: Callable[[Any], tuple[Any, Any] | None] = split_in_two,
) -> Sequence[Result]:
    """Runs over all items or, where memory runs out, over one half after the other.

    Args:
        run: has changed nothing when it fails.
        doing: what is done, for the error.
        split: makes two of items, or None where that cannot be done.

    Returns:
        The results of the parts, in order.

    Raises:
        NotEnoughMemory: it runs out however little is done at once.
    """
    try:
        return [run(items)]
    except Exception as error:
        halves = split(items) if ran_out_of_memory(error) else None
        if not ran_out_of_memory(error):
            raise
    # out here the failed attempt's tensors are gone
    if halves is None:
        raise out_of_memory(doing)
    return [result for half in halves for result in in_halves(run, half, doing=doing, split=split)]


def joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """The parts one after the other; a single one is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
