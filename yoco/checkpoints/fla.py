"""The format of flash-linear-attention (0.6.0): its config keys and its names of tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from yoco.config import MAX_SIZE, RopeConfig, YOCOConfig, refuse_unknown_keys
from yoco.quoting import quoted

MODEL_TYPE = "yoco"
MODEL_PREFIX = "model."
SELF_TYPES = {"gated_retention": "gated_retention", "swa": "sliding_window"}

# What a key that is absent means, as in fla's own config class.
DEFAULTS: dict[str, Any] = {
    "vocab_size": 32000,
    "hidden_size": 2048,
    "hidden_ratio": 4,
    "intermediate_size": None,
    "hidden_act": "swish",
    "num_hidden_layers": 21,
    "num_self_decoder_layers": 10,
    "max_position_embeddings": 2048,
    "norm_eps": 1e-6,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
    "attnres_block_size": None,
}
# num_v_heads and num_kv_heads default to the number of heads.
SELF_DEFAULTS: dict[str, Any] = {
    "type": "gated_deltanet",
    "num_heads": 6,
    "num_v_heads": None,
    "window_size": None,
    "qkv_bias": False,
    "rope_theta": 10000.0,
    "rope_inv_freq": "fla",
    "gate_logit_normalizer": 16.0,
}
CROSS_DEFAULTS: dict[str, Any] = {
    "num_heads": 32,
    "num_kv_heads": None,
    "qkv_bias": False,
    "qk_norm": False,
    "rope_theta": 10000.0,
    "rope_inv_freq": "fla",
}

# Known, and without effect on what the model computes at inference; written with these values.
IRRELEVANT: dict[str, Any] = {
    "architectures": ["YOCOForCausalLM"],
    "fuse_cross_entropy": True,
    "fuse_norm": True,
    "fuse_swiglu": True,
    "initializer_range": 0.02,
    "pad_token_id": None,
    "use_cache": True,
    "use_l2warp": False,
}
IRRELEVANT_SELF: dict[str, Any] = {
    "allow_neg_eigval": False,
    "conv_size": 4,
    "expand_v": 2.0,
    "head_dim": 256,
    "mode": "chunk",
    "use_gate": True,
    "use_short_conv": True,
}
# Bookkeeping of transformers, never written: what a config says of itself, then what older
# releases keep there of generation.
IRRELEVANT_OF_TRANSFORMERS = (
    *("_attn_implementation", "_attn_implementation_autoset", "_attn_implementation_internal"),
    *("_commit_hash", "_experts_implementation", "_name_or_path", "_output_attentions"),
    *("add_cross_attention", "attn_implementation", "auto_map", "chunk_size_feed_forward"),
    *("cross_attention_hidden_size", "decoder_start_token_id", "dtype", "finetuning_task"),
    *("fuse_linear_cross_entropy", "id2label", "is_decoder", "is_encoder_decoder", "label2id"),
    *("num_labels", "output_attentions", "output_hidden_states", "prefix", "problem_type"),
    *("pruned_heads", "quantization_config", "return_dict", "sep_token_id"),
    *("task_specific_params", "tf_legacy_loss", "tie_encoder_decoder", "tokenizer_class"),
    *("torch_dtype", "torchscript", "transformers_version", "use_bfloat16", "use_return_dict"),
    *("bad_words_ids", "begin_suppress_tokens", "diversity_penalty", "do_sample"),
    *("early_stopping", "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty"),
    *("forced_bos_token_id", "forced_eos_token_id", "length_penalty", "max_length", "min_length"),
    *("no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences"),
    *("output_scores", "remove_invalid_values", "repetition_penalty"),
    *("return_dict_in_generate", "suppress_tokens", "temperature", "top_k", "top_p", "typical_p"),
)
# Options that are off where a config says null, as they are in fla.
OPTIONS = ("tie_word_embeddings", "qkv_bias", "qk_norm")
# Keys of other projects that say "yoco" and mean another model.
FOREIGN_KEYS = (
    *("cross_head_dim", "cross_kv_head", "d_ffn", "d_model", "head", "kv_head", "n_layers"),
    *("universal_loop", "yoco_cross_layers", "yoco_window_size"),
)


def config_from_fla(values: Mapping[str, Any]) -> YOCOConfig:
    """The config that config.json states.

    Raises:
        ValueError: a key is unknown, or the model is one that is not supported.
    """
    foreign = [key for key in FOREIGN_KEYS if key in values]
    if foreign:
        raise ValueError(
            f"the keys {', '.join(foreign)} are those of another YOCO project, which is not"
            " supported: only the keys of flash-linear-attention and the official params.json are"
        )
    known = [*DEFAULTS, *IRRELEVANT, *IRRELEVANT_OF_TRANSFORMERS]
    known += ["model_type", "self_decoder_attn", "cross_decoder_attn"]
    refuse_unknown_keys(values, known, "the file")
    top = {**DEFAULTS, **_without_null_options(values)}
    self_attn = _nested(values, "self_decoder_attn", SELF_DEFAULTS, IRRELEVANT_SELF)
    cross_attn = _nested(values, "cross_decoder_attn", CROSS_DEFAULTS, {})
    _refuse_unsupported(top, self_attn)

    num_layers, n_self_layers = top["num_hidden_layers"], top["num_self_decoder_layers"]
    if not (isinstance(num_layers, int) and isinstance(n_self_layers, int)):
        raise ValueError(
            f"num_hidden_layers is {quoted(num_layers)}, num_self_decoder_layers"
            f" {quoted(n_self_layers)}: both must be integers"
        )
    if n_self_layers >= num_layers:
        raise ValueError(
            f"num_self_decoder_layers is {quoted(n_self_layers)} of num_hidden_layers"
            f" {quoted(num_layers)}: a model without a cross-decoder is not supported"
        )
    n_self_heads, n_attn_heads = self_attn["num_heads"], cross_attn["num_heads"]
    n_attn_kv_heads = cross_attn["num_kv_heads"]
    options: dict[str, Any] = {}
    if self_attn["type"] == "swa":
        n_self_kv_heads = self_attn["num_v_heads"]
        options["self_qkv_bias"] = self_attn["qkv_bias"]
        options["sliding_window"] = self_attn["window_size"]
        # fla's sliding-window layer knows neither the other spacing nor the interleaved form.
        self_rope = RopeConfig(theta=self_attn["rope_theta"], spacing="fla", interleaved=False)
    else:
        n_self_kv_heads = None
        options["gate_logit_normalizer"] = self_attn["gate_logit_normalizer"]
        options["sliding_window"] = None
        self_rope = _interleaved_rope(self_attn)
    return YOCOConfig(
        vocab_size=top["vocab_size"],
        dim=top["hidden_size"],
        hidden_dim=_hidden_dim(top),
        n_self_layers=n_self_layers,
        n_cross_layers=num_layers - n_self_layers,
        n_self_heads=n_self_heads,
        n_self_kv_heads=n_self_heads if n_self_kv_heads is None else n_self_kv_heads,
        n_attn_heads=n_attn_heads,
        n_attn_kv_heads=n_attn_heads if n_attn_kv_heads is None else n_attn_kv_heads,
        mixer=SELF_TYPES[self_attn["type"]],  # pyright: ignore[reportArgumentType]
        norm_eps=top["norm_eps"],
        self_rope=self_rope,
        cross_rope=_interleaved_rope(cross_attn),
        cross_qkv_bias=cross_attn["qkv_bias"],
        cross_q_norm=cross_attn["qk_norm"],
        tie_word_embeddings=top["tie_word_embeddings"],
        max_length=top["max_position_embeddings"],
        bos_token_id=top["bos_token_id"],
        eos_token_id=top["eos_token_id"],
        **options,
    )


def _nested(
    values: Mapping[str, Any], key: str, defaults: Mapping[str, Any], irrelevant: Mapping[str, Any]
) -> dict[str, Any]:
    nested = values.get(key)
    nested = {} if nested is None else nested
    if not isinstance(nested, Mapping):
        raise ValueError(f"{key} is {quoted(nested)}: it must be an object")
    refuse_unknown_keys(nested, [*defaults, *irrelevant], key)
    return {**defaults, **_without_null_options(nested)}


def _without_null_options(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: value for k, value in values.items() if value is not None or k not in OPTIONS}


def _refuse_unsupported(top: Mapping[str, Any], self_attn: Mapping[str, Any]) -> None:
    if top.get("quantization_config") is not None:
        raise ValueError(
            f"quantization_config is {quoted(top['quantization_config'])}: quantized weights are"
            " not supported, save the model without"
        )
    if not isinstance(self_attn["type"], str) or self_attn["type"] not in SELF_TYPES:
        raise ValueError(
            f"self_decoder_attn type is {quoted(self_attn['type'])}: supported are"
            f" {', '.join(SELF_TYPES)}, run other models through fla itself"
        )
    if top["attnres_block_size"] is not None:
        raise ValueError(
            f"attnres_block_size is {quoted(top['attnres_block_size'])}: attention residuals are"
            " not supported, run the model through fla itself"
        )
    if top["hidden_act"] != "swish":
        raise ValueError(f"hidden_act is {quoted(top['hidden_act'])}: only 'swish' is supported")


def _interleaved_rope(attn: Mapping[str, Any]) -> RopeConfig:
    return RopeConfig(theta=attn["rope_theta"], spacing=attn["rope_inv_freq"], interleaved=True)


def _hidden_dim(top: Mapping[str, Any]) -> Any:
    """`intermediate_size`, else 2/3 of width times ratio, rounded up to a multiple of 256."""
    if top["intermediate_size"] is not None:
        return top["intermediate_size"]
    ratio = 4 if top["hidden_ratio"] is None else top["hidden_ratio"]
    for key, value in (("hidden_size", top["hidden_size"]), ("hidden_ratio", ratio)):
        if not isinstance(value, (int, float)) or not 0 < value <= MAX_SIZE:
            raise ValueError(f"{key} is {quoted(value)}: it must be a positive number")
    return -(-int(top["hidden_size"] * ratio * 2 / 3) // 256) * 256


def config_to_fla(config: YOCOConfig) -> dict[str, Any] | None:
    """Contents of config.json with every key that fla knows; None if it cannot say the model."""
    values = {
        "model_type": MODEL_TYPE,
        **DEFAULTS,
        **IRRELEVANT,
        "vocab_size": config.vocab_size,
        "hidden_size": config.dim,
        "intermediate_size": config.hidden_dim,
        "num_hidden_layers": config.n_self_layers + config.n_cross_layers,
        "num_self_decoder_layers": config.n_self_layers,
        "max_position_embeddings": config.max_length,
        "norm_eps": config.norm_eps,
        "bos_token_id": config.bos_token_id,
        "eos_token_id": config.to_dict()["eos_token_id"],
        "tie_word_embeddings": config.tie_word_embeddings,
        "self_decoder_attn": {
            **IRRELEVANT_SELF,
            "type": next(fla for fla, mixer in SELF_TYPES.items() if mixer == config.mixer),
            "num_heads": config.n_self_heads,
            "num_v_heads": config.n_self_kv_heads,
            "window_size": config.sliding_window,
            "qkv_bias": config.self_qkv_bias,
            "rope_theta": config.self_rope.theta,
            "rope_inv_freq": config.self_rope.spacing,
            "gate_logit_normalizer": config.gate_logit_normalizer,
        },
        "cross_decoder_attn": {
            "num_heads": config.n_attn_heads,
            "num_kv_heads": config.n_attn_kv_heads,
            "qkv_bias": config.cross_qkv_bias,
            "qk_norm": config.cross_q_norm,
            "rope_theta": config.cross_rope.theta,
            "rope_inv_freq": config.cross_rope.spacing,
        },
    }
    return values if config_from_fla(values) == config else None


# Canonical module -> fla's.
MODULES = {
    "embed_tokens": "model.embeddings",
    "output_projection": "lm_head",
    "layer_norm": "model.norm",
    "cross_decoder.kv_layer_norm": "model.shared_kv_builder.kv_norm",
    "cross_decoder.k_proj": "model.shared_kv_builder.k_proj",
    "cross_decoder.v_proj": "model.shared_kv_builder.v_proj",
}
LAYER_MODULES = {
    "mixer.q_proj": "attn.q_proj",
    "mixer.k_proj": "attn.k_proj",
    "mixer.v_proj": "attn.v_proj",
    "mixer.g_proj": "attn.g_proj",
    "mixer.gt_proj": "attn.gk_proj",
    "mixer.q_norm": "attn.q_norm",
    "mixer.out_proj": "attn.o_proj",
    "mixer_layer_norm": "attn_norm",
    "final_layer_norm": "mlp_norm",
    "ffn.fc1": "mlp.gate_proj",
    "ffn.gate": "mlp.up_proj",
    "ffn.fc2": "mlp.down_proj",
}


def fla_name(canonical: str) -> str:
    """fla's name of the tensor with this canonical name."""
    module, _, leaf = canonical.rpartition(".")
    layer = re.fullmatch(r"(self|cross)_decoder\.layers\.(\d+)\.(.+)", module)
    if layer is None:
        return f"{MODULES[module]}.{leaf}"
    return f"model.{layer[1]}_layers.{layer[2]}.{LAYER_MODULES[layer[3]]}.{leaf}"
