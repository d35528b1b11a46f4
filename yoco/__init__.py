"""YOCO language models and the engine that runs them over long contexts.

model = yoco.load("demo")
logits = model(tokens)                                   # the reference meaning

context = yoco.new_context(model, capacity=len(tokens))  # the engine: one KV cache
last = yoco.prefill_last(model, context, tokens, chunk_size=2048)
next_logits = yoco.logits_at(model, [last])
"""

from yoco.cache import Context, KVCache, Segment
from yoco.config import RopeConfig, YOCOConfig
from yoco.decode import Sampling, generate
from yoco.loading import load
from yoco.model import YOCO
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
    "Context",
    "KVCache",
    "OnRead",
    "PromptReader",
    "RopeConfig",
    "Rows",
    "Sampling",
    "Segment",
    "YOCOConfig",
    "extend",
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
