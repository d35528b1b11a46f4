"""Needle grids with what prompts share, and every prompt by itself: seconds and logits.

    python benchmarks/sharing.py demo --lengths 32K,64K,128K --depths 11
    python benchmarks/sharing.py demo-gret --haystack 'files:books/*.txt' --separate-every 11

Three parts are timed, both ways one right after the other and in the same order: tokenising,
reading up to the first answer token's logits, and continuing by some tokens (prompts that share a
KV cache side by side, against one after the other). With --separate-every N only each N-th prompt
is tokenised and read by itself too, and the seconds of all are estimated from their tokens.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from prefill import synchronize
from tqdm import tqdm

import yoco
from evals.generation import SIDE_BY_SIDE
from evals.shared_encoding import SharedEncoder
from tasks.grids import NeedleDocs
from tasks.lengths import parse_depths, parse_lengths
from tasks.needle_settings import NeedleSettings
from tasks.plans import Plan, render
from tasks.tokenizers import load_tokenizer
from yoco import PromptReader, Rows, Sampling
from yoco.loading import resolve_path
from yoco.model import YOCO
from yoco.sharing import BeforeRelease, unused

Result = TypeVar("Result")


class Stopwatch:
    """Seconds by name, those of the model's device included."""

    def __init__(self, model: YOCO) -> None:
        self.model = model
        self.seconds: dict[str, float] = defaultdict(float)

    def time(self, name: str, function: Callable[[], Result]) -> Result:
        """Calls the function."""
        synchronize(self.model)
        started = time.perf_counter()
        result = function()
        synchronize(self.model)
        self.seconds[name] += time.perf_counter() - started
        return result


def continued(model: YOCO, rows: list[Rows], num_tokens: int) -> list[list[int]]:
    """Greedy continuations, which leave the contexts as they are."""
    forks = [Rows(each.context.fork(num_tokens), each.hidden, each.positions) for each in rows]
    return yoco.generate(
        model,
        forks,
        max_new_tokens=[num_tokens] * len(forks),
        sampling=[Sampling()] * len(forks),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pretrained")
    parser.add_argument("--haystack", default="stdlib")
    parser.add_argument("--lengths", default="32K,64K,128K")
    parser.add_argument("--depths", default="11")
    parser.add_argument("--needles", type=int, default=1)
    parser.add_argument("--answer-tokens", type=int, default=7)
    parser.add_argument("--chunk-size", type=int, default=2048)
    parser.add_argument("--separate-every", type=int, default=1)
    options = parser.parse_args()
    path = resolve_path(options.pretrained)
    tokenizer, model = load_tokenizer(str(path)), yoco.load(path)
    settings = NeedleSettings(
        lengths=parse_lengths(options.lengths)[::-1],
        depths=parse_depths(options.depths),
        needles=options.needles,
        haystack=options.haystack,
    )
    sharing = yoco.prompt_reader(model, chunk_size=options.chunk_size)
    encoder = SharedEncoder(tokenizer)
    watch = Stopwatch(model)
    num_tokens = num_separate_tokens = num_same = num_compared = num_same_texts = 0
    furthest = largest = 0.0
    waiting: list[Rows] = []

    def read(
        reader: PromptReader, tokens: torch.Tensor, before_release: BeforeRelease
    ) -> tuple[Rows, torch.Tensor]:
        rows = reader.read(tokens, capacity=len(tokens), before_release=before_release)
        return rows, yoco.logits_at(model, [rows])[0].cpu()

    def finish() -> None:
        nonlocal num_same_texts
        if waiting:
            rows, size = [*waiting], options.answer_tokens
            waiting.clear()
            together = watch.time("continued, shared", lambda: continued(model, rows, size))
            alone = watch.time(
                "continued, separate", lambda: [continued(model, [each], size)[0] for each in rows]
            )
            num_same_texts += sum(map(list.__eq__, together, alone))

    docs = NeedleDocs(settings, tokenizer)
    for number, doc in enumerate(tqdm(docs, mininterval=10)):
        text = render(Plan.from_dict(doc["plan"]))
        ids = watch.time("tokenised, shared", lambda text=text: encoder.encode(text))
        tokens = torch.from_numpy(ids.astype(np.int64))
        # what `finish` takes meanwhile is not reading
        before = watch.seconds["continued, shared"] + watch.seconds["continued, separate"]
        rows, logits = watch.time(
            "read, shared", lambda tokens=tokens: read(sharing, tokens, finish)
        )
        after = watch.seconds["continued, shared"] + watch.seconds["continued, separate"]
        watch.seconds["read, shared"] -= after - before
        waiting.append(rows)
        num_tokens += len(tokens)
        if number % options.separate_every == 0:
            again = watch.time("tokenised, separate", lambda text=text: tokenizer.encode(text))
            assert np.array_equal(again, ids)
            alone = yoco.prompt_reader(model, chunk_size=options.chunk_size, share=False)
            _, expected = watch.time(
                "read, separate", lambda alone=alone, tokens=tokens: read(alone, tokens, unused)
            )
            num_separate_tokens += len(tokens)
            num_compared += 1
            num_same += int(logits.argmax() == expected.argmax())
            furthest = max(furthest, float((logits - expected).abs().max()))
            largest = max(largest, float(expected.abs().max()))
        if len(waiting) == SIDE_BY_SIDE:
            finish()
    finish()
    for name in ("tokenised, separate", "read, separate"):
        watch.seconds[name] *= num_tokens / num_separate_tokens
    device = torch.cuda.get_device_name() if model.device.type == "cuda" else "CPU"
    print(f"{device}, {model.dtype}, torch {torch.__version__}, Python "
          f"{platform.python_version()}, {torch.get_num_threads()} threads, "
          f"{type(sharing).__name__}")  # fmt: skip
    print(f"{options.pretrained}: {len(docs)} prompts, {num_tokens:,} tokens")
    for part in ("tokenised", "read", "continued"):
        shared, separate = (watch.seconds[f"{part}, {how}"] for how in ("shared", "separate"))
        print(f"{part}: shared {shared:.1f} s, separate {separate:.1f} s: ratio "
              f"{separate / shared:.2f}")  # fmt: skip
    print(f"{num_same} of {num_compared} first tokens are the same; logits up to {largest:.3g} "
          f"differ by at most {furthest:.2g}")  # fmt: skip
    print(f"{num_same_texts} of {len(docs)} continuations are the same")


if __name__ == "__main__":
    main()
