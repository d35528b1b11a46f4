import dataclasses
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import PreTrainedConfig

from yoco.checkpoints import (
    check_tensors,
    checkpoint_sha256,
    convert,
    expected_shapes,
    load_weights,
    read_checkpoint,
    write_checkpoint,
    writing,
)
from yoco.checkpoints.fla import config_from_fla, config_to_fla, fla_name
from yoco.config import RopeConfig, YOCOConfig

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"
OFFICIAL_ROPE = RopeConfig(theta=10000.0)
FLA_SELF_ROPE = RopeConfig(theta=5000.0, spacing="fla", interleaved=False)

OFFICIAL_SWA = YOCOConfig(
    vocab_size=32,
    dim=16,
    hidden_dim=24,
    n_self_layers=2,
    n_cross_layers=2,
    n_self_heads=4,
    n_self_kv_heads=4,
    n_attn_heads=4,
    n_attn_kv_heads=2,
    mixer="sliding_window",
    sliding_window=8,
    norm_eps=1e-5,
    self_rope=OFFICIAL_ROPE,
    cross_rope=OFFICIAL_ROPE,
)
OFFICIAL_GRET = dataclasses.replace(
    OFFICIAL_SWA, mixer="gated_retention", sliding_window=None, n_self_heads=2, n_self_kv_heads=2
)
FLA_GRET = dataclasses.replace(
    OFFICIAL_GRET,
    n_self_layers=1,
    n_cross_layers=3,
    self_rope=RopeConfig(theta=640e3, spacing="fla"),
    gate_logit_normalizer=8.0,
    tie_word_embeddings=True,
    max_length=4096,
)
FLA_SWA = dataclasses.replace(
    OFFICIAL_SWA,
    n_self_layers=3,
    n_self_kv_heads=2,
    self_rope=FLA_SELF_ROPE,
    self_qkv_bias=True,
    cross_qkv_bias=True,
    cross_q_norm=True,
    max_length=4096,
    bos_token_id=1,
    eos_token_id=2,
)
FIXED_SHA256 = "4f647a75c2558b50c8fbfcf0352238b7acff2102fa086f083388c4ca6db16b85"
CONFIGS = {
    "official_swa": OFFICIAL_SWA,
    "official_gret": OFFICIAL_GRET,
    "fla_gret": FLA_GRET,
    "fla_swa": FLA_SWA,
}
WRITTEN_FORMAT = {
    "official_swa": "native",
    "official_gret": "fla",
    "fla_gret": "fla",
    "fla_swa": "fla",
}


def random_tensors(config, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(shape, generator=generator).to(dtype)
        for name, shape in expected_shapes(config).items()
    }


def assert_identical(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name


def params_of(config):
    return {
        "dim": config.dim,
        "n_layers": config.n_self_layers + config.n_cross_layers,
        "hidden_dim": config.hidden_dim,
        "n_self_heads": config.n_self_heads,
        "n_attn_heads": config.n_attn_heads,
        "n_attn_kv_heads": config.n_attn_kv_heads,
        "vocab_size": config.vocab_size,
        "rope_theta": config.self_rope.theta,
        "norm_eps": config.norm_eps,
        "sliding_window": config.sliding_window,
    }


def write_official(folder, config, tensors, **changes):
    folder.mkdir(exist_ok=True)
    (folder / "params.json").write_text(json.dumps(params_of(config) | changes))
    torch.save(tensors, folder / "checkpoint.pth")
    return folder


def fla_values(config):
    values = config_to_fla(config)
    assert values is not None
    return values


def write_fla_config(folder, config, nested=None, **changes):
    values = fla_values(config) | changes
    for key, value in (nested or {}).items():
        values[key] = values[key] | value
    (folder / "config.json").write_text(json.dumps(values))


def write_shards(folder, tensors, suffix="safetensors", num_shards=3):
    weights = {fla_name(name): tensor for name, tensor in tensors.items()}
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    weight_map = {}
    for i in range(num_shards):
        file = f"{stem}-{i + 1:05}-of-{num_shards:05}.{suffix}"
        part = dict(list(weights.items())[i::num_shards])
        if suffix == "safetensors":
            save_file(part, folder / file)
        else:
            torch.save(part, folder / file)
        weight_map |= dict.fromkeys(part, file)
    index = folder / f"{stem}.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": weight_map}))
    return index


@pytest.fixture
def fla_folder(tmp_path):
    folder = tmp_path / "fla"
    assert write_checkpoint(folder, FLA_SWA, random_tensors(FLA_SWA)) == "fla"
    return folder


@pytest.fixture
def official_folder(tmp_path):
    return write_official(tmp_path / "official", OFFICIAL_SWA, random_tensors(OFFICIAL_SWA))


def assert_refused(folder, message, error_type: type[Exception] = ValueError):
    with pytest.raises(error_type, match=re.escape(message)) as error:
        read_checkpoint(folder)
    assert "\n" not in str(error.value)
    assert folder.name in str(error.value)


# Round trips


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_write_and_read_is_bit_identical(tmp_path, name, dtype):
    config, tensors = CONFIGS[name], random_tensors(CONFIGS[name], dtype)
    assert write_checkpoint(tmp_path / "out", config, tensors) == WRITTEN_FORMAT[name]
    found = read_checkpoint(tmp_path / "out")
    assert (found.config, found.format) == (config, WRITTEN_FORMAT[name])
    assert [file.name for file in found.files] == ["config.json", "model.safetensors"]
    assert_identical(found.tensors, tensors)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]


@pytest.mark.parametrize("config", [OFFICIAL_SWA, OFFICIAL_GRET], ids=["swa", "gret"])
def test_official_folder(tmp_path, config):
    tensors = random_tensors(config, torch.float16)
    found = read_checkpoint(write_official(tmp_path / "in", config, tensors))
    assert (found.config, found.format) == (config, "official")
    assert [file.name for file in found.files] == ["params.json", "checkpoint.pth"]
    assert_identical(found.tensors, tensors)


