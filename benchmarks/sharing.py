"""Needle grids read with what prompts share, and every prompt by itself: seconds and logits.

    python benchmarks/sharing.py demo --lengths 32K,64K,128K --depths 11
    python benchmarks/sharing.py demo-gret --haystack 'files:books/*.txt' --separate-every 11

Both read the same tokens, in the same order, one right after the other; what is timed is reading,
not tokenising, and the first answer token's logits. With --separate-every N only each N-th prompt
is read by itself too, and the seconds of all are estimated from their tokens.
"""

from __future__ import annotations

import argparse
import platform
import time

import torch
from prefill import synchronize
from tqdm import tqdm

import yoco
from tasks.grids import NeedleDocs, NeedleSettings
from tasks.lengths import parse_depths, parse_lengths
from tasks.plans import Plan, render
from tasks.tokenizers import load_tokenizer
from yoco.loading import resolve_path
from yoco.model import YOCO
from yoco.sharing import PromptReader


def timed(reader: PromptReader, model: YOCO, tokens: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Seconds until the logits (V,) behind a prompt are there, and these."""
    synchronize(model)
    started = time.perf_counter()
    rows = reader.read(tokens, capacity=len(tokens))
    logits = yoco.logits_at(model, [rows])[0].cpu()
    return time.perf_counter() - started, logits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pretrained")
    parser.add_argument("--haystack", default="stdlib")
    parser.add_argument("--lengths", default="32K,64K,128K")
    parser.add_argument("--depths", default="11")
    parser.add_argument("--needles", type=int, default=1)
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
    shared_s = separate_s = 0.0
    num_tokens = num_separate_tokens = num_same = num_compared = 0
    furthest = largest = 0.0
    docs = NeedleDocs(settings, tokenizer)
    for number, doc in enumerate(tqdm(docs, mininterval=10)):
        tokens = torch.tensor(tokenizer.encode(render(Plan.from_dict(doc["plan"]))))
        taken_s, logits = timed(sharing, model, tokens)
        shared_s += taken_s
        num_tokens += len(tokens)
        if number % options.separate_every == 0:
            alone = yoco.prompt_reader(model, chunk_size=options.chunk_size, share=False)
            taken_s, expected = timed(alone, model, tokens)
            separate_s += taken_s
            num_separate_tokens += len(tokens)
            num_compared += 1
            num_same += int(logits.argmax() == expected.argmax())
            furthest = max(furthest, float((logits - expected).abs().max()))
            largest = max(largest, float(expected.abs().max()))
    separate_s *= num_tokens / num_separate_tokens
    device = torch.cuda.get_device_name() if model.device.type == "cuda" else "CPU"
    print(f"{device}, {model.dtype}, torch {torch.__version__}, Python "
          f"{platform.python_version()}, {torch.get_num_threads()} threads, "
          f"{type(sharing).__name__}")  # fmt: skip
    print(f"{options.pretrained}: {len(docs)} prompts, {num_tokens:,} tokens")
    print(f"shared {shared_s:.1f} s, separate {separate_s:.1f} s: ratio "
          f"{separate_s / shared_s:.2f}")  # fmt: skip
    print(f"{num_same} of {num_compared} first tokens are the same; logits up to {largest:.3g} "
          f"differ by at most {furthest:.2g}")  # fmt: skip


if __name__ == "__main__":
    main()
