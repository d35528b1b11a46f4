"""Which tensors a config asks for: names (the official ones), shapes, and the check of both.

Letters: E model width, F FFN width, V vocabulary, H self heads, D head width, K self key/value
width, G global key/value width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from yoco.config import YOCOConfig
from yoco.quoting import short_name

NUM_NAMED = 3
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def expected_shapes(config: YOCOConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of the model, by canonical name."""
    e, v = config.dim, config.vocab_size
    g = config.n_attn_kv_heads * config.cross_head_dim
    shapes: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (v, e), "layer_norm.weight": (e,)}
    if not config.tie_word_embeddings:
        shapes["output_projection.weight"] = (v, e)

    self_layer = {**_self_mixer_shapes(config), **_ffn_shapes(config)}
    for i in range(config.n_self_layers):
        shapes |= {f"self_decoder.layers.{i}.{name}": shape for name, shape in self_layer.items()}

    shapes["cross_decoder.kv_layer_norm.weight"] = (e,)
    for name in ("k_proj", "v_proj"):
        shapes[f"cross_decoder.{name}.weight"] = (g, e)
        if config.cross_qkv_bias:
            shapes[f"cross_decoder.{name}.bias"] = (g,)

    cross_layer = {**_cross_mixer_shapes(config), **_ffn_shapes(config)}
    for i in range(config.n_cross_layers):
        shapes |= {f"cross_decoder.layers.{i}.{name}": shape for name, shape in cross_layer.items()}
    return shapes


def _self_mixer_shapes(config: YOCOConfig) -> dict[str, tuple[int, ...]]:
    e, h, k = config.dim, config.n_self_heads, config.n_self_kv_heads * config.self_head_dim
    shapes: dict[str, tuple[int, ...]] = {
        "mixer.q_proj.weight": (e, e),
        "mixer.k_proj.weight": (k, e),
        "mixer.v_proj.weight": (k, e),
        "mixer.out_proj.weight": (e, e),
    }
    if config.mixer == "gated_retention":
        shapes |= {"mixer.g_proj.weight": (e, e), "mixer.gt_proj.weight": (h, e)}
    if config.self_qkv_bias:
        shapes |= {
            "mixer.q_proj.bias": (e,),
            "mixer.k_proj.bias": (k,),
            "mixer.v_proj.bias": (k,),
        }
    return shapes


def _cross_mixer_shapes(config: YOCOConfig) -> dict[str, tuple[int, ...]]:
    e = config.dim
    shapes: dict[str, tuple[int, ...]] = {
        "mixer.q_proj.weight": (e, e),
        "mixer.out_proj.weight": (e, e),
    }
    if config.cross_qkv_bias:
        shapes["mixer.q_proj.bias"] = (e,)
    if config.cross_q_norm:
        shapes["mixer.q_norm.weight"] = (config.cross_head_dim,)
    return shapes


def _ffn_shapes(config: YOCOConfig) -> dict[str, tuple[int, ...]]:
    e, f = config.dim, config.hidden_dim
    return {
        "mixer_layer_norm.weight": (e,),
        "final_layer_norm.weight": (e,),
        "ffn.fc1.weight": (f, e),
        "ffn.gate.weight": (f, e),
        "ffn.fc2.weight": (e, f),
    }


def check_tensors(tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Passes if the tensors are exactly those expected, of their shapes, in dtypes of models.

    Raises:
        ValueError: otherwise; one line that names the first few of each kind and says how many.
    """
    misshapen = [
        f"{short_name(name)} {tuple(tensors[name].shape)} instead of {tuple(shape)}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != tuple(shape)
    ]
    unsupported = [
        f"{short_name(name)} {str(tensor.dtype).removeprefix('torch.')}"
        for name, tensor in tensors.items()
        if tensor.dtype not in DTYPES
    ]
    faults = [
        first_few("missing", (name for name in expected if name not in tensors)),
        first_few("unexpected", (short_name(name) for name in tensors if name not in expected)),
        first_few("misshapen", misshapen),
        first_few("of an unsupported dtype", unsupported),
    ]
    if any(faults):
        raise ValueError(f"tensors do not fit the config: {'; '.join(filter(None, faults))}")


def first_few(kind: str, names: Iterable[str]) -> str:
    """How many there are of a kind, and the first of them: "5 missing (a, b, c, ...)"."""
    names = list(names)
    if not names:
        return ""
    more = ", ..." if len(names) > NUM_NAMED else ""
    return f"{len(names)} {kind} ({', '.join(names[:NUM_NAMED])}{more})"
