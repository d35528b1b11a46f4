"""The official format (microsoft/unilm, folder YOCO): params.json and checkpoint.pth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yoco.config import RopeConfig, YOCOConfig, refuse_unknown_keys
from yoco.quoting import quoted

CONFIG_FILE = "params.json"
WEIGHTS_FILE = "checkpoint.pth"

REQUIRED_KEYS = (
    *("dim", "n_layers", "hidden_dim", "vocab_size"),
    *("n_self_heads", "n_attn_heads", "n_attn_kv_heads"),
)

# Defaults of the official argument class; -1 tokens is its "not said".
OPTIONAL_KEYS = {
    "rope_theta": 10000.0,
    "norm_eps": 1e-5,
    "sliding_window": None,
    "max_seq_len": -1,
    "model_parallel_size": 1,
    "max_batch_size": 0,
    "load_checkpoint": False,
}


def config_from_params(params: Mapping[str, Any]) -> YOCOConfig:
    """The config that params.json states.

    Raises:
        ValueError: a key is unknown or missing, or its value is not supported.
    """
    refuse_unknown_keys(params, [*REQUIRED_KEYS, *OPTIONAL_KEYS], "the file")
    for key in REQUIRED_KEYS:
        if key not in params:
            raise ValueError(f"the file lacks the key {key!r}: add it")
    values = {**OPTIONAL_KEYS, **params}
    if values["model_parallel_size"] != 1:
        raise ValueError(
            f"model_parallel_size is {quoted(values['model_parallel_size'])}: only 1 is supported,"
            " merge the parts of the checkpoint"
        )
    n_layers = values["n_layers"]
    if not isinstance(n_layers, int) or n_layers < 2 or n_layers % 2:
        raise ValueError(
            f"n_layers is {quoted(n_layers)}: it must be even and positive, both halves together"
        )
    max_length = values["max_seq_len"]
    says_length = not isinstance(max_length, int) or max_length > 0
    rope = RopeConfig(theta=values["rope_theta"])
    return YOCOConfig(
        vocab_size=values["vocab_size"],
        dim=values["dim"],
        hidden_dim=values["hidden_dim"],
        n_self_layers=n_layers // 2,
        n_cross_layers=n_layers // 2,
        n_self_heads=values["n_self_heads"],
        n_self_kv_heads=values["n_self_heads"],
        n_attn_heads=values["n_attn_heads"],
        n_attn_kv_heads=values["n_attn_kv_heads"],
        mixer="gated_retention" if values["sliding_window"] is None else "sliding_window",
        sliding_window=values["sliding_window"],
        norm_eps=values["norm_eps"],
        self_rope=rope,
        cross_rope=rope,
        max_length=max_length if says_length else None,
    )
