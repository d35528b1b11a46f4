"""Steps lower the loss, a run resumes bit by bit, and what it leaves behind can be used."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import partial
from pathlib import Path

import pytest
import torch
from training_samples import small_corpus, small_recipe

import yoco
from training.__main__ import main
from training.card import write_card
from training.corpus import Corpus
from training.curves import draw_curves
from training.loss import Outcome
from training.recipe import MODELS, STAGES, Budget, Recipe, Stage
from training.samples import Batch
from training.state import STATE_FILE, read_log
from training.train import Effort, StepBatches, Training, finish, run
from yoco.checkpoints.tensors import expected_shapes

CPU = torch.device("cpu")
LITTLE = Effort(tokens=512, fewest=1, most=2)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return small_corpus(tmp_path_factory.mktemp("train"))


@pytest.fixture(autouse=True)
def little_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few probes, a log of every step."""
    monkeypatch.setattr("training.train.PROBE", LITTLE)
    monkeypatch.setattr("training.train.NUM_PROBES", 2)
    monkeypatch.setattr("training.train.LOG_EVERY_STEPS", 1)


def train(corpus: Corpus, folder: Path, recipe: Recipe, num_steps: int | None = None) -> Training:
    """Trains on; with `num_steps` only so many steps, and saves."""
    training = Training(recipe, corpus, folder, CPU, resume=True)
    if num_steps is None:
        assert run(training, workers=0)
        return training
    keys = training.keys()
    batches = StepBatches(recipe, corpus.folder)
    for _ in range(num_steps):
        training.step(batches[next(keys)])
    training.save()
    return training


@pytest.mark.parametrize("name", MODELS)
def test_a_few_steps_lower_the_loss(name: str, corpus: Corpus, tmp_path: Path) -> None:
    training = train(corpus, tmp_path, small_recipe(name, 16))
    records = [r for r in read_log(tmp_path) if r["kind"] == "train"]
    assert [r["step"] for r in records] == list(range(1, 17))
    for key, fall in (("answer_loss", 1.0), ("text_loss", 0.4)):
        assert records[0][key] == pytest.approx(math.log(512), abs=0.3)
        assert records[-1][key] < records[0][key] - fall
    assert training.clock.tokens > 16 * 1024
    assert (tmp_path / "early" / "model.safetensors").exists()
    probes = [r for r in read_log(tmp_path) if r["kind"] == "probe"]
    assert {r["length"] for r in probes} == {256, 512}


@pytest.mark.parametrize("name", MODELS)
def test_a_run_resumes_bit_by_bit(name: str, corpus: Corpus, tmp_path: Path) -> None:
    recipe = small_recipe(name, 8)
    whole = train(corpus, tmp_path / "whole", recipe)
    train(corpus, tmp_path / "parts", recipe, num_steps=3)
    parts = train(corpus, tmp_path / "parts", recipe)
    assert parts.clock.step == whole.clock.step == 8
    assert parts.clock.tokens == whole.clock.tokens
    for name_, expected in whole.model.state_dict().items():
        assert torch.equal(parts.model.state_dict()[name_], expected), name_
    # negative control: the state matters
    fresh = Training(recipe, corpus, tmp_path / "fresh", CPU, resume=False)
    assert not torch.equal(fresh.model.layer_norm.weight, whole.model.layer_norm.weight)


def test_batches_made_by_workers_are_the_same(corpus: Corpus, tmp_path: Path) -> None:
    recipe = small_recipe("demo", 4)
    alone = train(corpus, tmp_path / "alone", recipe)
    beside = Training(recipe, corpus, tmp_path / "beside", CPU, resume=False)
    assert run(beside, workers=1)
    for name, expected in alone.model.state_dict().items():
        assert torch.equal(beside.model.state_dict()[name], expected), name


