"""Early-exit prefill by length: seconds, time per token, peak memory.

    python benchmarks/prefill.py --lengths 32768 131072 1048576         # the paper's 3B shape, GPU
    python benchmarks/prefill.py --pretrained demo --lengths 4096 65536 1048576 --rounds 3

Without --pretrained the model is the paper's 3B shape with random weights in bfloat16, made on the
spot in both variants: only time and memory mean something. The lengths are measured in turn, round
after round, and the median is printed with its ratio to that of the first length.
"""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import time
from collections.abc import Iterator

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


def random_model(mixer: str, backend: str, device: torch.device) -> YOCO:
    """The 3B shape in bfloat16, weights of the size that training starts from."""
    torch.set_default_dtype(torch.bfloat16)
    with device:
        model = YOCO(YOCOConfig(**SHAPE, **MIXERS[mixer]))
    torch.set_default_dtype(torch.float32)
    model.kernels = choose_kernels(backend, model.device, model.dtype, model.config.head_dims)
    return model.eval().requires_grad_(False)


def models(options: argparse.Namespace) -> Iterator[tuple[str, YOCO]]:
    """What is measured, one in memory at a time."""
    if options.pretrained:
        yield options.pretrained, yoco.load(options.pretrained, backend=options.backend)
        return
    for mixer in options.mixers:
        yield f"3B {mixer}", random_model(mixer, options.backend, torch.device("cuda"))


def synchronize(model: YOCO) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize()


def peak_gib(model: YOCO) -> float:
    """Of the GPU since the last reset; of the whole process on a CPU."""
    if model.device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(model: YOCO, length: int, chunk_size: int) -> tuple[float, float]:
    """Seconds of prefill, and of the first token behind it."""
    tokens = torch.randint(
        model.config.vocab_size, (length,), generator=torch.Generator().manual_seed(0)
    )
    synchronize(model)
    started = time.perf_counter()
    context = yoco.new_context(model, length)
    last = yoco.prefill_last(model, context, tokens, chunk_size=chunk_size)
    synchronize(model)
    read = time.perf_counter()
    yoco.logits_at(model, [last])
    synchronize(model)
    return read - started, time.perf_counter() - read


def report(name: str, model: YOCO, options: argparse.Namespace, chunk_size: int) -> None:
    """Prints a line for each length."""
    measure(model, 2 * chunk_size, chunk_size)
    taken: dict[int, list[tuple[float, float]]] = {length: [] for length in options.lengths}
    peaks: dict[int, float] = {}
    for _ in range(options.rounds):
        for length in options.lengths:
            if model.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            taken[length].append(measure(model, length, chunk_size))
            peaks.setdefault(length, peak_gib(model))
    base = None
    for length, runs in taken.items():
        prefill_s, first_s = map(statistics.median, zip(*runs, strict=True))
        per_token = prefill_s / length * 1e6
        base = base or per_token
        times = f"{prefill_s:>10.2f}{per_token:>10.2f}{per_token / base:>7.2f}{first_s:>9.3f}"
        print(f"{name:24}{chunk_size:>8}{length:>10}{times}{peaks[length]:>9.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", help="a checkpoint, instead of the random 3B shape")
    parser.add_argument("--mixers", nargs="+", default=list(MIXERS))
    parser.add_argument("--lengths", type=int, nargs="+", default=[32_768, 131_072, 1_048_576])
    parser.add_argument("--chunk-sizes", type=int, nargs="+")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--backend", default="auto")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, Python {platform.python_version()}, "
          f"{torch.get_num_threads()} threads")  # fmt: skip
    for name, model in models(options):
        kind = torch.cuda.get_device_name() if model.device.type == "cuda" else "CPU"
        print(f"{kind}, {model.dtype}, kernels {model.kernels.names}")
        print(f"{'model':24}{'chunk':>8}{'length':>10}{'prefill s':>10}{'us/token':>10}"
              f"{'ratio':>7}{'first s':>9}{'peak GiB':>9}")  # fmt: skip
        default = 16_384 if model.device.type == "cuda" else 2048
        for chunk_size in options.chunk_sizes or [default]:
            report(name, model, options, chunk_size)
        del model


if __name__ == "__main__":
    main()
