import dataclasses
import json
import re

import pytest

from yoco.config import RopeConfig, YOCOConfig

ROPE = RopeConfig(theta=10000.0)
SLIDING = YOCOConfig(
    vocab_size=128,
    dim=64,
    hidden_dim=96,
    n_self_layers=3,
    n_cross_layers=2,
    n_self_heads=4,
    n_self_kv_heads=2,
    n_attn_heads=8,
    n_attn_kv_heads=2,
    mixer="sliding_window",
    sliding_window=16,
    norm_eps=1e-5,
    self_rope=ROPE,
    cross_rope=ROPE,
)
GATED = dataclasses.replace(
    SLIDING, mixer="gated_retention", sliding_window=None, n_self_kv_heads=4
)


def test_properties():
    assert (SLIDING.self_head_dim, SLIDING.cross_head_dim) == (16, 8)
    assert SLIDING.receptive_field_tokens == 3 * 15
    assert GATED.receptive_field_tokens is None
    assert SLIDING.kv_elements_per_token == 2 * 2 * 8


def test_receptive_field_of_the_3b_shape():
    config = dataclasses.replace(SLIDING, n_self_layers=13, sliding_window=1024)
    assert config.receptive_field_tokens == 13299


@pytest.mark.parametrize("config", [SLIDING, GATED], ids=["sliding_window", "gated_retention"])
def test_dict_round_trip_through_json(config):
    assert YOCOConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_integers_where_floats_belong_make_the_same_config():
    values = SLIDING.to_dict() | {"self_rope": {"theta": 10000}, "gate_logit_normalizer": 16}
    config = YOCOConfig.from_dict(values)
    assert config == SLIDING
    assert json.dumps(config.to_dict()) == json.dumps(SLIDING.to_dict())


@pytest.mark.parametrize(
    ("stated", "held", "ends"),
    [
        (None, None, ()),
        ([], None, ()),
        (2, 2, (2,)),
        ([2], 2, (2,)),
        ([5, 2, 5], (5, 2), (5, 2)),
    ],
)
def test_one_form_of_the_ends(stated, held, ends):
    config = YOCOConfig.from_dict(SLIDING.to_dict() | {"eos_token_id": stated})
    assert (config.eos_token_id, config.eos_token_ids) == (held, ends)
    assert YOCOConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert isinstance(config.to_dict()["eos_token_id"], list) == (len(ends) > 1)


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SLIDING.dim = 32  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("base", "changes", "message"),
    [
        (SLIDING, {"dim": 0}, "dim is 0: it must be a positive integer"),
        (SLIDING, {"dim": 64.0}, "dim is 64.0: it must be a positive integer"),
        (SLIDING, {"n_cross_layers": 0}, "n_cross_layers is 0: it must be a positive integer"),
        (SLIDING, {"vocab_size": True}, "vocab_size is True: it must be a positive integer"),
        (SLIDING, {"n_self_heads": 5}, "dim is 64 with n_self_heads 5: every head"),
        (SLIDING, {"n_attn_heads": 64}, "dim is 64 with n_attn_heads 64: every head"),
        (SLIDING, {"n_attn_kv_heads": 3}, "n_attn_heads is 8 with n_attn_kv_heads 3: the first"),
        (SLIDING, {"n_self_kv_heads": 3}, "n_self_heads is 4 with n_self_kv_heads 3: the first"),
        (SLIDING, {"sliding_window": 0}, "sliding_window is 0 with mixer 'sliding_window'"),
        (SLIDING, {"sliding_window": None}, "sliding_window is None with mixer 'sliding_window'"),
        (SLIDING, {"sliding_window": True}, "sliding_window is True with mixer 'sliding_window'"),
        (GATED, {"sliding_window": 16}, "sliding_window is 16 with mixer 'gated_retention'"),
        (GATED, {"n_self_kv_heads": 2}, "n_self_kv_heads is 2 with mixer 'gated_retention'"),
        (GATED, {"self_qkv_bias": True}, "self_qkv_bias is True with mixer 'gated_retention'"),
        (SLIDING, {"mixer": "swa"}, "mixer is 'swa': it must be one of sliding_window, gated_"),
        (SLIDING, {"norm_eps": 0}, "norm_eps is 0: it must be a positive, finite number"),
        (SLIDING, {"norm_eps": float("nan")}, "norm_eps is nan: it must be a positive, finite"),
        (SLIDING, {"norm_eps": "1e-5"}, "norm_eps is '1e-5': it must be a positive, finite"),
        (SLIDING, {"cross_q_norm": None}, "cross_q_norm is None: it must be true or false"),
        (SLIDING, {"cross_rope": {"theta": 1.0}}, "cross_rope is {'theta': 1.0}: it must be a"),
        (SLIDING, {"max_length": 0}, "max_length is 0: it must be a positive integer or None"),
        (SLIDING, {"bos_token_id": 128}, "bos_token_id is 128: it must be None or an integer"),
        (SLIDING, {"eos_token_id": [1, 128]}, "eos_token_id is [1, 128]: it must be None or an"),
        (SLIDING, {"eos_token_id": [True]}, "eos_token_id is [True]: it must be None or an"),
        (SLIDING, {"eos_token_id": "2"}, "eos_token_id is '2': it must be None or an integer"),
    ],
)
def test_refusals(base, changes, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        dataclasses.replace(base, **changes)
    assert "\n" not in str(error.value)


def test_rope_refusals():
    with pytest.raises(ValueError, match="theta is -1: it must be a positive, finite number"):
        RopeConfig(theta=-1)
    with pytest.raises(ValueError, match="spacing is 'hf': it must be one of yoco, fla"):
        RopeConfig(theta=1.0, spacing="hf")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="interleaved is 1: it must be true or false"):
        RopeConfig(theta=1.0, interleaved=1)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_self_head": 4}, "config has the unknown key 'n_self_head': did you mean 'n_self_hea"),
        ({"zzz": 4}, "config has the unknown key 'zzz': known keys are bos_token_id, "),
        ({"self_rope": {"thta": 1.0}}, "self_rope has the unknown key 'thta': did you mean 'thet"),
        ({"self_rope": {}}, "self_rope lacks the key 'theta': add it"),
        ({"self_rope": 1.0}, "self_rope is 1.0: it must be an object with the key 'theta'"),
    ],
)
def test_from_dict_refusals(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        YOCOConfig.from_dict(SLIDING.to_dict() | changes)


def test_from_dict_names_the_missing_key():
    values = SLIDING.to_dict()
    del values["sliding_window"]
    with pytest.raises(ValueError, match="config lacks the key 'sliding_window': add it"):
        YOCOConfig.from_dict(values)
