"""Names of models: short, unique, and those lm-eval gave them."""

import json

import pytest

from heatmaps.models import ModelRun, labels_of, model_run


def run_of(tmp_path, source, model_args, model_name="abcdefgh"):
    config = {"model": source, "model_args": model_args}
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"config": config, "model_name": model_name}))
    return model_run(path, tmp_path / "samples.jsonl")


@pytest.mark.parametrize(
    ("model_args", "name", "settings"),
    [
        (
            {"pretrained": "/m/a", "dtype": "bf16", "chunk_size": 8},
            "/m/a",
            "chunk_size=8,dtype=bf16",
        ),
        ("pretrained=/m/a,dtype=bf16", "/m/a", "dtype=bf16"),
        ({"pretrained": "/m/a", "peft": "/m/lora"}, "/m/lora", "pretrained=/m/a"),
        ({"model": "served", "base_url": "http://x"}, "served", "base_url=http://x"),
        ({}, "yoco", "none"),
        (None, "yoco", "none"),
        ("", "yoco", "none"),
    ],
)
def test_name_and_settings(tmp_path, model_args, name, settings):
    run = run_of(tmp_path, "yoco", model_args)
    assert (run.name, run.source, run.settings) == (name, "yoco", settings)


def test_labels_are_short_and_unique():
    def labels(*identities):
        runs = [ModelRun(source=source, name=name) for source, name in identities]
        found = labels_of(runs)
        assert len(set(found.values())) == len(found) == len(set(identities))
        return [found[identity] for identity in identities]

    assert labels(("yoco", "/m/prototype/")) == ["prototype"]
    assert labels(("hf", "org/model-3B")) == ["model-3B"]
    assert labels(("yoco", "C:\\models\\a")) == ["a"]
    assert labels(("yoco", "a/ckpt-9"), ("yoco", "b/ckpt-9")) == ["a/ckpt-9", "b/ckpt-9"]
    assert labels(("yoco", "a/x"), ("hf", "a/x")) == ["x (yoco)", "x (hf)"]
    assert labels(("yoco", "."), ("yoco", "./a")) == [".", "a"]
    # One path that ends another has no longer form; still they are told apart.
    labels(("yoco", "x"), ("yoco", "/y/x"), ("hf", "x/"))
    labels(("yoco", "x"), ("yoco", "x/"))