def test_official_defaults_and_other_arguments(tmp_path):
    tensors = random_tensors(OFFICIAL_GRET)
    folder = write_official(tmp_path / "in", OFFICIAL_GRET, tensors)
    params = params_of(OFFICIAL_GRET)
    for key in ("rope_theta", "norm_eps", "sliding_window"):
        del params[key]
    extra = {"max_batch_size": 4, "model_parallel_size": 1, "load_checkpoint": True}
    for max_seq_len, max_length in ((-1, None), (0, None), (8192, 8192)):
        values = {**params, **extra, "max_seq_len": max_seq_len}
        (folder / "params.json").write_text(json.dumps(values))
        expected = dataclasses.replace(OFFICIAL_GRET, max_length=max_length)
        assert read_checkpoint(folder).config == expected


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_sharded(tmp_path, suffix):
    tensors = random_tensors(FLA_SWA)
    write_fla_config(tmp_path, FLA_SWA)
    write_shards(tmp_path, tensors, suffix)
    found = read_checkpoint(tmp_path)
    assert (found.config, found.format) == (FLA_SWA, "fla")
    assert len(found.files) == 1 + 1 + 3
    assert_identical(found.tensors, tensors)


def test_single_bin_with_the_tied_head_in_it(tmp_path):
    tensors = random_tensors(FLA_GRET)
    write_fla_config(tmp_path, FLA_GRET)
    weights = {fla_name(name): tensor for name, tensor in tensors.items()}
    weights["lm_head.weight"] = weights["model.embeddings.weight"]
    torch.save(weights, tmp_path / "pytorch_model.bin")
    assert_identical(read_checkpoint(tmp_path).tensors, tensors)

    weights["lm_head.weight"] = weights["lm_head.weight"] + 1
    torch.save(weights, tmp_path / "pytorch_model.bin")
    assert_refused(tmp_path, "lm_head.weight is not model.embeddings.weight though tie_word_emb")
    weights["lm_head.weight"] = weights["model.embeddings.weight"].half()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    assert_refused(tmp_path, "lm_head.weight is not model.embeddings.weight though tie_word_emb")


@pytest.mark.parametrize("names", [{"head"}, {"embeddings"}, {"head", "embeddings"}])
@pytest.mark.parametrize("prefix", ["model.", ""], ids=["whole", "without head"])
def test_tied_weights_under_either_name(tmp_path, names, prefix):
    tensors = random_tensors(FLA_GRET)
    write_fla_config(tmp_path, FLA_GRET)
    weights = {fla_name(name).replace("model.", prefix): tensor for name, tensor in tensors.items()}
    matrix = weights[f"{prefix}embeddings.weight"]
    if "head" in names:
        weights["lm_head.weight"] = matrix.clone()
    if "embeddings" not in names and prefix:
        del weights[f"{prefix}embeddings.weight"]
    # as saved without transformers: no entry "format"
    save_file(weights, tmp_path / "model.safetensors")
    checkpoint = read_checkpoint(tmp_path)
    assert_identical(checkpoint.tensors, tensors)
    assert set(checkpoint.stored_names.values()) == {
        fla_name(name).replace("model.", prefix) for name in tensors
    }


def test_tied_weights_that_are_nan_are_equal(tmp_path):
    tensors = random_tensors(FLA_GRET)
    tensors["embed_tokens.weight"][0, 0] = float("nan")
    write_fla_config(tmp_path, FLA_GRET)
    weights = {fla_name(name): tensor for name, tensor in tensors.items()}
    weights["lm_head.weight"] = weights["model.embeddings.weight"].clone()
    save_file(weights, tmp_path / "model.safetensors")
    checkpoint = read_checkpoint(tmp_path)
    with pytest.raises(ValueError, match=r"in 1 tensor \(model.embeddings.weight: 1\): no score"):
        load_weights(checkpoint, CPU, torch.float32, allow_nonfinite=False)


def test_hash_is_of_the_content_whatever_the_format(tmp_path):
    tensors = random_tensors(OFFICIAL_GRET, torch.bfloat16)
    official = write_official(tmp_path / "official", OFFICIAL_GRET, tensors)
    assert convert(official, tmp_path / "fla") == "fla"
    sharded = tmp_path / "sharded"
    sharded.mkdir()
    write_fla_config(sharded, OFFICIAL_GRET)
    write_shards(sharded, tensors)
    hashes = {checkpoint_sha256(folder) for folder in (official, tmp_path / "fla", sharded)}
    assert len(hashes) == 1

    tensors["layer_norm.weight"][-1] += 1
    changed = write_official(tmp_path / "weight", OFFICIAL_GRET, tensors)
    hashes.add(checkpoint_sha256(changed))
    hashes.add(checkpoint_sha256(write_official(changed, OFFICIAL_GRET, tensors, norm_eps=1e-6)))
    assert len(hashes) == 3


def test_hash_of_a_fixed_checkpoint_stays(tmp_path):
    tensors = {name: torch.ones(shape) for name, shape in expected_shapes(OFFICIAL_SWA).items()}
    write_checkpoint(tmp_path / "out", OFFICIAL_SWA, tensors)
    assert checkpoint_sha256(tmp_path / "out") == FIXED_SHA256


def test_tensors_are_mapped_and_private(fla_folder, official_folder):
    for folder in (fla_folder, official_folder):
        first = read_checkpoint(folder).tensors["layer_norm.weight"]
        before = first.clone()
        first.zero_()
        assert torch.equal(read_checkpoint(folder).tensors["layer_norm.weight"], before)


