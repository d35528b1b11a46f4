"""`lm_eval --use_cache` gives a model its own answers only."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from checkpoint_samples import write_model
from lm_eval.api.instance import Instance
from lm_eval.api.model import CachingLM

from evals.backend import YOCOLM
from evals.model_keys import ModelKey
from evals.response_cache import OWNER, claim

MODEL = ModelKey(
    checkpoint_sha256="a" * 64,
    tokenizer_sha256="b" * 64,
    dtype="float32",
    device_type="cpu",
    kernels={"retention": "chunked"},
    rope_precision="float64",
    max_length=1024,
)


def test_a_cache_is_the_models_that_wrote_first() -> None:
    answers: dict[str, Any] = {}
    claim(answers, "c.db", "one", MODEL)
    answers["a hash"] = (-1.0, True)
    # the same checkpoint under another name
    claim(answers, "c.db", "copy", replace(MODEL))
    other = replace(MODEL, checkpoint_sha256="c" * 64)
    message = (
        f"c.db holds answers of one, and this is two (checkpoint_sha256 {'a' * 12} and {'c' * 12}):"
        " give another --use_cache, or delete it"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        claim(answers, "c.db", "two", other)
    assert len(answers) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"tokenizer_sha256": "c" * 64},
        {"dtype": "bfloat16"},
        {"kernels": {"retention": "fla"}},
        {"max_length": 512},
        {"truncation": "left"},
    ],
)
def test_how_it_is_run_counts(change: dict[str, Any]) -> None:
    answers: dict[str, Any] = {}
    claim(answers, "c.db", "one", MODEL)
    (name,) = change
    with pytest.raises(ValueError, match=rf"c\.db holds answers of one, and this is one \({name} "):
        claim(answers, "c.db", "one", replace(MODEL, **change))


def test_what_runs_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: dict[str, Any] = {}
    claim(answers, "c.db", "one", MODEL)
    monkeypatch.setattr("evals.response_cache.software", lambda: {"torch": "1.0"})
    with pytest.raises(ValueError, match=r"this is one \(torch 2\.\S* and 1\.0\)"):
        claim(answers, "c.db", "one", MODEL)


@pytest.mark.parametrize("owner", [None, 3, "", "[", "[" * 100_000, '{"pretrained": "one"}', "{}"])
def test_answers_of_nobody_knows_whom_are_refused(owner: Any) -> None:
    answers: dict[str, Any] = {"a hash": (-1.0, True)}
    if owner is not None:
        answers[OWNER] = owner
    with pytest.raises(
        ValueError, match=r"^c\.db holds answers of .*, and this is two.*: give anoth"
    ):
        claim(answers, "c.db", "two", MODEL)


def test_before_any_answer_is_taken(tmp_path: Path) -> None:
    """Through lm-eval's own cache, and under the name that it gives the file."""
    request = Instance("loglikelihood", {}, ("Is water wet?", " yes"), 0, metadata=("t", 0, 1))
    answers = []
    for name in ("a", "a", "b"):
        lm = YOCOLM(str(write_model(tmp_path / f"{len(answers)}" / name, seed=ord(name))))
        cache = str(tmp_path / f"c_{name}.db")
        answers.append(CachingLM(lm, cache).loglikelihood([request]))
    assert answers[0] == answers[1] != answers[2]
    lm = YOCOLM(str(tmp_path / "2" / "b"))
    with pytest.raises(ValueError, match=r"c_a\.db holds answers of .*0/a, and this is .*2/b \(ch"):
        CachingLM(lm, str(tmp_path / "c_a.db"))


def test_the_stored_owner_is_text() -> None:
    answers: dict[str, Any] = {}
    claim(answers, "c.db", "one", MODEL)
    stored = json.loads(answers[OWNER])
    assert stored["pretrained"] == "one"
    assert stored["depends_on"]["checkpoint_sha256"] == "a" * 64
    assert len(stored["depends_on"]["code_sha256"]) == 64