def test_a_call_ends_in_time_and_goes_on(corpus: Corpus, tmp_path: Path) -> None:
    recipe = small_recipe("demo", 3)
    training = Training(recipe, corpus, tmp_path, CPU, resume=False)
    assert not run(training, workers=0, stop_after_s=0)
    assert training.clock.step == 1
    with pytest.raises(ValueError, match="holds a run: pass --resume"):
        Training(recipe, corpus, tmp_path, CPU, resume=False)
    other = dataclasses.replace(recipe, seed=1)
    with pytest.raises(ValueError, match=r"another run \(it differs in seed\)"):
        Training(other, corpus, tmp_path, CPU, resume=True)
    other_text = dataclasses.replace(corpus, sha256={"other.txt": "0"})
    with pytest.raises(ValueError, match=r"another run \(it differs in corpus\)"):
        Training(recipe, other_text, tmp_path, CPU, resume=True)
    # more steps may be asked for
    training = Training(small_recipe("demo", 4), corpus, tmp_path, CPU, resume=True)
    assert training.progress == 0.25
    # records of steps that were not saved are dropped
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write(json.dumps({"kind": "train", "step": 2}) + "\n")
    training = Training(recipe, corpus, tmp_path, CPU, resume=True)
    assert run(training, workers=0)
    steps = [r["step"] for r in read_log(tmp_path) if r["kind"] == "train"]
    assert steps == [1, 2, 3]


