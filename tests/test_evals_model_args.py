"""The arguments of a model: what each may be, from the command line's parsers and from programs."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import _yoco_lm_eval_bridge as bridge
import evals.backend
from evals.backend import YOCOLM
from evals.devices import _say_that_there_is_no_gpu, device_here
from evals.model_args import ModelArguments, task_metadata, tokenizer_path
from yoco.loading import EMBEDDED


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where weights are loaded."""

    def load(*_args: Any, **_kwargs: Any) -> None:
        raise AssertionError("the weights were loaded")

    monkeypatch.setattr(evals.backend.yoco, "load", load)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_length": "128K"}, 131_072),
        ({"max_length": "1M"}, 2**20),
        ({"max_length": 4096.0}, 4096),
        ({"chunk_size": "2048.0"}, 2048),
        ({"chunk_size": "4K"}, 4096),
        ({"batch_size": "auto"}, None),
        ({"batch_size": "auto:4"}, None),
        ({"batch_size": "8"}, 8),
        ({"batch_size": 8.0}, 8),
        ({"max_batch_size": "16.0"}, 16),
        ({"share": "False"}, False),
        ({"dtype": torch.bfloat16}, "bfloat16"),
        ({"device": torch.device("cuda", 1)}, "cuda:1"),
        # lm-eval's parser makes a number of a folder's name
        ({"pretrained": 7}, "7"),
        ({"pretrained": Path("a/b")}, "a/b"),
        ({"tokenizer": None}, None),
    ],
)
def test_values_of_all_parsers_are_read(given: dict[str, Any], expected: Any) -> None:
    (name,) = given
    assert getattr(ModelArguments.read({"pretrained": "demo", **given}), name) == expected


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtyp": "x"}, "unknown model argument 'dtyp': did you mean 'dtype'?"),
        ({"x\x1b[2J": 1}, "unknown model argument 'x\\x1b[2J': known are pretrained, "),
        ({"pretrained": None}, "no checkpoint given: add --model_args pretrained=PATH"),
        ({"pretrained": True}, "pretrained is True: it must be a path or a name"),
        ({"pretrained": ["demo"]}, "pretrained is ['demo']: it must be a path or a name"),
        ({"pretrained": ""}, "pretrained is '': it must be a path or a name"),
        ({"tokenizer": {"a": 1}}, "tokenizer is {'a': 1}: it must be a path or a name"),
        ({"dtype": 7}, "dtype is 7: it must be a name"),
        ({"dtype": "int8"}, "dtype is 'int8': it must be auto or one of float32"),
        ({"device": 0}, "device is 0: it must be a name"),
        ({"device": "gpu"}, "device is 'gpu': it must be auto, cpu, cuda or cuda:N"),
        ({"share": "yes"}, "share is 'yes': it must be True or False"),
        ({"share": 1}, "share is 1: it must be True or False"),
        ({"batch_size": "many"}, "batch_size is 'many': it must be auto or a positive whole num"),
        ({"batch_size": -1}, "batch_size is -1: it must be auto or a positive whole number"),
        ({"batch_size": "autobahn"}, "batch_size is 'autobahn': it must be auto or"),
        ({"batch_size": 2.5}, "batch_size is 2.5: it must be auto or a positive whole number"),
        ({"max_batch_size": 0}, "max_batch_size is 0: it must be a whole number from 1 to"),
        ({"chunk_size": -1}, "chunk_size is -1: it must be a whole number of tokens from 1 to"),
        ({"chunk_size": True}, "chunk_size is True: it must be a whole number of tokens"),
        ({"chunk_size": 10**400}, "chunk_size is a number of 1,329 bits: it must be a whole"),
        ({"max_length": True}, "max_length is True: it must be a whole number of tokens"),
        ({"max_length": "nan"}, "max_length is 'nan': it must be a whole number of tokens"),
        ({"max_length": float("inf")}, "max_length is inf: it must be a whole number of tokens"),
        ({"truncation": "right"}, "truncation is 'right': it must be left, or not be given"),
        ({"rope_precision": 64}, "rope_precision is 64: it must be a name"),
        ({"backend": ["fla"]}, "backend is ['fla']: it must be a name"),
        ({"allow_nonfinite": "maybe"}, "allow_nonfinite is 'maybe': it must be True or False"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str, request: Any) -> None:
    if arguments.get("dtype") == "int8" or arguments.get("device") == "gpu":
        # known to the engine alone, which looks before it reads the weights
        request.getfixturevalue("monkeypatch").undo()
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        YOCOLM.create_from_arg_obj({"pretrained": "demo", "device": "cpu", **arguments})


@pytest.mark.usefixtures("no_weights")
def test_a_tokenizer_of_another_model_is_refused_before_the_weights_are_loaded(
    tmp_path: Path,
) -> None:
    from tokenizers import Tokenizer, models

    vocab = {f"w{i}": i for i in range(5000)}
    Tokenizer(models.WordLevel(vocab, unk_token="w0")).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match="has 5,000 ids but the checkpoint demo only 4,096"):
        YOCOLM("demo", device="cpu", tokenizer=str(tmp_path / "tokenizer.json"))


def test_lm_evals_own_device_without_a_gpu_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    _say_that_there_is_no_gpu.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert [device_here(name) for name in ("cuda:0", "cuda:0", "cpu")] == [
            "auto",
            "auto",
            "cpu",
        ]
    assert caplog.messages == ["no CUDA device here: running on the CPU"]


def test_an_embedded_tokenizer_is_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    demo = str(EMBEDDED / "demo")
    assert tokenizer_path("demo") == demo and tokenizer_path("demo-other") == "demo-other"
    assert task_metadata({"pretrained": "demo", "x": 1}) == {
        "pretrained": "demo",
        "tokenizer": demo,
        "x": 1,
    }
    assert task_metadata({"pretrained": "a", "tokenizer": "demo"})["tokenizer"] == demo
    assert bridge._with_embedded_tokenizer({"pretrained": "demo"})["tokenizer"] == demo
    for given in ({"pretrained": "a"}, {}, {"pretrained": "demo", "tokenizer": "cl100k_base"}):
        assert task_metadata(given) == bridge._with_embedded_tokenizer(given) == given
    # results of this name hide nothing, a tokenizer does
    (tmp_path / "demo").mkdir()
    assert tokenizer_path("demo") == demo
    (tmp_path / "demo" / "tokenizer.json").touch()
    assert tokenizer_path("demo") == "demo"
