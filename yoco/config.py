"""What a YOCO model is, apart from its weights."""

from __future__ import annotations

import dataclasses
import difflib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from yoco.quoting import quoted

Mixer = Literal["sliding_window", "gated_retention"]
Spacing = Literal["yoco", "fla"]

# Beyond any model, so that a misprint is refused before its layers are listed or multiplied out.
MAX_LAYERS = 10_000
MAX_SIZE = 2**31 - 1
MAX_LENGTH = 2**53


def refuse_unknown_keys(keys: Iterable[str], allowed: Iterable[str], where: str) -> None:
    """Passes if every key is allowed.

    Args:
        keys: what was found.
        allowed: what is known.
        where: what holds the keys, for the message.

    Raises:
        ValueError: a key is not allowed; the message names it and its near match.
    """
    known = sorted(allowed)
    for key in keys:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(known)}"
            raise ValueError(f"{where} has the unknown key {quoted(key)}: {hint}")


def _known_fields(cls: type, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A copy of `values`, every key of which is a field and every required field present."""
    fields = dataclasses.fields(cls)
    refuse_unknown_keys(values, [field.name for field in fields], where)
    for field in fields:
        if field.default is dataclasses.MISSING and field.name not in values:
            raise ValueError(f"{where} lacks the key {field.name!r}: add it")
    return dict(values)


def _is_int(value: object, minimum: int, maximum: int = MAX_SIZE) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum


@dataclass(frozen=True, kw_only=True)
class RopeConfig:
    """How rotary angles are made and applied.

    Args:
        theta: base of the frequencies.
        spacing: "yoco" is theta^-linspace(0, 1, D/2), both end points included; "fla" is
            theta^-(arange(0, D, 2)/D).
        interleaved: pairs are (2i, 2i+1); otherwise (i, i + D/2).
    """

    theta: float
    spacing: Spacing = "yoco"
    interleaved: bool = True

    def __post_init__(self) -> None:
        _require_positive_floats(self, ["theta"])
        _require_choices(self, {"spacing": Spacing})
        _require_bools(self, ["interleaved"])

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "rope") -> Self:
        """The config that `dataclasses.asdict` made `values` of."""
        if not isinstance(values, Mapping):
            raise ValueError(
                f"{where} is {quoted(values)}: it must be an object with the key 'theta'"
            )
        return cls(**_known_fields(cls, values, where))


@dataclass(frozen=True, kw_only=True)
class YOCOConfig:
    """The shape and the options of a YOCO model.

    Args:
        dim: model width, of which every self-decoder and cross-decoder head takes an equal part.
        hidden_dim: width of the feed-forward networks.
        sliding_window: keys that a query sees, its own among them; None for gated retention.
        self_qkv_bias: bias on q, k and v of the sliding-window mixers.
        cross_qkv_bias: bias on the q of every cross layer and on the shared K and V.
        cross_q_norm: per-head RMSNorm with weight on the cross q, before the rotary embedding. Its
            epsilon is 1e-5 whatever `norm_eps` is, as in flash-linear-attention.
        gate_logit_normalizer: divides the log-decay of gated retention.
        max_length: tokens that the model was made for; None where the checkpoint does not say.
        eos_token_id: what ends a text: an id, several, or None. One id in a list is that id, and an
            empty list is None, so that a model has one form and one hash.

    Raises:
        ValueError: a value is out of its range, or two do not go together.
    """

    vocab_size: int
    dim: int
    hidden_dim: int
    n_self_layers: int
    n_cross_layers: int
    n_self_heads: int
    n_self_kv_heads: int
    n_attn_heads: int
    n_attn_kv_heads: int
    mixer: Mixer
    sliding_window: int | None
    norm_eps: float
    self_rope: RopeConfig
    cross_rope: RopeConfig
    self_qkv_bias: bool = False
    cross_qkv_bias: bool = False
    cross_q_norm: bool = False
    gate_logit_normalizer: float = 16.0
    tie_word_embeddings: bool = False
    max_length: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name in (
            *("vocab_size", "dim", "hidden_dim", "n_self_layers", "n_cross_layers"),
            *("n_self_heads", "n_self_kv_heads", "n_attn_heads", "n_attn_kv_heads"),
        ):
            value, most = getattr(self, name), MAX_LAYERS if "layers" in name else MAX_SIZE
            if not _is_int(value, 1, most):
                raise ValueError(
                    f"{name} is {quoted(value)}: it must be a positive integer, at most {most:,}"
                )
        _require_positive_floats(self, ["norm_eps", "gate_logit_normalizer"])
        _require_choices(self, {"mixer": Mixer})
        _require_bools(
            self, ["self_qkv_bias", "cross_qkv_bias", "cross_q_norm", "tie_word_embeddings"]
        )
        for name in ("self_rope", "cross_rope"):
            if not isinstance(getattr(self, name), RopeConfig):
                value = getattr(self, name)
                raise ValueError(f"{name} is {quoted(value)}: it must be a RopeConfig")
        if self.max_length is not None and not _is_int(self.max_length, 1, MAX_LENGTH):
            raise ValueError(
                f"max_length is {quoted(self.max_length)}: it must be a positive integer or None,"
                f" at most {MAX_LENGTH:,}"
            )
        self._require_special_tokens()
        self._require_heads("n_self_heads", "n_self_kv_heads")
        self._require_heads("n_attn_heads", "n_attn_kv_heads")
        self._require_mixer()

    def _require_special_tokens(self) -> None:
        bos, eos = self.bos_token_id, self.eos_token_id
        if bos is not None and not self._is_token(bos):
            raise ValueError(
                f"bos_token_id is {quoted(bos)}: it must be None or an integer of 0..vocab_size-1,"
                f" here 0..{self.vocab_size - 1}"
            )
        ends = eos if isinstance(eos, (list, tuple)) else () if eos is None else (eos,)
        if not all(map(self._is_token, ends)):
            raise ValueError(
                f"eos_token_id is {quoted(eos)}: it must be None or an integer of 0..vocab_size-1,"
                f" here 0..{self.vocab_size - 1}, or a list of such"
            )
        ends = tuple(dict.fromkeys(ends))
        object.__setattr__(self, "eos_token_id", ends if len(ends) > 1 else next(iter(ends), None))

    def _is_token(self, value: object) -> bool:
        return _is_int(value, 0) and value < self.vocab_size  # pyright: ignore[reportOperatorIssue]

    def _require_heads(self, heads: str, kv_heads: str) -> None:
        num_heads, num_kv_heads = getattr(self, heads), getattr(self, kv_heads)
        if self.dim % num_heads or self.dim // num_heads % 2:
            raise ValueError(
                f"dim is {self.dim} with {heads} {num_heads}: every head must have the same,"
                " even width"
            )
        if num_heads % num_kv_heads:
            raise ValueError(
                f"{heads} is {num_heads} with {kv_heads} {num_kv_heads}: the first must be a"
                " multiple of the second"
            )

    def _require_mixer(self) -> None:
        if self.mixer == "sliding_window":
            if not _is_int(self.sliding_window, 1):
                raise ValueError(
                    f"sliding_window is {quoted(self.sliding_window)} with mixer 'sliding_window':"
                    f" it must be a positive integer, at most {MAX_SIZE:,}"
                )
            return
        if self.sliding_window is not None:
            raise ValueError(
                f"sliding_window is {quoted(self.sliding_window)} with mixer 'gated_retention': it"
                " must be None"
            )
        if self.n_self_kv_heads != self.n_self_heads:
            raise ValueError(
                f"n_self_kv_heads is {self.n_self_kv_heads} with mixer 'gated_retention': it must"
                f" be n_self_heads, {self.n_self_heads}"
            )
        if self.self_qkv_bias:
            raise ValueError("self_qkv_bias is True with mixer 'gated_retention': it must be False")

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """Every id that ends a text; empty where the checkpoint does not say."""
        eos = self.eos_token_id
        return eos if isinstance(eos, tuple) else () if eos is None else (eos,)

    @property
    def self_head_dim(self) -> int:
        """Width of a self-decoder head."""
        return self.dim // self.n_self_heads

    @property
    def cross_head_dim(self) -> int:
        """Width of a cross-decoder head."""
        return self.dim // self.n_attn_heads

    @property
    def head_dims(self) -> tuple[int, int]:
        """Widths of the heads of self-decoder and cross-decoder."""
        return self.self_head_dim, self.cross_head_dim

    @property
    def receptive_field_tokens(self) -> int | None:
        """Tokens before a position on which its K and V depend; None where there is no bound."""
        if self.sliding_window is None:
            return None
        return self.n_self_layers * (self.sliding_window - 1)

    @property
    def kv_elements_per_token(self) -> int:
        """Numbers that the single global KV cache holds for a token."""
        return 2 * self.n_attn_kv_heads * self.cross_head_dim

    def to_dict(self) -> dict[str, Any]:
        """The config as JSON types; `from_dict` reads it back."""
        values = dataclasses.asdict(self)
        if isinstance(self.eos_token_id, tuple):
            values["eos_token_id"] = list(self.eos_token_id)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The config that `to_dict` made `values` of.

        Raises:
            ValueError: a key is unknown or missing, or a value is not allowed.
        """
        known = _known_fields(cls, values, "config")
        for name in ("self_rope", "cross_rope"):
            known[name] = RopeConfig.from_dict(known[name], name)
        return cls(**known)


def _require_positive_floats(config: object, names: Iterable[str]) -> None:
    for name in names:
        value = getattr(config, name)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        # an integer of 400 digits compares with a float, but is none
        if not is_number or not 0 < value <= sys.float_info.max:
            raise ValueError(f"{name} is {quoted(value)}: it must be a positive, finite number")
        # JSON writes 10000.0 as either 10000.0 or 10000; one config must have one form.
        object.__setattr__(config, name, float(value))


def _require_bools(config: object, names: Iterable[str]) -> None:
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, bool):
            raise ValueError(f"{name} is {quoted(value)}: it must be true or false")


def _require_choices(config: object, choices: Mapping[str, Any]) -> None:
    for name, literal in choices.items():
        value = getattr(config, name)
        if value not in get_args(literal):
            allowed = ", ".join(get_args(literal))
            raise ValueError(f"{name} is {quoted(value)}: it must be one of {allowed}")
