"""The command line, in this process: what its arguments may be, and how it says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evals.compare
import evals.task_run
import heatmaps.report
from evals.cli import COMMANDS, main
from evals.model_args import CHUNK_SIZE
from tasks.needle_settings import NeedleSettings
from tasks.nll import DocumentSettings

Record = dict[str, Any]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Record:
    """What the commands would run, in place of running it."""
    record: Record = {}

    def compare(models: Any, settings: Any, output: Any, **options: Any) -> None:
        record.update(models=models, settings=settings, output=output, **options)

    def run_task(model_args: Any, **options: Any) -> None:
        record.update(options, model_args=model_args)
        record.setdefault("models", []).append(model_args["pretrained"])

    def write_heatmap(results: Any, *_args: Any, **_options: Any) -> str:
        record.update(models=results)
        return "a \x1b[2J name"

    monkeypatch.setattr(evals.compare, "compare", compare)
    monkeypatch.setattr(evals.task_run, "run_task", run_task)
    monkeypatch.setattr(heatmaps.report, "write_heatmap", write_heatmap)
    return record


@pytest.fixture
def error_of(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line that a command ends in, with exit status 2."""

    def run(*arguments: str) -> str:
        try:
            status = main(list(arguments))
        except SystemExit as exit_:
            status = exit_.code
        written = capsys.readouterr()
        assert (status, written.out) == (2, "")
        assert written.err.count("\n") == 1 and written.err.isascii()
        assert written.err.rstrip("\n").isprintable()
        return written.err.rstrip("\n")

    return run


@pytest.mark.parametrize(
    ("arguments", "models"),
    [
        (["compare", "A", "--tasks", "x,y", "B"], ["A", "B"]),
        (["compare", "--tasks", "x,y", "A", "--paper", "B", "--output", "o", "C"], ["A", "B", "C"]),
        (["nll", "A", "--length", "1K", "B"], ["A", "B"]),
        (["heatmap", "A", "-o", "x.png", "B"], ["A", "B"]),
        (["needle", "--trials", "2", "A", "--seed", "3"], ["A"]),
    ],
)
def test_models_stand_anywhere(asked: Record, arguments: list[str], models: list[str]) -> None:
    assert main(arguments) == 0
    assert asked["models"] == models


def test_what_is_not_given_is_not_asked_for(asked: Record) -> None:
    assert main(["needle", "A"]) == 0
    assert asked["metadata"] == {}
    assert {value for name, value in asked["model_args"].items() if name != "pretrained"} == {None}


def test_lengths_may_be_written_with_their_units(asked: Record) -> None:
    assert main(["needle", "A", "--max-length", "128K", "--chunk-size", "4K"]) == 0
    assert asked["model_args"]["max_length"] == "128K"
    assert asked["model_args"]["chunk_size"] == "4K"


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("needle A --trials 1e9", "argument --trials: '1e9' is not a whole number of at least 1"),
        (f"needle A --trials {'9' * 400}", "argument --trials: '99999999999999999999999999"),
        ("needle A --trials 0", "argument --trials: '0' is not a whole number of at least 1"),
        ("needle A --seed -1", "argument --seed: '-1' is not a whole number of at least 0"),
        ("needle A --lengths  --depths 1", "argument --lengths: expected one argument"),
        ("needle A B", "unrecognized arguments: B"),
        ("needle", "the following arguments are required: pretrained"),
        ("needle A --\x1b[2Jx", "unrecognized arguments: --\\x1b[2Jx"),
        ("needle A --ask \u202eone", "argument --ask: invalid choice: '\\u202eone'"),
        ("compare A B --limit 0", "argument --limit: '0' is not a number of documents"),
        ("compare A B --limit -1", "argument --limit: '-1' is not a number of documents"),
        ("compare A B --limit 0.5", "argument --limit: '0.5' is not a number of documents of at"),
        ("compare A B --steps 1,two", "argument --steps: 'two' is not a step of training"),
        ("compare A B --steps 1,nan", "argument --steps: 'nan' is not a step of training"),
        ("compare A B --steps 1,1e999", "argument --steps: '1e999' is not a step of training"),
        ("compare A B --num-fewshot -1", "argument --num-fewshot: '-1' is not a whole number"),
        ("compare A B --metadata {", "--metadata is '{', which is not JSON: Expecting property"),
        ("compare A B --metadata [1]", "--metadata is '[1]': it must be a JSON object"),
        ('compare A B --metadata {"a":NaN}', "--metadata is '{\"a\":NaN}', which is not JSON: NaN"),
        (f"compare A B --metadata {'[' * 100_000}", "--metadata is '[[[[[[[[[[[[[[[[[[[[[[["),
        (f'compare A B --metadata {{"a":{"9" * 5000}}}', '--metadata is \'{"a":999999999999'),
    ],
)
def test_wrong_arguments(error_of: Callable[..., str], arguments: str, message: str) -> None:
    parts = arguments.split(" ")
    line = error_of(*filter(None, parts))
    assert line.startswith(f"yoco {parts[0]}: {message}"[:1000])
    assert len(line) < 1100


