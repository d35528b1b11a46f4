"""The `yoco` command: its subcommands, and which function each of them calls."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals import command_arguments, unscored
from evals.command_arguments import CommandParser
from evals.user_errors import USER_ERRORS, one_line
from heatmaps.printable import printable
from tasks.shown import shown

# of the demo: a grid that two cores finish in two minutes
DEMO_SETTINGS = {"lengths": ["4K", "16K", "64K", "256K", "1M"], "depths": 11, "trials": 1}
QUICK_SETTINGS = {"lengths": ["1K", "2K"], "depths": 3, "trials": 1}

# as of a shell for what Ctrl-C ended
INTERRUPTED = 130
# of a comparison, or of the runs of each model
UNFINISHED = ("unfinished/*", "*/unfinished/*")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; a user's error is one line on stderr and exit status 2."""
    # before torch is imported: threads that wait in a busy loop take the cores from each other, and
    # a prefill on a machine that does something else besides became seven times slower
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments[:1] == ["run"]:
        return _run(arguments[1:])
    name, command = _chosen(arguments)
    options = _parser(name, command).parse_intermixed_args(arguments[1:])
    try:
        status = command.function(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # who reads our output (`| head`) has seen enough; what is left goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        if options.traceback:
            raise
        print(f"yoco {options.command}: interrupted{_what_is_kept(options)}", file=sys.stderr)
        return INTERRUPTED
    except USER_ERRORS as error:
        if options.traceback:
            raise
        print(f"yoco {options.command}: {one_line(error)}", file=sys.stderr)
        return 2


def _chosen(arguments: Sequence[str]) -> tuple[str, Command]:
    """The command that the arguments begin with; ends the program where they name none."""
    parser = CommandParser(
        prog="yoco", description="Long-context evaluation of YOCO language models."
    )
    parser.add_argument("--version", action="version", version=_version())
    listed = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, command in COMMANDS.items():
        listed.add_parser(name, help=command.summary)
    listed.add_parser("run", help="lm_eval itself, with --model yoco and our tasks registered")
    first = arguments[0] if arguments else ""
    if first not in COMMANDS:
        if first.startswith("-"):
            # --help, --version, or what is no option
            parser.parse_args(arguments[:1])
        near = difflib.get_close_matches(first, [*COMMANDS, "run"], n=1)
        hint = f"did you mean {near[0]}?" if near else "yoco --help lists them"
        parser.error(f"{shown(first)} is no command: {hint}" if first else f"no command: {hint}")
    return first, COMMANDS[first]


def _parser(name: str, command: Command) -> CommandParser:
    parser = CommandParser(prog=f"yoco {name}", description=_sentence(command.summary))
    parser.set_defaults(command=name)
    command.add_arguments(parser)
    parser.add_argument("--traceback", action="store_true", help="show where an error came from")
    return parser


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _version() -> str:
    try:
        return f"yoco-evals {importlib.metadata.version('yoco-evals')}"
    except importlib.metadata.PackageNotFoundError:
        return "yoco-evals, from a checkout that is not installed"


def _what_is_kept(options: argparse.Namespace) -> str:
    """Of a command that was interrupted: whether the same command goes on from there."""
    output = getattr(options, "output", None)
    if output is None or not any(any(Path(output).glob(place)) for place in UNFINISHED):
        return ""
    return (
        f": what was finished is kept in {printable(output)}, and the same command goes on from it"
    )


def _say(text: str) -> None:
    """Prints lines, in which no name does anything to the terminal."""
    print("\n".join(map(printable, text.split("\n"))))


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    settings = {
        "lengths": options.lengths,
        "depths": options.depths,
        "depth_spacing": options.depth_spacing,
        "trials": options.trials,
        "needles": options.needles,
        "haystack": options.haystack,
        "repeat": False if options.no_repeat else None,
        "seed": options.seed,
    }
    return {name: value for name, value in settings.items() if value is not None}


def _demo(options: argparse.Namespace) -> int:
    settings = QUICK_SETTINGS if options.quick else DEMO_SETTINGS
    return _run_and_draw(options, {"pretrained": "demo"}, "yoco_needle", settings, "auto")


def _model_args(options: argparse.Namespace) -> dict[str, Any]:
    names = ("tokenizer", "device", "dtype", "chunk_size", "max_length", "rope_precision", "share")
    return {name: getattr(options, name) for name in (*names, "backend", "allow_nonfinite")}


def _needle(options: argparse.Namespace) -> int:
    settings = _settings(options)
    task = "yoco_needle" if settings.get("needles", 1) <= 1 else "yoco_multi_needle"
    if options.ask == "all":
        task = "yoco_multi_needle_all"
    model_args = {"pretrained": options.pretrained, **_model_args(options)}
    return _run_and_draw(options, model_args, task, settings, options.batch_size)


def _nll(options: argparse.Namespace) -> int:
    from evals.task_run import run_task
    from heatmaps.likelihood.report import write_nll
    from heatmaps.models import ModelRun, labels_of
    from tasks.lengths import parse_length

    settings = {
        "documents": options.documents,
        "num_documents": options.num_documents,
        "lengths": options.length and parse_length(options.length),
        "bins_per_octave": options.bins_per_octave,
    }
    output = Path(options.output)
    names = list(dict.fromkeys(options.pretrained))
    models, not_measured = [], []
    for name, label in zip(names, labels_of([ModelRun(name=name) for name in names]), strict=True):
        done = run_task(
            {"pretrained": name, **_model_args(options)},
            task="yoco_nll",
            metadata={key: value for key, value in settings.items() if value is not None},
            batch_size=options.batch_size,
            output=output,
        )
        if done is not None:
            models.append((label, [done.results]))
            not_measured += [f"{label}: {line}" for line in done.not_measured]
    # another rank writes and draws
    if models:
        with _keeping([path for _, paths in models for path in paths]):
            _say(write_nll(models, output / "nll.png", output / "nll.csv"))
    return unscored.status(f"yoco {options.command}", not_measured)


def _run_and_draw(
    options: argparse.Namespace,
    model_args: dict[str, Any],
    task: str,
    settings: dict[str, Any],
    batch_size: str,
) -> int:
    from evals.planned_grids import read_plan
    from evals.task_run import run_task
    from heatmaps.report import write_heatmap

    done = run_task(
        model_args, task=task, metadata=settings, batch_size=batch_size, output=Path(options.output)
    )
    if done is None:
        # another rank writes and draws
        return 0
    results = done.results
    picture = results.with_name(results.name.replace("results_", "heatmap_")).with_suffix(".png")
    with _keeping([results]):
        _say(write_heatmap([results], picture, read_plan=read_plan, draw_unmeasured=True))
    _say(f"results {results}")
    return unscored.status(f"yoco {options.command}", done.not_measured)


@contextlib.contextmanager
def _keeping(results: Sequence[Path]) -> Iterator[None]:
    """Says where results are if a picture or a table of them cannot be written."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(f"{error}; the results are in {', '.join(map(str, results))}") from error


def _heatmap(options: argparse.Namespace) -> int:
    from evals.planned_grids import read_plan
    from heatmaps.report import write_heatmap

    text = write_heatmap(
        options.results, options.output, options.csv, title=options.title, read_plan=read_plan
    )
    _say(text)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from evals.checkpoint_runs import RunSettings
    from evals.compare import compare

    settings = RunSettings(
        tasks=options.tasks,
        data=Path(options.data) if options.data else None,
        limit=options.limit,
        num_fewshot=options.num_fewshot,
        metadata=_json_object("--metadata", options.metadata),
        model_args=_model_args(options),
        batch_size=options.batch_size,
    )
    done = compare(
        options.models, settings, options.output, steps=options.steps, paper=options.paper
    )
    if done is None:
        return 0
    _say(done.text)
    return unscored.status(f"yoco {options.command}", done.not_measured)


def _local_tasks(options: argparse.Namespace) -> int:
    from evals.local_tasks import write_task_files

    for path in write_task_files(
        options.tasks, options.data, options.folder, num_fewshot=options.num_fewshot
    ):
        _say(str(path))
    return 0


def _json_object(name: str, text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise ValueError(f"{name} is {shown(text)}, which is not JSON: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{name} is {shown(text)}: it is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {shown(text)}: it must be a JSON object, {{...}}")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _convert(options: argparse.Namespace) -> int:
    from yoco.checkpoints import convert
    from yoco.loading import resolve_path

    written = convert(resolve_path(options.src), options.dst)
    _say(f"wrote {options.dst} ({written} layout)")
    return 0


def _list(options: argparse.Namespace) -> int:
    from evals.listing import listing

    _say(listing())
    return 0


def _info(options: argparse.Namespace) -> int:
    from evals.info import checkpoint_info, info_text
    from tasks.lengths import parse_lengths

    info = checkpoint_info(
        options.pretrained,
        lengths=parse_lengths(options.lengths),
        dtype=options.dtype,
        chunk_size=options.chunk_size,
    )
    _say(json.dumps(info.to_dict(), indent=2) if options.json else info_text(info))
    return 0


def _run(arguments: Sequence[str]) -> int:
    """lm_eval's own command, with our registration done in this process."""
    import _yoco_lm_eval_bridge

    _yoco_lm_eval_bridge.install(force=True)
    from lm_eval.__main__ import cli_evaluate

    sys.argv = ["lm_eval", *arguments]
    cli_evaluate()
    return 0


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Attributes:
        summary: what it does, in a few words.
        add_arguments: gives a parser its arguments.
        function: does it, and returns the exit status.
    """

    summary: str
    add_arguments: Callable[[CommandParser], None]
    function: Callable[[argparse.Namespace], int]


COMMANDS = {
    "demo": Command(
        "draw a true heatmap of an embedded checkpoint, without a download",
        command_arguments.add_demo,
        _demo,
    ),
    "needle": Command(
        "run needles in a haystack by length and depth, and draw a heatmap",
        command_arguments.add_needle,
        _needle,
    ),
    "nll": Command(
        "score long documents by position, for one or more checkpoints",
        command_arguments.add_nll,
        _nll,
    ),
    "heatmap": Command(
        "draw heatmaps from lm-eval's result files alone", command_arguments.add_heatmap, _heatmap
    ),
    "compare": Command(
        "run benchmarks where results are missing, and compare the models",
        command_arguments.add_compare,
        _compare,
    ),
    "local-tasks": Command(
        "write files of lm-eval's own tasks that read local data",
        command_arguments.add_local_tasks,
        _local_tasks,
    ),
    "convert": Command(
        "rewrite a checkpoint as safetensors and config.json",
        command_arguments.add_convert,
        _convert,
    ),
    "list": Command(
        "show our tasks, groups of tasks and embedded checkpoints",
        command_arguments.add_list,
        _list,
    ),
    "info": Command(
        "show what a checkpoint is, and its memory and FLOPs by length",
        command_arguments.add_info,
        _info,
    ),
}


if __name__ == "__main__":
    sys.exit(main())
