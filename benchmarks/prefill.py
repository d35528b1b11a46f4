"""Early-exit prefill of the paper's 3B shape with random weights: seconds and peak memory.

    python benchmarks/prefill.py --lengths 32768 131072 1048576

One line a mixer and length. The model is made on the spot (no checkpoint is needed); its weights
are random, so only time and memory mean something.
"""

from __future__ import annotations

import argparse
import platform
import time

import torch

import yoco
from yoco import YOCO, RopeConfig, YOCOConfig
from yoco.kernels import choose_kernels

# YOCO-3B of the paper (arXiv 2405.05254), in its two variants
SHAPE = {
    "vocab_size": 100_288,
    "dim": 3072,
    "hidden_dim": 8192,
    "n_self_layers": 13,
    "n_cross_layers": 13,
    "n_self_heads": 24,
    "n_self_kv_heads": 24,
    "n_attn_heads": 24,
    "n_attn_kv_heads": 8,
    "norm_eps": 1e-5,
    "self_rope": RopeConfig(theta=80e6),
    "cross_rope": RopeConfig(theta=80e6),
}
MIXERS = {
    "sliding_window": {"mixer": "sliding_window", "sliding_window": 1024},
    "gated_retention": {"mixer": "gated_retention", "sliding_window": None},
}


def random_model(mixer: str, backend: str) -> YOCO:
    """The 3B shape in bfloat16 on the GPU, weights of the size that training starts from."""
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = YOCO(YOCOConfig(**SHAPE, **MIXERS[mixer]))
    torch.set_default_dtype(torch.float32)
    model.kernels = choose_kernels(backend, model.device, model.dtype)
    return model.eval().requires_grad_(False)


def measure(model: YOCO, length: int, chunk_size: int) -> tuple[float, float, float]:
    """Seconds of prefill, seconds of the first token behind it, peak GiB."""
    tokens = torch.randint(100_000, (length,), generator=torch.Generator().manual_seed(0))
    torch.cuda.reset_peak_memory_stats()
    torch.cuda.synchronize()
    started = time.perf_counter()
    context = yoco.new_context(model, length)
    last = yoco.prefill_last(model, context, tokens, chunk_size=chunk_size)
    torch.cuda.synchronize()
    read = time.perf_counter()
    yoco.logits_at(model, [last])
    torch.cuda.synchronize()
    return read - started, time.perf_counter() - read, torch.cuda.max_memory_allocated() / 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[32_768, 131_072, 1_048_576])
    parser.add_argument("--chunk-sizes", type=int, nargs="+", default=[16_384])
    parser.add_argument("--mixers", nargs="+", default=list(MIXERS))
    parser.add_argument("--backend", default="auto")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name()}, {platform.python_version()}")
    print(f"{'mixer':16}{'kernels':>40}{'chunk':>8}{'length':>10}{'prefill s':>11}"
          f"{'first s':>9}{'peak GiB':>10}")  # fmt: skip
    for mixer in options.mixers:
        model = random_model(mixer, options.backend)
        kernels = ",".join(model.kernels.names.values())
        for chunk_size in options.chunk_sizes:
            measure(model, 2 * chunk_size, chunk_size)
            for length in options.lengths:
                prefill_s, first_s, peak = measure(model, length, chunk_size)
                print(f"{mixer:16}{kernels:>40}{chunk_size:>8}{length:>10}{prefill_s:>11.2f}"
                      f"{first_s:>9.3f}{peak:>10.1f}", flush=True)  # fmt: skip
        del model
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
