"""Small models with random weights, on the devices that are here."""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch

from yoco import YOCO, RopeConfig, YOCOConfig
from yoco.cache import KVCache
from yoco.kernels import choose_kernels

# no test needs the hub, and where it cannot be reached each look at it takes half a minute
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
# the tensors of the tests are too small to share out
torch.set_num_threads(1)

CONFIGS: dict[str, dict[str, Any]] = {
    "window": {"mixer": "sliding_window", "sliding_window": 9},
    "window of one": {"mixer": "sliding_window", "sliding_window": 1},
    "window, grouped, biased, half-split": {
        "mixer": "sliding_window",
        "sliding_window": 9,
        "n_self_kv_heads": 2,
        "self_qkv_bias": True,
        "cross_qkv_bias": True,
        "cross_q_norm": True,
        "self_rope": RopeConfig(theta=1e4, spacing="fla", interleaved=False),
        "n_cross_layers": 3,
        "tie_word_embeddings": True,
    },
    "retention": {"mixer": "gated_retention", "sliding_window": None},
}


def tiny_model(options: dict[str, Any], *, backend: str = "auto", seed: int = 0) -> YOCO:
    """A model of 2 + 2 layers, width 32, with weights large enough that all parts matter."""
    base: dict[str, Any] = {
        "vocab_size": 61,
        "dim": 32,
        "hidden_dim": 48,
        "n_self_layers": 2,
        "n_cross_layers": 2,
        "n_self_heads": 4,
        "n_self_kv_heads": 4,
        "n_attn_heads": 4,
        "n_attn_kv_heads": 2,
        "norm_eps": 1e-5,
        "self_rope": RopeConfig(theta=1e4),
        "cross_rope": RopeConfig(theta=1e4),
    }
    model = YOCO(YOCOConfig(**{**base, **options}))
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data = noise * 0.3 + (parameter.dim() == 1)
    model.kernels = choose_kernels(backend, model.device, model.dtype)
    return model.eval().requires_grad_(False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `gpu` are skipped, and counted, where there is no CUDA device."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


@pytest.fixture(scope="session", autouse=True)
def _optional_kernels() -> None:
    """Imports fla before a test does: what it warns of meanwhile is no error of ours."""
    if torch.cuda.is_available() and importlib.util.find_spec("fla"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("fla.ops.simple_gla")


@pytest.fixture(params=list(CONFIGS))
def any_model(request: pytest.FixtureRequest) -> YOCO:
    """One tiny model of each kind."""
    return tiny_model(CONFIGS[request.param])


@pytest.fixture
def make_model() -> Callable[..., YOCO]:
    """Builds a tiny model by the name of its kind."""
    return lambda name, **kwargs: tiny_model(CONFIGS[name], **kwargs)


@pytest.fixture
def random_tokens() -> Callable[..., torch.Tensor]:
    """Random token ids of the tiny vocabulary."""

    def tokens(length: int, seed: int = 0) -> torch.Tensor:
        return torch.randint(61, (length,), generator=torch.Generator().manual_seed(seed))

    return tokens


@pytest.fixture
def cached_tokens(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens that all KV caches together have room for, each time that one is made."""
    alive: weakref.WeakSet[KVCache] = weakref.WeakSet()
    sizes: list[int] = []

    class Watched(KVCache):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            alive.add(self)
            sizes.append(sum(cache.capacity for cache in alive))

    monkeypatch.setattr("yoco.cache.KVCache", Watched)
    return sizes
