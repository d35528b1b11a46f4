"""One step of training by length: milliseconds, tokens a second, peak memory.

    python benchmarks/training_step.py --corpus build/training/corpus --models demo demo-gret

The steps are those of `python -m training`, of batches that are made beforehand. The models are
measured one after the other, each length with its own warm-up, in which `torch.compile` works.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from training.corpus import load_corpus
from training.recipe import MODELS, STAGES, Budget, Recipe
from training.samples import Batch, training_batch
from training.train import Training, compile_layers
from yoco.loading import resolve_device


def steps(training: Training, batches: list[Batch], count: int) -> list[float]:
    """Milliseconds of each of `count` steps."""
    taken = []
    for number in range(count):
        started = time.perf_counter()
        training.step(batches[number % len(batches)])
        if training.device.type == "cuda":
            torch.cuda.synchronize()
        taken.append((time.perf_counter() - started) * 1e3)
    return taken


def profile(training: Training, batch: Batch, rows: int) -> None:
    """Prints the operations that take the most time of a step."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as found:
        steps(training, [batch], 2)
    averages = found.key_averages()
    print(
        averages.table(sort_by="self_device_time_total", row_limit=rows, max_name_column_width=60)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--lengths", type=int, nargs="+", default=[s.length_tokens for s in STAGES])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--profile", type=int, metavar="LENGTH", help="show a step's operations")
    options = parser.parse_args()
    corpus = load_corpus(options.corpus)
    device = resolve_device("auto")
    torch.set_float32_matmul_precision("high")
    print(f"torch {torch.__version__}, {device}")
    for name in options.models:
        recipe = Recipe(name=name, model=MODELS[name], budget=Budget(steps=10**6), stages=STAGES)
        folder = Path(tempfile.mkdtemp())
        training = Training(recipe, corpus, folder, device, resume=False)
        if options.compile:
            training.kernels = compile_layers(training.model, training.kernels)
        for length in options.lengths:
            made = time.perf_counter()
            batches = [
                training_batch(corpus, 0, step, length, recipe.step_tokens, recipe.text_tokens)
                for step in range(2)
            ]
            made = (time.perf_counter() - made) / 2
            warm = steps(training, batches, 3)
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            taken = statistics.median(steps(training, batches, options.rounds))
            peak = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
            rate = len(batches[0].tokens) / taken / 1e3
            print(
                f"{name:10}{length:>10}{taken:>9.1f} ms{rate:>8.2f} Mtoken/s{peak:>8.1f} GiB"
                f"   first {max(warm) / 1e3:.1f} s, batch made in {made:.2f} s",
                flush=True,
            )
            if options.profile == length:
                profile(training, batches[0], 25)


if __name__ == "__main__":
    main()