@pytest.mark.parametrize(
    "arguments",
    [
        ["needle", ""],
        ["needle", "A", "--output", ""],
        ["needle", "A", "--haystack", " "],
        ["needle", "A", "--tokenizer="],
        ["nll", "A", ""],
        ["compare", "A", "B", "--data", ""],
        ["compare", "A", "B", "--steps", ""],
        ["compare", "A", "B", "--metadata", ""],
        ["convert", "A", ""],
    ],
)
@pytest.mark.usefixtures("asked")
def test_what_is_empty_is_refused(error_of: Callable[..., str], arguments: list[str]) -> None:
    """As of a variable of the shell that is not set."""
    assert re.search("it must not be empty|is '', which is not JSON", error_of(*arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "yoco: no command: yoco --help lists them"),
        (["nedle", "A"], "yoco: 'nedle' is no command: did you mean needle?"),
        (["\x1b]0;x\x07"], "yoco: '\\x1b]0;x\\x07' is no command: yoco --help lists them"),
        (["--bad"], "yoco: unrecognized arguments: --bad"),
    ],
)
def test_no_such_command(error_of: Callable[..., str], arguments: list[str], message: str) -> None:
    assert error_of(*arguments) == message


def help_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*arguments, "--help"])
    return " ".join(capsys.readouterr().out.split())


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys)
    assert all(f"{name} {command.summary}" in text for name, command in COMMANDS.items())


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--version"])
    assert capsys.readouterr().out.startswith("yoco-evals")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_tells_the_default_of_every_value(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    text = help_of(capsys, name)
    options = re.findall(r"(--[a-z-]+) (?:[A-Z_]+|\{[^}]*\}) (.*?)(?= --| -o | the model:|$)", text)
    for option, meaning in options:
        if (name, option) != ("local-tasks", "--tasks"):
            assert "(default: " in meaning, option
    # rates are "per", not "a"
    assert not re.search(r"\b(prompts|tokens|documents|examples|needles|steps|one) an? ", text)


def test_defaults_of_the_help_are_those_that_run(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys, "needle")
    grid, documents = NeedleSettings(), DocumentSettings()
    for option, value in [("trials", grid.trials), ("needles", grid.needles), ("seed", grid.seed)]:
        assert re.search(rf"--{option} [A-Z]+ [^(]*\(default: {value}\)", text)
    assert f"{CHUNK_SIZE['cpu']} on a CPU or {CHUNK_SIZE['cuda']} on a GPU" in text
    text = help_of(capsys, "nll")
    assert "from one position to its double (default: " in text
    assert f"(default: {documents.bins_per_octave})" in text


def test_names_in_the_output_do_nothing_to_the_terminal(
    asked: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["heatmap", "x"]) == 0
    assert capsys.readouterr().out == "a \\x1b[2J name\n"


@pytest.mark.parametrize("is_kept", [True, False])
def test_an_interrupted_command_says_what_is_kept(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_kept: bool,
) -> None:
    def compare(*_args: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evals.compare, "compare", compare)
    if is_kept:
        (tmp_path / "demo" / "unfinished" / "yoco_needle-1").mkdir(parents=True)
    status = main(["compare", "A", "B", "--output", str(tmp_path)])
    kept = f": what was finished is kept in {tmp_path}, and the same command goes on from it"
    assert status == 130
    assert capsys.readouterr().err == f"yoco compare: interrupted{kept if is_kept else ''}\n"


def test_a_fault_of_ours_is_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def compare(*_args: Any, **_options: Any) -> None:
        raise TypeError("a fault")

    monkeypatch.setattr(evals.compare, "compare", compare)
    with pytest.raises(TypeError, match="a fault"):
        main(["compare", "A", "B"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["needle", "nowhere"], "yoco needle: no such folder: nowhere"),
        (["needle", "demo", "--lengths", "4Q"], "yoco needle: length '4Q' is not a positive "),
        (["nll", "demo", "--documents", "files:none*"], "yoco nll: 'files:none*' matches no file"),
        (["heatmap", "nothing", "-o", "x.png"], "yoco heatmap: nothing: no such file or folder"),
        (["convert", "nowhere", "there"], "yoco convert: no such folder: nowhere"),
        (["compare", "demo", "nowhere", "--tasks", "x"], "yoco compare: no such folder: nowhere"),
        (["info", "nowhere"], "yoco info: no such folder: nowhere"),
    ],
)
def test_what_is_not_there_is_one_line(
    arguments: list[str],
    message: str,
    error_of: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert error_of(*arguments).startswith(message)
