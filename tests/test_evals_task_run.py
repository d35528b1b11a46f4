"""`yoco needle` and its like: reported is what was written, and what is answered is kept."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from checkpoint_samples import write_model
from lm_eval.loggers import evaluation_tracker

import evals.checkpoint_runs
from evals.answers import Answers
from evals.backend import YOCOLM
from evals.cli import INTERRUPTED, main
from evals.output_folders import held
from evals.resuming import ResumingLM

GRID = ["--lengths", "256,300", "--depths", "2", "--haystack", "noise", "--device", "cpu"]
NUM_PROMPTS = 4


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the checkpoints `a` and `b`."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "a", seed=1)
    write_model(folder / "b", seed=2)
    return folder


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short names for the models, and results go below this test's folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).symlink_to(models / name)
    # which asks pip what is installed
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda storage: None)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many prompts reach the model in each call."""
    numbers: list[int] = []
    ask = YOCOLM.generate_until

    def generate_until(self: YOCOLM, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        numbers.append(len(requests))
        return ask(self, requests, disable_tqdm)

    monkeypatch.setattr(YOCOLM, "generate_until", generate_until)
    yield numbers


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(evals.checkpoint_runs, "ResumingLM", load)


def needle(*arguments: str, output: str = "out") -> int:
    return main(["needle", *arguments, *GRID, "--output", output])


def test_the_files_are_this_runs_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever else lies there, dated later or ahead of time."""
    folder = tmp_path / "out" / "a"
    folder.mkdir(parents=True)
    for name in ("results_2999-01-01T00-00-00.000000.json", "samples_yoco_needle_2999-01-01.jsonl"):
        (folder / name).write_text("{}")
        os.utime(folder / name, (1e11, 1e11))
    assert needle("a") == 0
    out = capsys.readouterr().out
    results = Path(out.splitlines()[-1].removeprefix("results "))
    assert results.parent == Path("out/a") and "2999" not in results.name
    record = json.loads(results.read_text())
    assert record["config"]["model_args"]["pretrained"] == "a"
    assert record["config"]["model"] == record["model_source"] == "yoco"
    time = results.stem.removeprefix("results_")
    samples = results.with_name(f"samples_yoco_needle_{time}.jsonl")
    assert len(samples.read_text().splitlines()) == NUM_PROMPTS
    assert results.with_name(f"heatmap_{time}.png").exists()
    assert not (folder / "unfinished").exists()


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("reason", ["file", "file above", "long", "disk"])
def test_what_cannot_be_written_is_said_before_the_model_is_loaded(
    reason: str,
    tmp_path: Path,
    models: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "out").mkdir()
    pretrained, output = "a", "out"
    match reason:
        case "file":
            (tmp_path / "out" / "a").touch()
            expected = "out/a: there is a file of that name"
        case "file above":
            (tmp_path / "out" / "file").touch()
            output, expected = "out/file", "out/file/a: Not a directory"
        case "long":
            pretrained = "/".join(["n" * 100] * 3)
            (tmp_path / pretrained).parent.mkdir(parents=True)
            (tmp_path / pretrained).symlink_to(models / "a")
            expected = f"out/{'__'.join(['n' * 100] * 3)}: File name too long"
        case _:

            def full(descriptor: int) -> None:
                raise OSError(28, "No space left on device")

            monkeypatch.setattr("os.fsync", full)
            expected = "No space left on device"
    before = sorted(os.listdir(tmp_path / "out"))
    assert needle(pretrained, output=output) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(
        rf"yoco needle: results cannot be written into .*{re.escape(expected)}\n", said.err
    )
    if reason != "disk":
        assert sorted(os.listdir(tmp_path / "out")) == before


def test_a_model_that_is_none_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert needle("nowhere") == 2
    assert capsys.readouterr().err == "yoco needle: no such folder: nowhere\n"
    assert not (tmp_path / "out").exists()


def test_what_was_answered_before_a_stop_is_not_asked_again(
    tmp_path: Path,
    asked: list[int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = main(["needle", "a", *GRID, "--output", "whole"])
    assert whole == 0 and asked == [NUM_PROMPTS]
    add = Answers.add

    def stopped(self: Answers, *arguments: Any) -> None:
        if len(self) == 3:
            raise KeyboardInterrupt
        add(self, *arguments)

    monkeypatch.setattr(Answers, "add", stopped)
    assert needle("a") == INTERRUPTED
    said = "interrupted: what was finished is kept in out, and the same command goes on from it"
    assert said in capsys.readouterr().err
    monkeypatch.setattr(Answers, "add", add)
    asked.clear()
    # another grid, and another model, have no part in it
    assert main(["needle", "a", *GRID[2:], "--lengths", "300", "--output", "out"]) == 0
    assert needle("b") == 0
    assert asked == [NUM_PROMPTS // 2, NUM_PROMPTS]
    asked.clear()
    assert needle("a") == 0
    assert asked == [1]
    assert scores(tmp_path / "out" / "a") == scores(tmp_path / "whole" / "a")
    assert not (tmp_path / "out" / "a" / "unfinished").exists()


def scores(folder: Path) -> list[tuple[str, float]]:
    """Answers and recalls of the newest run."""
    path = max(folder.glob("samples_*.jsonl"), key=lambda path: path.name)
    lines = map(json.loads, path.read_text().splitlines())
    return [(line["resps"], line["recall"]) for line in lines]


@pytest.mark.parametrize("file", ["results", "samples"])
def test_a_disk_that_becomes_full_loses_no_answer(
    file: str,
    tmp_path: Path,
    asked: list[int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:

        def full(path: Path, *arguments: Any, **options: Any) -> Any:
            if path.name.startswith(file):
                raise OSError(28, "No space left on device")
            return writes(path, *arguments, **options)

        if file == "results":
            writes: Any = Path.write_text
            patch.setattr(Path, "write_text", full)
        else:
            writes = open
            patch.setattr(evaluation_tracker, "open", full, raising=False)
        assert needle("a") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(
        r"yoco needle: results cannot be written into out/a/unfinished/.*/results: No space left "
        r"on device; all answers are kept: run again when they can be",
        said.err.splitlines()[-1],
    )
    assert list((tmp_path / "out" / "a").rglob("*.json*")) == []
    asked.clear()
    assert needle("a") == 0
    # all were answered
    assert asked == []


def test_what_has_no_score_is_said_and_the_status_is_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ResumingLM.generate_until

    def generate_until(self: ResumingLM, requests: list[Any], **options: Any) -> Any:
        self.not_measured += [f"prompt {n}: its logits are not \x1b[2Jfinite" for n in range(12)]
        return ask(self, requests, **options)

    monkeypatch.setattr(ResumingLM, "generate_until", generate_until)
    assert needle("a") == 1
    said = capsys.readouterr()
    assert "wrote out/a/heatmap_" in said.out
    lines = said.err.splitlines()[-11:]
    assert lines[0] == r"yoco needle: prompt 0: its logits are not \x1b[2Jfinite"
    assert lines[9:] == [
        r"yoco needle: prompt 9: its logits are not \x1b[2Jfinite",
        "yoco needle: and 2 more like these",
    ]


def test_a_prompt_that_cannot_be_built_is_said_and_the_others_are_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ["--lengths", "16,300", "--depths", "1", "--haystack", "noise", "--device", "cpu"]
    assert main(["needle", "a", *grid, "--output", "out"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("yoco needle: yoco_needle: no prompt of ")
    (samples,) = (tmp_path / "out" / "a").glob("samples_*.jsonl")
    assert len(samples.read_text().splitlines()) == 2


def test_results_are_named_where_only_the_picture_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    assert needle("a") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    (results,) = (tmp_path / "out" / "a").glob("results_*.json")
    assert last.endswith(
        f"png cannot be written: No space left on device; the results are in out/a/{results.name}"
    )
    # and nothing else is left there
    suffixes = [path.suffix for path in (tmp_path / "out" / "a").iterdir() if path.name != ".lock"]
    assert sorted(suffixes) == [".json", ".jsonl"]


@pytest.mark.usefixtures("no_model")
def test_one_process_at_a_time_writes_results_of_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with held(tmp_path / "out" / "a"):
        assert needle("a") == 2
    said = capsys.readouterr().err
    assert said.startswith(f"yoco needle: another process ({os.getpid()} on ")
    assert "is at work in out/a: wait for it, or give another --output\n" in said


def test_the_hash_is_of_what_was_loaded(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the checkpoint is moved away meanwhile, tokenizer and all."""
    shutil.copytree(models / "a", tmp_path / "mine")
    ask = ResumingLM.generate_until

    def generate_until(self: ResumingLM, requests: list[Any], **options: Any) -> Any:
        (tmp_path / "mine").rename(tmp_path / "moved")
        return ask(self, requests, **options)

    monkeypatch.setattr(ResumingLM, "generate_until", generate_until)
    assert needle("mine") == 0
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert needle("a") == 0
    shas = set()
    for name in ("mine", "a"):
        (results,) = (tmp_path / "out" / name).glob("results_*.json")
        shas.add(json.loads(results.read_text())["config"]["model_sha"])
    assert len(shas) == 1
