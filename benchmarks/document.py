"""A long document scored at every position in one pass: seconds, tokens a second, peak memory.

    python benchmarks/document.py --lengths 65536 262144            # the paper's 3B shape, GPU
    python benchmarks/document.py --pretrained demo --lengths 8192 32768

Models are those of `prefill.py`; the tokens are random, for only time and memory are looked at.
Attention over all positions is quadratic: the last column says how many operations it took a
second, half of the square of the length for every cross layer.
"""

from __future__ import annotations

import argparse
import platform
import time

import numpy as np
import torch
from prefill import MIXERS, models, peak_gib, synchronize

from evals.backend import CHUNK_SIZE
from evals.chains import score_document
from yoco import YOCO


def attention_flops(model: YOCO, length: int) -> float:
    """Of the cross-decoder's scores and weighted sums, a multiplication and an addition each."""
    width = model.config.n_attn_heads * model.config.cross_head_dim
    return 2 * length**2 * width * model.config.n_cross_layers


def measure(model: YOCO, length: int, chunk_size: int) -> float:
    """Seconds for a document of so many tokens."""
    tokens = np.random.default_rng(0).integers(0, model.config.vocab_size, length).astype(np.int32)
    synchronize(model)
    started = time.perf_counter()
    score_document(model, tokens, first_scored=1, chunk_size=chunk_size, on_read=lambda n: None)
    synchronize(model)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", help="a checkpoint, instead of the random 3B shape")
    parser.add_argument("--mixers", nargs="+", default=list(MIXERS))
    parser.add_argument("--lengths", type=int, nargs="+", default=[65_536, 262_144])
    parser.add_argument("--chunk-size", type=int)
    parser.add_argument("--backend", default="auto")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, Python {platform.python_version()}, "
          f"{torch.get_num_threads()} threads")  # fmt: skip
    for name, model in models(options):
        kind = torch.cuda.get_device_name() if model.device.type == "cuda" else "CPU"
        chunk_size = options.chunk_size or CHUNK_SIZE[model.device.type]
        print(f"{kind}, {model.dtype}, kernels {model.kernels.names}, chunks of {chunk_size:,}")
        print(f"{'model':24}{'length':>10}{'seconds':>10}{'token/s':>10}{'peak GiB':>9}"
              f"{'attention TFLOP/s':>19}")  # fmt: skip
        measure(model, 2 * chunk_size, chunk_size)
        for length in options.lengths:
            if model.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            taken_s = measure(model, length, chunk_size)
            rate = attention_flops(model, length) / taken_s / 1e12
            print(f"{name:24}{length:>10}{taken_s:>10.2f}{length / taken_s:>10,.0f}"
                  f"{peak_gib(model):>9.2f}{rate:>19.3f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