def test_write_takes_views_of_a_bigger_storage(tmp_path):
    tensors = random_tensors(OFFICIAL_SWA)
    joint = torch.randn(3, 16, 16)
    for i, side in enumerate("qkv"):
        tensors[f"self_decoder.layers.0.mixer.{side}_proj.weight"] = joint[i].T
    write_checkpoint(tmp_path / "out", OFFICIAL_SWA, tensors)
    assert_identical(read_checkpoint(tmp_path / "out").tensors, tensors)
    weights = write_official(tmp_path / "official", OFFICIAL_SWA, tensors)
    convert(weights, tmp_path / "converted")
    assert_identical(read_checkpoint(tmp_path / "converted").tensors, tensors)


# What is written


def test_config_written_for_fla_has_every_key_that_fla_knows(fla_folder):
    values = json.loads((fla_folder / "config.json").read_text())
    assert values["model_type"] == "yoco"
    assert values["architectures"] == ["YOCOForCausalLM"]
    assert values["self_decoder_attn"] == {
        "type": "swa",
        "mode": "chunk",
        "use_gate": True,
        "expand_v": 2.0,
        "use_short_conv": True,
        "allow_neg_eigval": False,
        "conv_size": 4,
        "head_dim": 256,
        "num_heads": 4,
        "num_v_heads": 2,
        "window_size": 8,
        "qkv_bias": True,
        "rope_theta": 5000.0,
        "rope_inv_freq": "fla",
        "gate_logit_normalizer": 16.0,
    }
    assert values["cross_decoder_attn"] == {
        "num_heads": 4,
        "num_kv_heads": 2,
        "qkv_bias": True,
        "qk_norm": True,
        "rope_theta": 10000.0,
        "rope_inv_freq": "yoco",
    }
    assert (values["num_hidden_layers"], values["num_self_decoder_layers"]) == (5, 3)
    assert (values["hidden_size"], values["intermediate_size"]) == (16, 24)


