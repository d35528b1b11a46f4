"""What a model in training can do with text and keys that it was not trained on."""

from __future__ import annotations

import math
import random

import torch

from training.corpus import Corpus
from training.loss import outcome
from training.samples import Sample, pack, probe_sample, text_sample
from yoco import YOCO
from yoco.kernels import Kernels


def retrieval(
    model: YOCO,
    kernels: Kernels,
    corpus: Corpus,
    *,
    length: int,
    num_needles: int,
    num_samples: int,
    batch_tokens: int,
    seed: int,
) -> tuple[int, int]:
    """How many questions are answered right, and of how many.

    A question is for one of `num_needles` keys, in a held-out text; the answer is right if greedy
    decoding gives it token by token, up to `</s>`.

    Args:
        length: tokens of a prompt with its answer.
        batch_tokens: of prompts that are read together.
    """
    samples = [
        probe_sample(corpus, seed, index, length, num_needles) for index in range(num_samples)
    ]
    num_right = 0
    for batch in _batches(samples, max(1, batch_tokens // length)):
        with torch.no_grad():
            num_right += int(outcome(model, pack(batch), kernels).exact.sum().item())
    return num_right, num_samples


def bits_per_byte(
    model: YOCO,
    kernels: Kernels,
    corpus: Corpus,
    span: str,
    *,
    length: int,
    num_samples: int,
    batch_tokens: int,
) -> float:
    """Of passages of a text, each from `<s>` on."""
    rng = random.Random(f"bits/{span}")
    samples = [text_sample(corpus, rng, span, length) for _ in range(num_samples)]
    nats = 0.0
    for batch in _batches(samples, max(1, batch_tokens // length)):
        with torch.no_grad():
            nats += outcome(model, pack(batch), kernels).text_loss.item() * length * len(batch)
    num_bytes = sum(int(corpus.num_bytes[sample.tokens].sum()) for sample in samples)
    return nats / math.log(2) / num_bytes


def _batches(samples: list[Sample], size: int) -> list[list[Sample]]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]
