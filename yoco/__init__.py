"""YOCO language models and the engine that runs them over long contexts.

model = yoco.load("demo")
logits = model(tokens)                                   # the reference meaning

context = yoco.new_context(model, capacity=len(tokens))  # the engine: one KV cache
last = yoco.prefill_last(model, context, tokens, chunk_size=2048)
next_logits = yoco.logits_at(model, [last])
"""

from yoco.cache import Context, KVCache, Segment, first_not_finite
from yoco.chunk_size import ChunkSize, NotEnoughMemory
from yoco.config import RopeConfig, YOCOConfig
from yoco.decode import Sampling, generate
from yoco.loading import load
from yoco.model import YOCO
from yoco.not_finite import Origin, find_origin
from yoco.prefill import (
    OnRead,
    extend,
    logits_at,
    new_context,
    outputs_at,
    prefill,
    prefill_last,
    score,
)
from yoco.rows import Rows
from yoco.sharing import PromptReader, prompt_reader

__all__ = [
    "YOCO",
    "ChunkSize",
    "Context",
    "KVCache",
    "NotEnoughMemory",
    "OnRead",
    "Origin",
    "PromptReader",
    "RopeConfig",
    "Rows",
    "Sampling",
    "Segment",
    "YOCOConfig",
    "extend",
    "find_origin",
    "first_not_finite",
    "generate",
    "load",
    "logits_at",
    "new_context",
    "outputs_at",
    "prefill",
    "prefill_last",
    "prompt_reader",
    "score",
]