def test_names_written_for_fla(fla_folder):
    tensors = load_file(fla_folder / "model.safetensors")
    expected = random_tensors(FLA_SWA)
    for stored, canonical in {
        "model.embeddings.weight": "embed_tokens.weight",
        "lm_head.weight": "output_projection.weight",
        "model.norm.weight": "layer_norm.weight",
        "model.self_layers.2.attn.q_proj.bias": "self_decoder.layers.2.mixer.q_proj.bias",
        "model.self_layers.0.attn.o_proj.weight": "self_decoder.layers.0.mixer.out_proj.weight",
        "model.self_layers.1.mlp.gate_proj.weight": "self_decoder.layers.1.ffn.fc1.weight",
        "model.self_layers.1.mlp.up_proj.weight": "self_decoder.layers.1.ffn.gate.weight",
        "model.self_layers.1.mlp.down_proj.weight": "self_decoder.layers.1.ffn.fc2.weight",
        "model.shared_kv_builder.kv_norm.weight": "cross_decoder.kv_layer_norm.weight",
        "model.shared_kv_builder.k_proj.bias": "cross_decoder.k_proj.bias",
        "model.cross_layers.1.attn.q_norm.weight": "cross_decoder.layers.1.mixer.q_norm.weight",
        "model.cross_layers.1.attn.q_proj.bias": "cross_decoder.layers.1.mixer.q_proj.bias",
        "model.cross_layers.0.attn_norm.weight": "cross_decoder.layers.0.mixer_layer_norm.weight",
        "model.cross_layers.0.mlp_norm.weight": "cross_decoder.layers.0.final_layer_norm.weight",
    }.items():
        assert torch.equal(tensors[stored], expected[canonical]), stored
    with safe_open(fla_folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize("name", CONFIGS)
def test_fla_names_are_distinct(name):
    names = expected_shapes(CONFIGS[name])
    assert len({fla_name(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        (OFFICIAL_SWA, {}),
        (FLA_SWA, {"self_rope": dataclasses.replace(FLA_SELF_ROPE, interleaved=True)}),
        (FLA_SWA, {"self_rope": dataclasses.replace(FLA_SELF_ROPE, spacing="yoco")}),
        (FLA_SWA, {"cross_rope": dataclasses.replace(OFFICIAL_ROPE, interleaved=False)}),
        (FLA_GRET, {"self_rope": dataclasses.replace(OFFICIAL_ROPE, interleaved=False)}),
    ],
)
def test_what_fla_cannot_express_is_written_in_our_own_format(tmp_path, base, changes):
    config = dataclasses.replace(base, **changes)
    assert write_checkpoint(tmp_path, config, random_tensors(config)) == "native"
    values = json.loads((tmp_path / "config.json").read_text())
    assert values["yoco_evals_format"] == 1
    # what fla and transformers would load it by
    assert "model_type" not in values
    assert read_checkpoint(tmp_path).config == config


def test_write_refusals(tmp_path, official_folder):
    tensors = random_tensors(FLA_SWA)
    write_checkpoint(tmp_path / "out", FLA_SWA, tensors)
    with pytest.raises(ValueError, match=r"holds config\.json already: choose another"):
        write_checkpoint(tmp_path / "out", FLA_SWA, tensors)
    with pytest.raises(ValueError, match=r"holds params\.json already: choose another"):
        write_checkpoint(official_folder, FLA_SWA, tensors)
    with pytest.raises(ValueError, match="is a file: choose a folder"):
        write_checkpoint(official_folder / "params.json", FLA_SWA, tensors)
    with pytest.raises(ValueError, match="do not fit the config"):
        write_checkpoint(tmp_path / "unfit", FLA_GRET, tensors)
    assert not (tmp_path / "unfit").exists()


def test_a_failed_write_leaves_no_file(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr("yoco.checkpoints.writing.save_file", fail)
    with pytest.raises(OSError, match="no space left"):
        write_checkpoint(tmp_path / "out", FLA_SWA, random_tensors(FLA_SWA))
    assert list((tmp_path / "out").iterdir()) == []


# Convert


def test_convert_brings_the_tokenizer_and_nothing_else(tmp_path, official_folder):
    for name in ("tokenizer.json", "generation_config.json", "chat_template.jinja", "notes.txt"):
        (official_folder / name).write_text(name)
    assert convert(official_folder, tmp_path / "deep" / "out") == "native"
    out = tmp_path / "deep" / "out"
    assert sorted(file.name for file in out.iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert (out / "tokenizer.json").read_text() == "tokenizer.json"
    assert list(out.parent.iterdir()) == [out]
    before, after = read_checkpoint(official_folder), read_checkpoint(out)
    assert before.config == after.config
    assert_identical(after.tensors, before.tensors)
    assert checkpoint_sha256(official_folder) == checkpoint_sha256(out)


def test_convert_into_an_empty_folder_only(tmp_path, official_folder):
    (tmp_path / "empty").mkdir()
    convert(official_folder, tmp_path / "empty")
    for taken in (tmp_path / "empty", official_folder, official_folder / "params.json"):
        with pytest.raises(ValueError, match="is not an empty folder: choose another or remove"):
            convert(official_folder, taken)


def test_a_failed_convert_leaves_nothing(tmp_path, official_folder, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("no space left")

    (official_folder / "tokenizer.json").write_text("{}")
    monkeypatch.setattr("yoco.checkpoints.writing.shutil.copyfile", fail)
    with pytest.raises(OSError, match="no space left"):
        convert(official_folder, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [official_folder]


def test_a_disk_that_is_full_is_found_before_writing(tmp_path, official_folder, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("yoco.checkpoints.writing.shutil.disk_usage", lambda folder: usage)
    with pytest.raises(OSError, match="has room for 1,000 bytes and the weights take"):
        convert(official_folder, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [official_folder]


def test_a_write_that_the_system_ends_is_one_line(tmp_path, official_folder):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # as a quota would
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match=r"cannot take the weights: .*File too large") as error:
            convert(official_folder, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == [official_folder]


def test_what_a_killed_convert_left_is_cleared(tmp_path, official_folder):
    program = (
        "import os, signal, sys\n"
        "from yoco.checkpoints import convert, writing\n"
        "def killed(*files):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "writing.os.replace = killed\n"
        "convert(*sys.argv[1:])\n"
    )
    out = tmp_path / "out"
    ended = subprocess.run([sys.executable, "-c", program, official_folder, out], cwd=REPOSITORY)
    assert ended.returncode == -signal.SIGKILL
    left = {official_folder, tmp_path / ".out.writing"}
    assert set(tmp_path.iterdir()) == left
    convert(official_folder, out)
    assert set(tmp_path.iterdir()) == {official_folder, out}


def test_two_converts_into_one_folder(tmp_path, official_folder):
    (tmp_path / ".out.writing").symlink_to(official_folder)
    with pytest.raises(OSError, match=r"out\.writing"):
        convert(official_folder, tmp_path / "out")
    (tmp_path / ".out.writing").unlink()
    assert read_checkpoint(official_folder).config == OFFICIAL_SWA
    with writing._unfinished(tmp_path / ".out.writing") as unfinished:
        (unfinished / "theirs").write_text("")
        with pytest.raises(ValueError, match="is in use: another process is writing there"):
            convert(official_folder, tmp_path / "out")
        assert (unfinished / "theirs").exists()


# Ends of a text


def test_every_end_of_a_text_is_read_and_written(tmp_path):
    config = dataclasses.replace(FLA_SWA, eos_token_id=(2, 5))
    assert write_checkpoint(tmp_path / "fla", config, random_tensors(config)) == "fla"
    values = json.loads((tmp_path / "fla" / "config.json").read_text())
    assert values["eos_token_id"] == [2, 5]
    assert read_checkpoint(tmp_path / "fla").config == config
    native = dataclasses.replace(OFFICIAL_SWA, eos_token_id=(2, 5))
    assert write_checkpoint(tmp_path / "own", native, random_tensors(native)) == "native"
    assert read_checkpoint(tmp_path / "own").config.eos_token_ids == (2, 5)


# Weights, read once


CPU = torch.device("cpu")


def test_weights_are_placed_and_hashed_as_stored(fla_folder, official_folder):
    for folder in (fla_folder, official_folder):
        checkpoint = read_checkpoint(folder)
        for dtype in (torch.float32, torch.bfloat16, torch.float64):
            weights = load_weights(checkpoint, CPU, dtype, allow_nonfinite=False)
            assert weights.sha256 == checkpoint_sha256(folder)
            expected = {name: tensor.to(dtype) for name, tensor in checkpoint.tensors.items()}
            assert_identical(weights.tensors, expected)


def test_pieces_join_without_a_seam(official_folder, monkeypatch):
    before = checkpoint_sha256(official_folder)
    monkeypatch.setattr("yoco.checkpoints.weights.PIECE", 7)
    checkpoint = read_checkpoint(official_folder)
    weights = load_weights(checkpoint, CPU, torch.float32, allow_nonfinite=False)
    assert weights.sha256 == checkpoint_sha256(official_folder) == before
    assert_identical(weights.tensors, checkpoint.tensors)


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("fault", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_named(tmp_path, stored, fault):
    tensors = random_tensors(FLA_SWA, stored)
    tensors["output_projection.weight"][3, 5:8] = fault
    tensors["embed_tokens.weight"][0, 0] = fault
    write_checkpoint(tmp_path / "out", FLA_SWA, tensors)
    checkpoint = read_checkpoint(tmp_path / "out")
    message = "NaN or Inf in 2 tensors (model.embeddings.weight: 1, lm_head.weight: 3)"
    for dtype in (torch.float32, torch.float16):
        with pytest.raises(ValueError, match=re.escape(message)) as error:
            load_weights(checkpoint, CPU, dtype, allow_nonfinite=False)
        assert "allow_nonfinite=true" in str(error.value) and "\n" not in str(error.value)
    weights = load_weights(checkpoint, CPU, torch.float32, allow_nonfinite=True)
    assert not weights.tensors["embed_tokens.weight"].isfinite().all()
    assert weights.sha256 == checkpoint_sha256(tmp_path / "out")


def test_weights_too_large_for_the_dtype_are_refused(official_folder):
    tensors = random_tensors(OFFICIAL_SWA)
    tensors["layer_norm.weight"][2] = -65520.0
    torch.save(tensors, official_folder / "checkpoint.pth")
    checkpoint = read_checkpoint(official_folder)
    for dtype in (torch.float32, torch.bfloat16):
        load_weights(checkpoint, CPU, dtype, allow_nonfinite=False)
    message = r"beyond what float16 can say, up to 65504, in 1 tensor \(layer_norm.weight: 1\): use"
    with pytest.raises(ValueError, match=message):
        load_weights(checkpoint, CPU, torch.float16, allow_nonfinite=False)


# fla's rules


def test_fla_intermediate_size_rule():
    values = fla_values(FLA_SWA)
    for width, ratio, expected in ((16, 4, 256), (96, 4, 256), (104, 4, 512), (104, None, 512)):
        rule = {"hidden_size": width, "hidden_ratio": ratio, "intermediate_size": None}
        assert config_from_fla(values | rule).hidden_dim == expected


def test_fla_keys_left_out_mean_its_defaults():
    config = config_from_fla(
        {
            "model_type": "yoco",
            "hidden_size": 1536,
            "self_decoder_attn": {"type": "swa", "window_size": 64},
        }
    )
    assert config == YOCOConfig(
        vocab_size=32000,
        dim=1536,
        hidden_dim=4096,
        n_self_layers=10,
        n_cross_layers=11,
        n_self_heads=6,
        n_self_kv_heads=6,
        n_attn_heads=32,
        n_attn_kv_heads=32,
        mixer="sliding_window",
        sliding_window=64,
        norm_eps=1e-6,
        self_rope=RopeConfig(theta=10000.0, spacing="fla", interleaved=False),
        cross_rope=RopeConfig(theta=10000.0, spacing="fla"),
        max_length=2048,
        bos_token_id=1,
        eos_token_id=2,
    )


def test_fla_keys_without_effect_for_the_type():
    swa, gret = fla_values(FLA_SWA), fla_values(FLA_GRET)
    swa["self_decoder_attn"] |= {"rope_inv_freq": "yoco", "mode": "x", "head_dim": 7}
    swa["self_decoder_attn"] |= {"gate_logit_normalizer": 2.0, "expand_v": 1.0}
    gret["self_decoder_attn"] |= {"num_v_heads": 1, "window_size": 5, "qkv_bias": True}
    swa |= {"dtype": "bfloat16", "torch_dtype": "bfloat16", "transformers_version": "5.0.0"}
    swa |= {"pad_token_id": 3, "use_cache": False, "fuse_norm": False, "use_l2warp": True}
    assert config_from_fla(swa) == FLA_SWA
    assert config_from_fla(gret) == FLA_GRET


def test_keys_that_transformers_adds_change_nothing():
    class Theirs(PreTrainedConfig):
        model_type = "yoco"

    values = {key: value for key, value in fla_values(FLA_SWA).items() if key != "model_type"}
    values |= {"dtype": "bfloat16", "temperature": 0.5, "num_labels": 3}
    values |= {"tokenizer_class": "T", "auto_map": {"AutoConfig": "configuration_yoco.YOCOConfig"}}
    theirs = Theirs(**values)
    assert config_from_fla(theirs.to_dict()) == FLA_SWA
    assert config_from_fla(json.loads(theirs.to_json_string())) == FLA_SWA
    older = {"use_return_dict": True, "_commit_hash": None, "attn_implementation": "sdpa"}
    older |= {"top_k": 50, "max_length": 20, "tf_legacy_loss": False, "quantization_config": None}
    assert config_from_fla(fla_values(FLA_SWA) | older) == FLA_SWA


def test_null_is_no_option():
    values: dict[str, Any] = fla_values(FLA_GRET) | {"tie_word_embeddings": None}
    for part, keys in {
        "self_decoder_attn": ("qkv_bias", "num_v_heads"),
        "cross_decoder_attn": ("qkv_bias", "qk_norm"),
    }.items():
        values[part] = values[part] | dict.fromkeys(keys)
    assert config_from_fla(values) == dataclasses.replace(FLA_GRET, tie_word_embeddings=False)


@pytest.mark.parametrize(
    ("nested", "changes", "message"),
    [
        ({"self_decoder_attn": {"type": "gated_deltanet"}}, {}, "type is 'gated_deltanet'"),
        ({}, {"self_decoder_attn": None}, "self_decoder_attn type is 'gated_deltanet'"),
        ({}, {"attnres_block_size": 2}, "attnres_block_size is 2: attention residuals are not"),
        ({}, {"hidden_act": "powlu"}, "hidden_act is 'powlu': only 'swish' is supported"),
        ({}, {"num_self_decoder_layers": 5}, "a model without a cross-decoder is not supported"),
        ({}, {"num_hidden_layers": "5"}, "num_hidden_layers is '5', num_self_decoder_layers 3"),
        ({}, {"universal_loop": 2}, "the keys universal_loop are those of another YOCO project"),
        ({}, {"d_model": 8, "kv_head": 2}, "the keys d_model, kv_head are those of another YOCO"),
        ({}, {"hidden_sise": 8}, "unknown key 'hidden_sise': did you mean 'hidden_size'?"),
        ({}, {"quantization_config": {}}, "quantization_config is {}: quantized weights are not"),
        ({}, {"cross_decoder_attn": 3}, "cross_decoder_attn is 3: it must be an object"),
        ({}, {"model_type": "llama"}, "model_type is 'llama': it must be 'yoco'"),
        (
            {},
            {"eos_token_id": [1, 32]},
            "eos_token_id is [1, 32]: it must be None or an integer of",
        ),
        ({}, {"hidden_size": "x", "intermediate_size": None}, "hidden_size is 'x': it must be"),
        (
            {"self_decoder_attn": {"num_kv_heads": 2}},
            {},
            "self_decoder_attn has the unknown key 'num_kv_heads': did you mean 'num_v_heads'?",
        ),
        (
            {"cross_decoder_attn": {"window_size": 2}},
            {},
            "cross_decoder_attn has the unknown key 'window_size': known keys are num_heads, ",
        ),
        (
            {"self_decoder_attn": {"window_size": None}},
            {},
            "sliding_window is None with mixer 'sliding_window': it must be a positive integer",
        ),
        (
            {"cross_decoder_attn": {"rope_inv_freq": "hf"}},
            {},
            "spacing is 'hf': it must be one of yoco, fla",
        ),
    ],
)
def test_fla_config_refusals(fla_folder, nested, changes, message):
    write_fla_config(fla_folder, FLA_SWA, nested, **changes)
    assert_refused(fla_folder, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_head": 4}, "has the unknown key 'n_head': did you mean"),
        ({"ffn_dim_multiplier": 1.3}, "has the unknown key 'ffn_dim_multiplier'"),
        ({"model_parallel_size": 2}, "model_parallel_size is 2: only 1 is supported"),
        ({"n_layers": 5}, "n_layers is 5: it must be even and positive"),
        ({"n_layers": 0}, "n_layers is 0: it must be even and positive"),
        ({"n_attn_kv_heads": None}, "n_attn_kv_heads is None: it must be a positive integer"),
        ({"max_seq_len": "8K"}, "max_length is '8K': it must be a positive integer or None"),
    ],
)
def test_official_params_refusals(tmp_path, changes, message):
    tensors = random_tensors(OFFICIAL_SWA)
    assert_refused(write_official(tmp_path / "in", OFFICIAL_SWA, tensors, **changes), message)


def test_official_missing_key(official_folder):
    params = params_of(OFFICIAL_SWA)
    del params["hidden_dim"]
    (official_folder / "params.json").write_text(json.dumps(params))
    assert_refused(official_folder, "lacks the key 'hidden_dim': add it")


def test_native_refusals(tmp_path):
    write_checkpoint(tmp_path, OFFICIAL_SWA, random_tensors(OFFICIAL_SWA))
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"yoco_evals_format": 2}))
    assert_refused(tmp_path, "yoco_evals_format is 2: this release reads 1")
    (tmp_path / "config.json").write_text(json.dumps(values | {"hiden_dim": 2}))
    assert_refused(tmp_path, "unknown key 'hiden_dim': did you mean 'hidden_dim'?")


# Folders and files


def test_missing_folders_and_files(tmp_path, fla_folder, official_folder):
    assert_refused(tmp_path / "nowhere", "no such folder", FileNotFoundError)
    (tmp_path / "empty").mkdir()
    assert_refused(tmp_path / "empty", "holds no checkpoint: it must have", FileNotFoundError)
    with pytest.raises(ValueError, match=r"checkpoint\.pth is a file: give the folder"):
        read_checkpoint(official_folder / "checkpoint.pth")
    (official_folder / "checkpoint.pth").unlink()
    assert_refused(official_folder, "lacks the file checkpoint.pth: add it", FileNotFoundError)
    (fla_folder / "model.safetensors").unlink()
    assert_refused(fla_folder, "holds no weights: add one of model.safet", FileNotFoundError)


def test_two_formats_in_one_folder(fla_folder):
    write_official(fla_folder, OFFICIAL_SWA, random_tensors(OFFICIAL_SWA))
    assert_refused(fla_folder, "holds both params.json and config.json: leave one of them")


def test_one_file_and_shards_in_one_folder(fla_folder):
    write_shards(fla_folder, random_tensors(FLA_SWA))
    assert_refused(fla_folder, "holds both model.safetensors and model.safetensors.index.json")


@pytest.mark.parametrize("kept_bytes", [0, 7, 1000, -1])
def test_truncated_weights(fla_folder, official_folder, kept_bytes):
    for path in (fla_folder / "model.safetensors", official_folder / "checkpoint.pth"):
        path.write_bytes(path.read_bytes()[:kept_bytes])
    assert_refused(fla_folder, "model.safetensors is not safetensors, or cut short")
    assert_refused(official_folder, "checkpoint.pth: not a state dict in torch's zip format, or")


@pytest.mark.parametrize("text", ["", '{"dim": 1', "\xff"])
def test_truncated_config(fla_folder, official_folder, text):
    for path in (fla_folder / "config.json", official_folder / "params.json"):
        path.write_bytes(text.encode("latin-1"))
        assert_refused(path.parent, f"{path.name} is not JSON, or cut short")
        path.write_text("[1]")
        assert_refused(path.parent, f"{path.name} holds a list: it must be a JSON object")


def test_pth_that_is_no_bare_state_dict(official_folder):
    path = official_folder / "checkpoint.pth"
    torch.save({"model": random_tensors(OFFICIAL_SWA)}, path)
    assert_refused(official_folder, "holds a dict under 'model': it must be a bare state dict")
    torch.save([1], path)
    assert_refused(official_folder, "holds a list: it must be a bare state dict")
    torch.save({"a": Path("x")}, path)
    assert_refused(official_folder, "checkpoint.pth: holds pathlib.PosixPath, which is no tensor")
    torch.save(random_tensors(OFFICIAL_SWA), path, _use_new_zipfile_serialization=False)
    assert_refused(official_folder, "checkpoint.pth: not a state dict in torch's zip format, or")


def test_damaged_shards(tmp_path):
    write_fla_config(tmp_path, FLA_SWA)
    index = write_shards(tmp_path, random_tensors(FLA_SWA))
    values = json.loads(index.read_text())
    shard_of = values["weight_map"]

    def state(weight_map):
        index.write_text(json.dumps({"weight_map": weight_map}))

    state(shard_of | {"lm_head.bias": "model-00001-of-00003.safetensors"})
    assert_refused(tmp_path, "model-00001-of-00003.safetensors lacks lm_head.bias (1 such tensor")
    state({name: file for name, file in shard_of.items() if name != "lm_head.weight"})
    assert_refused(tmp_path, "holds, against the index, lm_head.weight (1 such tensors)")
    state({"lm_head.weight": "../model.safetensors"})
    assert_refused(tmp_path, "names the shard '../model.safetensors': it must be a file next to")
    state(["model-00001-of-00003.safetensors"])
    assert_refused(tmp_path, "lacks 'weight_map', from names of tensors to names of files")
    state(shard_of)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    assert_refused(tmp_path, "lacks the file model-00002-of-00003.safetensors", FileNotFoundError)


# Hostile files


def payload(function, *arguments):
    class Payload:
        def __reduce__(self):
            return function, arguments

    return Payload()


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        (lambda x: payload(bytearray, 10**12), "holds __builtin__.bytearray, which is no tensor"),
        (lambda x: payload(os.mkdir, "code-was-run"), "holds posix.mkdir, which is no tensor: sav"),
        (lambda x: {1, 2}, "holds __builtin__.set, which is no tensor: save it anew"),
        (lambda x: x.to("meta"), "holds a tensor without values (meta) under 'layer_norm.weight'"),
        (lambda x: x.to_sparse(), "holds a sparse tensor under 'layer_norm.weight'"),
        (lambda x: torch.ones(1).expand(16), "holds a tensor of more elements than are stored"),
        (lambda x: x.to(torch.complex64), "1 of an unsupported dtype (layer_norm.weight complex64"),
        (lambda x: x.to(torch.float8_e4m3fn), "1 of an unsupported dtype (layer_norm.weight flo"),
    ],
)
def test_a_state_dict_holds_dense_tensors_only(
    official_folder, monkeypatch, tmp_path, spoilt, message
):
    monkeypatch.chdir(tmp_path)
    tensors = random_tensors(OFFICIAL_SWA)
    tensors["layer_norm.weight"] = spoilt(tensors["layer_norm.weight"])
    torch.save(tensors, official_folder / "checkpoint.pth")
    assert_refused(official_folder, message)
    assert not Path("code-was-run").exists()


@pytest.mark.parametrize("key", [5, ("a", 1)])
def test_names_of_tensors_are_texts(official_folder, key):
    torch.save({key: torch.ones(1)}, official_folder / "checkpoint.pth")
    assert_refused(official_folder, f"holds a Tensor under {key!r}: it must be a bare state dict")


def test_parameters_are_read_as_tensors(official_folder):
    tensors = random_tensors(OFFICIAL_SWA)
    parameters = {name: torch.nn.Parameter(tensor) for name, tensor in tensors.items()}
    before = checkpoint_sha256(official_folder)
    torch.save(parameters, official_folder / "checkpoint.pth")
    assert_identical(read_checkpoint(official_folder).tensors, tensors)
    assert checkpoint_sha256(official_folder) == before


def test_torch_is_not_quoted_on_how_to_run_what_a_file_holds(official_folder):
    torch.save(random_tensors(OFFICIAL_SWA), official_folder / "checkpoint.pth", pickle_protocol=4)
    with pytest.warns(UserWarning, match="pickle protocol 4"), pytest.raises(ValueError) as error:
        read_checkpoint(official_folder)
    assert "its pickle is damaged, or holds something else than tensors" in str(error.value)
    assert "weights_only" not in str(error.value)


def test_a_pickle_is_neither_compressed_nor_long(official_folder):
    path = official_folder / "checkpoint.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 24))
    assert_refused(official_folder, "holds a compressed pickle: save it anew with torch.save")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 22))
    assert_refused(official_folder, "holds a pickle of 4,194,304 bytes, at most 2,097,152 are read")


@pytest.mark.parametrize("name", ["\x1b[2J" + "n" * 150_000, "a\nb", "\ud800", "\u202e"])
def test_names_are_printable_and_short_in_messages(official_folder, name):
    tensors = random_tensors(OFFICIAL_SWA) | {name: torch.ones(1)}
    torch.save(tensors, official_folder / "checkpoint.pth")
    with pytest.raises(ValueError, match=r"1 unexpected \('") as error:
        read_checkpoint(official_folder)
    assert str(error.value).isprintable() and len(str(error.value)) < 400


@pytest.mark.parametrize("kind", ["folder", "FIFO", "link to itself", "/dev/zero"])
def test_what_is_no_file_is_not_read(official_folder, fla_folder, kind):
    for path in (
        *(official_folder / "checkpoint.pth", official_folder / "params.json"),
        *(fla_folder / "model.safetensors", fla_folder / "config.json"),
    ):
        path.unlink()
        match kind:
            case "folder":
                path.mkdir()
            case "FIFO":
                os.mkfifo(path)
            case "link to itself":
                path.symlink_to(path.name)
            case device:
                path.symlink_to(device)
        found = {"folder": "a folder", "link to itself": "a link that leads nowhere"}
        found = found.get(kind, "a pipe, socket or device")
        assert_refused(path.parent, f"{path.name} is {found}: it must be a file")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "params.json is nested too deeply to be a config or an index"),
        (" " * (17 << 20), "params.json holds more than 16,777,216 bytes"),
        ('{"dim": 1%s}' % ("0" * 5000), "params.json is not JSON, or cut short: Exceeds the limit"),
    ],
    ids=["nested", "large", "5,000 digits"],
)
def test_json_beyond_any_config(official_folder, text, message):
    (official_folder / "params.json").write_text(text)
    assert_refused(official_folder, message)


