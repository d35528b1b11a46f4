"""What a run's key depends on, and what not; and that it says what the backend then does."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_samples import write_model
from safetensors.torch import load_file, save_file

import yoco
from evals.backend import YOCOLM
from evals.catalogue import Catalogue
from evals.run_keys import model_key, run_key
from yoco.kernels import Kernels, choose_kernels


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "model")


@pytest.mark.parametrize(
    "options", [{}, {"dtype": "bfloat16", "max_length": 512, "backend": "reference"}]
)
def test_the_key_is_that_of_the_loaded_model(model: Path, options: dict[str, Any]) -> None:
    key = model_key({"pretrained": str(model), "device": "cpu", **options})
    lm = YOCOLM(str(model), device="cpu", **options)
    assert key == lm.key
    info = lm.get_model_info()
    assert key.checkpoint_sha256 == info["model_sha"] and key.tokenizer_sha256 == lm.text.hash
    assert (key.dtype, key.device_type) == (info["model_dtype"], info["model_device"])


def test_kernels_are_chosen_for_the_key_as_for_the_model(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU the widths of the heads decide, which a CPU would not show."""
    asked = []

    def choose(*arguments: Any) -> Kernels:
        asked.append(arguments)
        return choose_kernels(*arguments)

    monkeypatch.setattr("evals.run_keys.choose_kernels", choose)
    monkeypatch.setattr("yoco.loading.choose_kernels", choose)
    model_key({"pretrained": str(model), "device": "cpu"})
    loaded = yoco.load(model, device="cpu")
    for_key, for_model = asked
    assert for_key == for_model
    assert for_model[-1] == loaded.config.head_dims


def test_a_copy_has_the_same_key_and_one_other_weight_another(model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(model, tmp_path / "copy")
    assert model_key({"pretrained": str(copy)}) == model_key({"pretrained": str(model)})
    tensors = load_file(copy / "model.safetensors")
    name = min(tensors)
    flat = tensors[name].view(-1)
    flat[0] = torch.nextafter(flat[0], torch.tensor(9.0))
    save_file(tensors, copy / "model.safetensors")
    assert model_key({"pretrained": str(copy)}) != model_key({"pretrained": str(model)})


def test_how_it_is_run_counts_but_not_in_what_pieces(model: Path, tmp_path: Path) -> None:
    plain = {"pretrained": str(model), "device": "cpu"}
    keys = [
        model_key({**plain, **options})
        for options in (
            {},
            {"dtype": "bfloat16"},
            {"rope_precision": "reference"},
            {"backend": "reference"},
            {"max_length": 4096},
        )
    ]
    assert all(keys.count(key) == 1 for key in keys)
    assert model_key({**plain, "chunk_size": 64}) == keys[0]
    # another tokenizer
    other = shutil.copytree(model, tmp_path / "other")
    file = other / "tokenizer.json"
    text = file.read_text()
    assert '"add_prefix_space": false' in text or '"add_prefix_space":false' in text
    file.write_text(
        text.replace('"add_prefix_space": false', '"add_prefix_space": true').replace(
            '"add_prefix_space":false', '"add_prefix_space":true'
        )
    )
    assert model_key({**plain, "tokenizer": str(other)}) != keys[0]


def test_settings_count_where_they_are_taken(model: Path, tmp_path: Path) -> None:
    catalogue = Catalogue(["yoco_needle", "piqa"])
    needle, piqa = catalogue.units
    whole = model_key({"pretrained": str(model)})

    def digest(unit: Any, metadata: dict[str, Any], **options: Any) -> str:
        options = {"data_sha256": None, "limit": None, "num_fewshot": None, **options}
        return run_key(whole, catalogue, unit, metadata=metadata, **options).digest

    assert digest(needle, {"trials": 2}) != digest(needle, {})
    assert digest(piqa, {"trials": 2}) == digest(piqa, {})
    for options in ({"limit": 3}, {"num_fewshot": 3}, {"data_sha256": "x"}):
        assert digest(piqa, {}, **options) != digest(piqa, {})
    # asked for by name or through the paper's group, and shown none: the same run
    grouped = {unit.name: unit for unit in Catalogue(["yoco_paper"]).units}["piqa"]
    assert digest(grouped, {}) == digest(piqa, {})
    assert digest(grouped, {}, num_fewshot=3) == digest(piqa, {}) != digest(piqa, {}, num_fewshot=3)

    # a haystack counts by its text, not by its name
    haystack = tmp_path / "haystack.txt"
    settings = {"haystack": f"files:{haystack}"}
    haystack.write_text("One text.\n" * 100)
    before = digest(needle, settings)
    assert digest(needle, settings) == before
    haystack.write_text("Another text.\n" * 100)
    assert digest(needle, settings) != before


def test_documents_count_one_by_one(model: Path, tmp_path: Path) -> None:
    catalogue = Catalogue(["yoco_nll"])
    (unit,) = catalogue.units
    whole = model_key({"pretrained": str(model)})

    def texts(**metadata: Any) -> dict[str, str]:
        metadata = {"documents": f"files:{tmp_path}/*.txt", **metadata}
        nothing: dict[str, Any] = {"data_sha256": None, "limit": None, "num_fewshot": None}
        return run_key(whole, catalogue, unit, metadata=metadata, **nothing).texts_sha256

    (tmp_path / "a.txt").write_text("One.\n")
    (tmp_path / "b.txt").write_text("Two.\nThree.\n")
    both, first = texts(), texts(num_documents=1)
    assert both.keys() == {"documents"} and both != first
    # the same text, cut elsewhere
    (tmp_path / "a.txt").write_text("One.\nTwo.\n")
    (tmp_path / "b.txt").write_text("Three.\n")
    assert texts() not in (both, first)


@pytest.mark.parametrize("token", ["bos_token", "eos_token"])
def test_the_ends_of_a_text_count_wherever_they_are_defined(
    token: str, model: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(model, tmp_path / "copy")
    file = copy / "tokenizer_config.json"
    before = model_key({"pretrained": str(copy), "device": "cpu"})
    config = json.loads(file.read_text())
    config[token] = "<unk>" if config[token] != "<unk>" else "<s>"
    file.write_text(json.dumps(config))
    after = model_key({"pretrained": str(copy), "device": "cpu"})
    assert after != before
    # and nothing else of it
    assert dataclasses.replace(after, tokenizer_sha256=before.tokenizer_sha256) == before