def test_no_state_is_written_of_losses_that_are_not_numbers(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.train.LOG_EVERY_STEPS", 10)
    training = Training(small_recipe("demo", 4), corpus, tmp_path, CPU, resume=False)
    step = training.step

    def broken_step(batch: Batch) -> Outcome:
        if training.clock.step == 2:
            training.model.embed_tokens.weight.data[:] = math.nan
        return step(batch)

    monkeypatch.setattr(training, "step", broken_step)
    with pytest.raises(FloatingPointError, match="losses of step 4 are"):
        run(training, workers=0)
    assert not (tmp_path / STATE_FILE).exists()


@pytest.mark.parametrize("name", MODELS)
def test_what_a_run_leaves_behind(name: str, corpus: Corpus, tmp_path: Path) -> None:
    training = train(corpus, tmp_path, small_recipe(name, 2))
    finish(training, LITTLE)
    model = yoco.load(tmp_path / "final", dtype="bfloat16")
    assert model.config == training.recipe.model
    tokens = torch.arange(3, 90)[None]
    expected = training.model.to(torch.bfloat16)(tokens)
    assert torch.equal(model(tokens), expected)
    files = {path.name for path in (tmp_path / "final").iterdir()}
    assert files == {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        "README.md",
    }
    card = (tmp_path / "final" / "README.md").read_text()
    assert "$" not in card and "kept.txt" in card and "bits per byte" in card
    assert (tmp_path / "curves.png").stat().st_size > 1000
    lengths = {(r["length"], r["needles"]) for r in read_log(tmp_path) if r["kind"] == "final"}
    assert lengths == {(256, 1), (256, 2), (256, 4), (512, 1), (512, 2), (512, 4), (512, 8)}
    figure = draw_curves(tmp_path, tmp_path / "again.png")
    assert len(figure.axes) == 2


def test_a_card_says_what_was_not_measured(tmp_path: Path, corpus: Corpus) -> None:
    Training(small_recipe("demo", 2), corpus, tmp_path, CPU, resume=False)
    write_card(tmp_path, corpus, tmp_path / "card.md")
    assert (tmp_path / "card.md").read_text().count("not measured") >= 3


@pytest.mark.parametrize("name", MODELS)
def test_checkpoints_stay_small(name: str) -> None:
    sizes = [math.prod(shape) for shape in expected_shapes(MODELS[name]).values()]
    tokenizer_bytes = 150_000
    assert 7_500_000 < 2 * sum(sizes) + tokenizer_bytes < 8_000_000


def test_schedule() -> None:
    shares = {512: 0.2, 2048: 0.2, 8192: 0.3, 65_536: 0.3}
    stages = tuple(Stage(share=share, length_tokens=n) for n, share in shares.items())
    recipe = Recipe(name="demo", model=MODELS["demo"], budget=Budget(steps=1000), stages=stages)
    assert [recipe.stage_at(x) for x in (0, 0.19999, 0.2, 0.5, 0.9999, 1)] == [0, 0, 1, 2, 3, 3]
    lengths = [recipe.length_at(step, 0.95) for step in range(400)]
    assert set(lengths) == set(shares)
    assert 0.7 < lengths.count(65_536) / 400 < 0.8
    assert {recipe.length_at(step, 0.1) for step in range(50)} == {512}
    rates = [recipe.learning_rate_at(step, step / 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(2e-5, rel=0.01) and max(rates) == pytest.approx(2e-3, rel=0.05)
    assert rates[-1] == pytest.approx(1e-4, rel=0.01)
    assert Budget(seconds=60).progress(5, 15.0) == 0.25
    with pytest.raises(ValueError, match="give one of the two"):
        Budget(steps=3, seconds=4)
    with pytest.raises(ValueError, match="must add up to 1"):
        dataclasses.replace(recipe, stages=(Stage(share=0.5, length_tokens=512),))


def test_the_command(
    corpus: Corpus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    small = small_recipe("demo", 1)
    monkeypatch.setattr("training.__main__.MODELS", {"demo": small.model})
    monkeypatch.setattr("training.__main__.STAGES", STAGES[:1])
    monkeypatch.setattr("training.__main__.finish", partial(finish, effort=LITTLE))
    few_tokens = partial(Recipe, step_tokens=512, text_tokens=512)
    monkeypatch.setattr("training.__main__.Recipe", few_tokens)
    # what the command sets for its process must not outlive this test
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda precision: None)
    options = ["demo", "--corpus", str(corpus.folder), "--run", str(tmp_path), "--steps", "2"]
    options += ["--workers", "0", "--device", "cpu", "--resume"]
    main([*options, "--stop-after", "0"])
    assert "stopped at 50.0%" in capsys.readouterr().out
    assert (tmp_path / STATE_FILE).exists()
    main(options)
    assert "# demo" in capsys.readouterr().out
    # a user's error is one line
    with pytest.raises(SystemExit):
        main([*options[:-1]])
    assert "holds a run: pass --resume" in capsys.readouterr().err.splitlines()[-1]


def test_a_run_may_begin_with_a_checkpoint(corpus: Corpus, tmp_path: Path) -> None:
    first = train(corpus, tmp_path / "first", small_recipe("demo", 16))
    first.export("final")
    checkpoint, recipe = tmp_path / "first" / "final", small_recipe("demo", 2)
    second = Training(recipe, corpus, tmp_path / "second", CPU, resume=False, checkpoint=checkpoint)
    begun = second.model.state_dict()
    for name, weights in first.model.state_dict().items():
        # it is stored in bfloat16
        torch.testing.assert_close(begun[name], weights, rtol=2**-8, atol=0)
    assert run(second, workers=0)
    losses = [
        next(r["text_loss"] for r in read_log(tmp_path / name) if r["kind"] == "train")
        for name in ("first", "second")
    ]
    assert losses[1] < losses[0] - 0.3
    finish(second, LITTLE)
    card = (tmp_path / "second" / "final" / "README.md").read_text()
    assert f"| begun with | the weights of SHA-256 {second.recipe.begun_with} |" in card
    with pytest.raises(ValueError, match="differs in begun_with"):
        Training(recipe, corpus, tmp_path / "second", CPU, resume=True)
    other = small_recipe("demo-gret", 2)
    with pytest.raises(ValueError, match="is of another model"):
        Training(other, corpus, tmp_path / "third", CPU, resume=False, checkpoint=checkpoint)