@pytest.mark.parametrize("value", [10**9, 10**399, -1, True, [[1]], {"a": 1}, "\x1b[2J" * 1000])
@pytest.mark.parametrize("key", list(params_of(OFFICIAL_SWA)))
def test_any_value_of_params_ends_at_once(official_folder, key, value):
    values = params_of(OFFICIAL_SWA) | {key: value}
    (official_folder / "params.json").write_text(json.dumps(values))
    fits = {"rope_theta": 10**9, "norm_eps": 10**9, "sliding_window": 10**9}
    if fits.get(key) == value:
        read_checkpoint(official_folder)
        return
    with pytest.raises(ValueError) as error:
        read_checkpoint(official_folder)
    assert str(error.value).isprintable() and len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("nested", "changes", "message"),
    [
        ({}, {"num_hidden_layers": 10**9}, "n_cross_layers is 999999997: it must be a positive i"),
        ({"self_decoder_attn": {"type": ["swa"]}}, {}, "self_decoder_attn type is ['swa']: suppo"),
        ({"self_decoder_attn": {"rope_theta": 10**399}}, {}, "it must be a positive, finite numb"),
        ({}, {"hidden_ratio": 10**399, "intermediate_size": None}, "it must be a positive number"),
        ({}, {"hidden_size": float("nan"), "intermediate_size": None}, "hidden_size is nan: it m"),
    ],
)
def test_fla_values_beyond_any_model(fla_folder, nested, changes, message):
    write_fla_config(fla_folder, FLA_SWA, nested, **changes)
    assert_refused(fla_folder, message)


