"""What a prompt needs of the memory, compared with what is free before any of it is read.

Legend: C tokens of a chunk.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tasks import handles
from yoco import YOCO, ChunkSize, NotEnoughMemory
from yoco.chunk_size import LEAST_TOKENS, LESS_MEMORY
from yoco.costs import memory
from yoco.free_memory import free_bytes, gigabytes
from yoco.prefill import LOGIT_ROWS

logger = logging.getLogger(__name__)

# of a text whose tokens are not known yet; English and source code have three to four
CHARS_PER_TOKEN = 4
# A tokenizer's own at its peak: 165 were measured, on 1M tokens of source code. It ends the process
# where it finds no memory, so this is no place to be sparing.
ENCODING_BYTES_PER_CHAR = 200
# a text of wide characters, as it is rendered and joined
TEXT_BYTES_PER_CHAR = 8
# a token's copies as Python's and NumPy's numbers, in two prompts
BYTES_PER_TOKEN = 80
# attention and norms within a chunk, next to what `yoco.costs` counts of it
CHUNK_FACTOR = 3
# Python's and the allocators' own, plans and answers
RESERVE_BYTES = 100 * 2**20


@dataclass(frozen=True, kw_only=True)
class PromptNeed:
    """Bytes that one prompt takes beyond the loaded weights.

    Attributes:
        kept_bytes: KV cache and state, on the model's device.
        host_bytes: texts and tokens, on the CPU.
    """

    kept_bytes: int
    host_bytes: int


def prompt_need(model: YOCO, num_tokens: int, num_chars: int | None = None) -> PromptNeed:
    """What a prompt needs whatever the chunks are.

    Args:
        num_tokens: of prompt and answer together.
        num_chars: of its text; guessed where not given.
    """
    kept = memory(model.config, num_tokens, dtype=model.dtype, chunk_size=1)
    chars = CHARS_PER_TOKEN * num_tokens if num_chars is None else num_chars
    return PromptNeed(
        kept_bytes=kept.kv_bytes + kept.state_bytes,
        host_bytes=chars * (ENCODING_BYTES_PER_CHAR + TEXT_BYTES_PER_CHAR)
        + num_tokens * BYTES_PER_TOKEN
        + RESERVE_BYTES,
    )


def chunk_need(model: YOCO, num_tokens: int) -> int:
    """Bytes that a chunk of C tokens takes at its peak, and the logits of some rows."""
    chunk = memory(model.config, num_tokens, dtype=model.dtype, chunk_size=num_tokens)
    logits = 4 * min(LOGIT_ROWS, num_tokens) * model.config.vocab_size * 4
    return CHUNK_FACTOR * chunk.chunk_bytes + logits


def make_room(
    model: YOCO, chunk_size: ChunkSize, num_tokens: int, num_chars: int | None = None
) -> None:
    """Compares what a prompt needs with what is free; takes smaller chunks where that helps.

    Args: as `prompt_need`.

    Raises:
        NotEnoughMemory: with the smallest chunks it does not fit either.
    """
    need = prompt_need(model, num_tokens, num_chars)
    what = f"a prompt of {num_tokens:,} tokens"
    host = free_bytes(torch.device("cpu"))
    on_cpu = model.device.type == "cpu"
    if host is not None and not on_cpu and need.host_bytes > host:
        raise _refusal(f"the text of {what}", need.host_bytes, host, "cpu")
    free = host if on_cpu else free_bytes(model.device)
    if free is None:
        return
    fixed = need.kept_bytes + (need.host_bytes if on_cpu else 0)
    least = fixed + chunk_need(model, min(chunk_size.tokens, LEAST_TOKENS))
    if least > free:
        raise _refusal(what, least, free, str(model.device))
    num_fitting = min(chunk_size.tokens, num_tokens)
    while num_fitting > LEAST_TOKENS and fixed + chunk_need(model, num_fitting) > free:
        num_fitting = max(LEAST_TOKENS, num_fitting // 2)
    if num_fitting < min(chunk_size.tokens, num_tokens):
        chunk_size.take(num_fitting)


def make_room_for(
    model: YOCO, chunk_size: ChunkSize, texts: Sequence[str], *, num_new: int = 0, max_length: int
) -> None:
    """As `make_room`, for the longest of some requests' texts, whose tokens are not known yet.

    Args:
        texts: as lm-eval gives them, with handles.
        num_new: tokens of an answer, at most.
        max_length: tokens that a prompt and its answer have at most.
    """
    num_chars = max((handles.expanded_chars(text) for text in texts), default=0)
    num_tokens = min(num_chars // CHARS_PER_TOKEN + num_new, max_length)
    make_room(model, chunk_size, num_tokens, num_chars)


def _refusal(what: str, needed: int, free: int, where: str) -> NotEnoughMemory:
    return NotEnoughMemory(
        f"{what} needs {gigabytes(needed)} but only {gigabytes(max(free, 0))} of memory is free "
        f"on {where}: give {LESS_MEMORY}"
    )
