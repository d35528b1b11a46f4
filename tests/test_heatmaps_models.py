"""Names of models: short, unique, and those lm-eval gave them; which runs are of one model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from heatmaps.models import ModelRun, by_model, labels_of, model_run, settings_note


def run_of(source: str, model_args: object, **config: Any) -> ModelRun:
    content = {
        "config": {"model": source, "model_args": model_args, **config},
        "model_name": "abcdefgh",
    }
    return model_run(content, Path("/out/folder/samples.jsonl"))


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
def test_name_and_settings(model_args, name, settings):
    run = run_of("yoco", model_args)
    assert (run.name, run.source, run.settings) == (name, "yoco", settings)


def test_without_a_results_file_the_folder_names_the_model():
    run = model_run({}, Path("/out/org__tiny/samples_piqa.jsonl"))
    assert (run.name, run.source, run.guessed) == ("org/tiny", "", True)


def test_labels_are_short_and_unique():
    def labels(*names: tuple[str, str]) -> list[str]:
        found = labels_of([ModelRun(source=source, name=name) for source, name in names])
        assert len(set(found)) == len(found)
        return found

    assert labels(("yoco", "/m/prototype/")) == ["prototype"]
    assert labels(("hf", "org/model-3B")) == ["model-3B"]
    assert labels(("yoco", "C:\\models\\a")) == ["a"]
    assert labels(("yoco", "a/ckpt-9"), ("yoco", "b/ckpt-9")) == ["a/ckpt-9", "b/ckpt-9"]
    assert labels(("yoco", "a/x"), ("hf", "a/x")) == ["x (yoco)", "x (hf)"]
    assert labels(("yoco", "."), ("yoco", "./a")) == [".", "a"]
    # One path that ends another has no longer form; still they are told apart.
    labels(("yoco", "x"), ("yoco", "/y/x"), ("hf", "x/"))
    labels(("yoco", "x"), ("yoco", "x/"))


def test_labels_say_revision_or_hash_where_names_are_the_same():
    steps = [run_of("hf", {"pretrained": "p/q", "revision": f"step{n}"}) for n in (1000, 2000)]
    assert labels_of(steps) == ["q (revision=step1000)", "q (revision=step2000)"]
    trained_on = [run_of("yoco", {"pretrained": "m"}, model_sha=sha * 64) for sha in "ab"]
    assert labels_of(trained_on) == ["m (aaaaaaaa)", "m (bbbbbbbb)"]
    # Negative control: runs of one model have one label, with nothing in brackets.
    assert labels_of([steps[0], steps[0], trained_on[0]]) == ["q", "q", "m"]


@pytest.mark.parametrize(
    ("one", "other", "is_one"),
    [
        # hashes decide where both are known
        (("yoco", {"pretrained": "demo"}, "a"), ("yoco", {"pretrained": "/m/demo"}, "a"), True),
        (("yoco", {"pretrained": "demo"}, "a"), ("yoco", {"pretrained": "demo"}, "b"), False),
        (("yoco", {"pretrained": "demo"}, "a"), ("yoco", {"pretrained": "demo"}, ""), True),
        (("yoco", {"pretrained": "demo"}, "a"), ("hf", {"pretrained": "demo"}, "a"), False),
        # else all that chooses the weights
        (("hf", "pretrained=q,revision=s1", ""), ("hf", "pretrained=q,revision=s2", ""), False),
        (("hf", "pretrained=q,revision=main", ""), ("hf", "pretrained=q", ""), True),
        (("hf", "pretrained=q,dtype=bf16", ""), ("hf", "pretrained=q", ""), True),
        (("hf", "pretrained=q,peft=l", ""), ("hf", "pretrained=r,peft=l", ""), False),
        # the hash of the model beneath says nothing of adapters, nor of a part of its files
        (("hf", "pretrained=q,peft=l", "a"), ("hf", "pretrained=q,peft=m", "a"), False),
        (("hf", "pretrained=q,gguf_file=4", "a"), ("hf", "pretrained=q,gguf_file=8", "a"), False),
    ],
)
def test_which_runs_are_of_one_model(one, other, is_one):
    runs = [run_of(source, args, model_sha=sha) for source, args, sha in (one, other)]
    for pair in (runs, runs[::-1]):
        assert len(by_model(pair)) == (1 if is_one else 2)


def test_unlike_settings_are_said():
    runs = [run_of("hf", f"pretrained=q,dtype={dtype}") for dtype in ("bf16", "float32", "bf16")]
    assert settings_note("Q", runs) == (
        "Q: its runs were made with different model_args (dtype=bf16 | dtype=float32) "
        "and count as one model"
    )
    assert settings_note("Q", runs[:1]) is None