@pytest.mark.parametrize("shard", ["", "..", "a\0b", "x" * 5000, "/dev/zero", "\x1b[2J"])
def test_odd_names_of_shards(fla_folder, shard):
    (fla_folder / "model.safetensors").unlink()
    index = fla_folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"lm_head.weight": shard}}))
    with pytest.raises(ValueError, match="it must be a file") as error:
        read_checkpoint(fla_folder)
    assert str(error.value).isprintable() and len(str(error.value)) < 400


# Tensors


def test_faults_are_named_as_the_files_name_them(fla_folder):
    tensors = load_file(fla_folder / "model.safetensors")
    del tensors["lm_head.weight"]
    for i in range(5):
        tensors[f"model.self_layers.{i}.attn.extra"] = torch.ones(1)
    tensors["model.norm.weight"] = torch.ones(17)
    save_file(tensors, fla_folder / "model.safetensors")
    assert_refused(
        fla_folder,
        "tensors do not fit the config: 1 missing (lm_head.weight);"
        " 5 unexpected (model.self_layers.0.attn.extra, model.self_layers.1.attn.extra,"
        " model.self_layers.2.attn.extra, ...);"
        " 1 misshapen (model.norm.weight (17,) instead of (16,))",
    )


def test_faults_of_an_official_file(official_folder):
    tensors = random_tensors(OFFICIAL_SWA)
    del tensors["cross_decoder.k_proj.weight"]
    torch.save(tensors, official_folder / "checkpoint.pth")
    assert_refused(official_folder, "1 missing (cross_decoder.k_proj.weight)")


