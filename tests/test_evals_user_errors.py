"""A user's error on the terminal: one line, whatever is in it; a program gets the exception."""

from __future__ import annotations

import json
from typing import Any

import lm_eval.tasks
import pytest
from lm_eval.evaluator import simple_evaluate

from evals.backend import YOCOLM
from evals.cli import main
from evals.user_errors import MOST_CHARS, one_line

GRID = {"lengths": ["1K"], "depths": 1, "haystack": "noise"}
TASKS = ["--tasks", "yoco_needle"]


@pytest.fixture
def small_lm_eval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps lm_eval's command from indexing its 14,690 tasks, six seconds, and from logging."""
    original = lm_eval.tasks.TaskManager.__init__

    def initialise(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs, include_defaults=False)

    monkeypatch.setattr(lm_eval.tasks.TaskManager, "__init__", initialise)
    monkeypatch.setattr("lm_eval.__main__.setup_logging", lambda: None)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("no such folder: a/b", "no such folder: a/b"),
        ("first line\r\n   second line\n", "first line second line"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("abc\u202etxt.exe", "abc\\u202etxt.exe"),
        ("\ud8ff\u2028.", "\\ud8ff\\u2028."),
        ("", "ValueError"),
    ],
)
def test_one_line(message: str, shown: str) -> None:
    assert one_line(ValueError(message)) == shown


def test_a_long_message_keeps_its_beginning_and_its_end() -> None:
    shown = one_line(ValueError("names: " + "\x07" * 200_000 + " use fewer"))
    assert shown.startswith("names: \\x07") and shown.endswith("\\x07 use fewer")
    assert len(shown) == MOST_CHARS + len(" ... ")


def run_lm_eval(
    capsys: pytest.CaptureFixture[str], *arguments: str, model: str = "yoco"
) -> tuple[int, str]:
    """`lm_eval ARGUMENTS`: its exit status and the last line that it wrote on stderr."""
    with pytest.raises(SystemExit) as exit_:
        main(["run", "--model", model, *TASKS, *arguments])
    *_, last = capsys.readouterr().err.rstrip("\n").split("\n")
    assert isinstance(exit_.value.code, int)
    return exit_.value.code, last


@pytest.mark.usefixtures("small_lm_eval")
@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({**GRID, "lengths": ["4Q\x1b[2J"]}, "yoco: length '4Q\\x1b[2J' is not a positive whole"),
        ({**GRID, "haystack": "files:none/*"}, "yoco: 'files:none/*' matches no file"),
        ({**GRID, "lenghts": "1K"}, "yoco: unknown setting 'lenghts': did you mean 'lengths'?"),
        ('{"lengths": [', "yoco: Invalid JSON: "),
        ("[" * 100_000, "yoco: an argument is nested too deeply"),
    ],
)
def test_lm_eval_ends_in_one_line(
    capsys: pytest.CaptureFixture[str], metadata: Any, message: str
) -> None:
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    status, line = run_lm_eval(
        capsys, "--model_args", "pretrained=demo", "--device", "cpu", "--metadata", text
    )
    assert status == 2 and line.startswith(message)


@pytest.mark.usefixtures("small_lm_eval")
def test_lm_eval_ends_in_one_line_for_wrong_model_arguments(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, line = run_lm_eval(capsys, "--model_args", "pretrained=nowhere")
    assert status == 2 and line.startswith("yoco: no such folder: nowhere")


@pytest.mark.usefixtures("small_lm_eval")
def test_our_tasks_end_other_models_runs_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    metadata = json.dumps({**GRID, "trials": 0})
    status, line = run_lm_eval(capsys, "--metadata", metadata, model="dummy")
    assert status == 2 and line.startswith("yoco: trials=0 is not a whole number")


@pytest.mark.usefixtures("small_lm_eval")
def test_other_models_errors_are_left_alone() -> None:
    with pytest.raises(ValueError, match="no model for this name"):
        main(["run", "--model", "none_of_ours", *TASKS])


@pytest.mark.usefixtures("small_lm_eval")
def test_the_traceback_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMEVAL_LOG_LEVEL", "debug")
    with pytest.raises(FileNotFoundError, match="no such folder: nowhere"):
        main(["run", "--model", "yoco", "--model_args", "pretrained=nowhere", *TASKS])


@pytest.mark.usefixtures("small_lm_eval")
@pytest.mark.parametrize("num_lines", [1, 12])
def test_lm_eval_says_what_has_no_score(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, num_lines: int
) -> None:
    def generate_until(self: YOCOLM, requests: list[Any], **_kwargs: Any) -> list[str]:
        self.not_measured += [f"prompt {number} is not measured" for number in range(num_lines)]
        return [""] * len(requests)

    monkeypatch.setattr(YOCOLM, "generate_until", generate_until)
    arguments = ["--model_args", "pretrained=demo", "--device", "cpu"]
    status, line = run_lm_eval(capsys, *arguments, "--metadata", json.dumps(GRID))
    last = "prompt 0 is not measured" if num_lines == 1 else "and 2 more like these"
    assert (status, line) == (1, f"yoco: {last}")


@pytest.mark.usefixtures("small_lm_eval")
def test_a_program_gets_the_exception() -> None:
    with pytest.raises(ValueError, match="length '4Q' is not a positive whole number"):
        simple_evaluate(
            "yoco",
            {"pretrained": "demo", "device": "cpu"},
            tasks=["yoco_needle"],
            metadata={**GRID, "lengths": "4Q"},
        )