def test_check_tensors():
    tensors = {"a": torch.ones(2, 3), "b": torch.ones(1, dtype=torch.float16)}
    check_tensors(tensors, {"a": (2, 3), "b": (1,)})
    with pytest.raises(ValueError, match=r"1 misshapen \(a \(2, 3\) instead of \(3, 2\)\)$"):
        check_tensors(tensors, {"a": (3, 2), "b": (1,)})
    with pytest.raises(ValueError, match=r"1 of an unsupported dtype \(a int8\)$"):
        check_tensors({"a": torch.ones(2, dtype=torch.int8)}, {"a": (2,)})


# The golden files


@pytest.mark.parametrize(
    ("name", "format", "written"),
    [
        ("golden/official_swa", "official", "native"),
        ("golden/official_gret", "official", "fla"),
        ("golden/fla_swa", "fla", "fla"),
        ("golden/fla_gret", "fla", "fla"),
        ("prototype", "official", "native"),
    ],
)
def test_golden(tmp_path, name, format, written):
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"no folder shared/{name} beside the repository")
    before = read_checkpoint(folder)
    assert before.format == format
    assert convert(folder, tmp_path / "out") == written
    after = read_checkpoint(tmp_path / "out")
    assert after.config == before.config
    assert_identical(after.tensors, before.tensors)
    assert checkpoint_sha256(folder) == checkpoint_sha256(tmp_path / "out")


@pytest.mark.parametrize("name", ["fla_swa", "fla_gret"])
def test_config_written_equals_what_fla_wrote(name):
    path = SHARED / "golden" / name / "config.json"
    if not path.is_file():
        pytest.skip(f"no folder shared/golden/{name} beside the repository")
    theirs = json.loads(path.read_text())
    ours = fla_values(config_from_fla(theirs))
    # Of transformers; and a training option that this golden model was made without.
    for key in ("dtype", "transformers_version", "fuse_cross_entropy"):
        theirs.pop(key)
        ours.pop(key, None)
    assert ours == theirs
