"""The `yoco` command: its arguments, and which function each of its subcommands calls."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evals.user_errors import USER_ERRORS, one_line

# of the demo: a grid that two cores finish in two minutes
DEMO_SETTINGS = {"lengths": ["4K", "16K", "64K", "256K", "1M"], "depths": 11, "trials": 1}
QUICK_SETTINGS = {"lengths": ["1K", "2K"], "depths": 3, "trials": 1}
# of what was not measured, on the terminal
MOST_LINES = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; a user's error is one line on stderr and exit status 2."""
    # before torch is imported: threads that wait in a busy loop take the cores from each other, and
    # a prefill on a machine that does something else besides became seven times slower
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments[:1] == ["run"]:
        return _run(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        status = options.function(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # who reads our output (`| head`) has seen enough; what is left goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except USER_ERRORS as error:
        if options.traceback:
            raise
        print(f"yoco {options.command}: {one_line(error)}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="yoco", description="Long-context evaluation of YOCO language models."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, function: Any, summary: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=summary)
        sub.add_argument("--traceback", action="store_true", help="show where an error came from")
        sub.set_defaults(function=function)
        return sub

    demo = command("demo", _demo, "draw a true heatmap of an embedded checkpoint; no download")
    demo.add_argument("--quick", action="store_true", help="two short lengths, a few seconds")
    _add_output(demo, "yoco-demo")

    needle = command("needle", _needle, "run needles in a haystack by length and depth, and draw")
    needle.add_argument("pretrained", help="checkpoint folder, or an embedded one's name (demo)")
    _add_settings(needle)
    _add_model(needle)
    _add_output(needle, "yoco-needle")

    nll = command("nll", _nll, "score long documents by position, for one or more checkpoints")
    nll.add_argument("pretrained", nargs="+", help="checkpoint folders, or embedded ones' names")
    _add_documents(nll)
    _add_model(nll)
    _add_output(nll, "yoco-nll")

    heatmap = command("heatmap", _heatmap, "draw heatmaps from lm-eval's result files alone")
    heatmap.add_argument("results", nargs="+", help="results_*.json, samples_*.jsonl, or folders")
    heatmap.add_argument("-o", "--output", help="picture to write: .png, .svg or .pdf")
    heatmap.add_argument("--csv", help="file for one row a cell")
    heatmap.add_argument("--title", help="a line above the picture")

    compare = command("compare", _compare, "run benchmarks where results are missing, and compare")
    compare.add_argument(
        "models", nargs="+", help="checkpoints or folders of lm-eval's results; first the baseline"
    )
    compare.add_argument("--tasks", help="T1,T2: any of lm-eval's, and yoco_paper, yoco_long")
    compare.add_argument("--data", help="folder of local benchmark data: TASK.jsonl, TASK/, ...")
    compare.add_argument("--limit", type=int, help="documents a task")
    compare.add_argument("--num-fewshot", type=int, help="examples a prompt")
    compare.add_argument("--metadata", help="settings of our tasks, as a JSON object")
    compare.add_argument("--steps", help="S1,S2: steps of training, one a model: draws a curve")
    compare.add_argument("--paper", action="store_true", help="the paper's figures beside ours")
    _add_model(compare)
    _add_output(compare, "yoco-compare")

    local = command("local-tasks", _local_tasks, "write task files: lm-eval's own, local data")
    local.add_argument("data", help="folder of local benchmark data: TASK.jsonl, TASK/, ...")
    local.add_argument("folder", help="folder to write, for lm_eval --include_path")
    local.add_argument("--tasks", required=True, help="T1,T2: any of lm-eval's")
    local.add_argument("--num-fewshot", type=int, help="examples a prompt will have")

    convert = command("convert", _convert, "rewrite a checkpoint as safetensors and config.json")
    convert.add_argument("src", help="checkpoint folder, official or Hugging Face")
    convert.add_argument("dst", help="folder to write; must not exist, or be empty")

    command("list", _list, "our tasks, groups of tasks and embedded checkpoints")

    info = command("info", _info, "what a checkpoint is, and its memory and FLOPs by length")
    info.add_argument("pretrained", help="checkpoint folder, or an embedded one's name (demo)")
    info.add_argument("--lengths", default="4K,128K,1M", help="default: %(default)s; K = 1024")
    info.add_argument("--dtype", default="auto", help="of the run (default: as stored)")
    info.add_argument(
        "--chunk-size", type=int, help="tokens of one prefill chunk (default: that of a GPU)"
    )
    info.add_argument("--json", action="store_true", help="all of it as JSON, in bytes and FLOPs")

    commands.add_parser("run", help="lm_eval itself, with --model yoco and our tasks registered")
    return parser


def _add_output(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--output", default=default, help="folder for results and pictures (default: %(default)s)"
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the grid")
    group.add_argument("--lengths", help="4K,8K,1M or 128K..1M/8 (8 steps); K = 1024")
    group.add_argument("--depths", help="a number of depths, or 0,0.5,1")
    group.add_argument("--depth-spacing", choices=["linear", "sigmoid"])
    group.add_argument("--trials", type=int, help="prompts a cell")
    group.add_argument("--needles", type=int, help="needles a prompt; 0 is a control without")
    group.add_argument("--ask", choices=["one", "all"], help="for how many of the needles")
    group.add_argument(
        "--haystack", help="stdlib, FOLDER, files:GLOB, hf:DATASET#COLUMN, noise or needles"
    )
    group.add_argument(
        "--no-repeat", action="store_true", help="refuse a haystack that is too short"
    )
    group.add_argument("--seed", type=int)


def _add_documents(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the documents")
    group.add_argument("--documents", help="stdlib (the default), FOLDER, files:GLOB or hf:DATASET")
    group.add_argument("--num-documents", type=int, help="the first so many of them")
    group.add_argument("--length", help="tokens of a document, at most: 128K (the default), 1M")
    group.add_argument("--bins-per-octave", type=int, help="bins of positions per doubling")


def _add_model(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the model")
    group.add_argument("--tokenizer", help="folder, tokenizer.json, hub name or cl100k_base")
    group.add_argument("--device", help="auto, cpu, cuda, cuda:1")
    group.add_argument("--dtype", help="auto, float32, bfloat16, float16")
    group.add_argument("--chunk-size", type=int, help="tokens of one prefill chunk")
    group.add_argument("--max-length", type=int, help="tokens of prompt and answer together")
    group.add_argument("--rope-precision", choices=["float64", "reference"])
    group.add_argument("--backend", choices=["auto", "reference", "torch", "fla"], help="kernels")
    group.add_argument("--share", action=argparse.BooleanOptionalAction,
                       help="read once what prompts have in common (the default)")  # fmt: skip
    group.add_argument("--allow-nonfinite", action="store_true", default=None,
                       help="load weights that are NaN or Inf (default: refuse them)")  # fmt: skip
    group.add_argument("--batch-size", default="auto", help="prompts run together")


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
        print(write_nll(models, output / "nll.png", output / "nll.csv"))
    return _status(options, not_measured)


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
    print(write_heatmap([results], picture, read_plan=read_plan, draw_unmeasured=True))
    print(f"results {results}")
    return _status(options, done.not_measured)


def _status(options: argparse.Namespace, not_measured: Sequence[str]) -> int:
    """The exit status of a run; what has no score is said on stderr."""
    for line in not_measured[:MOST_LINES]:
        print(f"yoco {options.command}: {one_line(line)}", file=sys.stderr)
    left_out = len(not_measured) - MOST_LINES
    if left_out > 0:
        print(f"yoco {options.command}: and {left_out:,} more like these", file=sys.stderr)
    return 1 if not_measured else 0


def _heatmap(options: argparse.Namespace) -> int:
    from evals.planned_grids import read_plan
    from heatmaps.report import write_heatmap

    text = write_heatmap(
        options.results, options.output, options.csv, title=options.title, read_plan=read_plan
    )
    print(text)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from evals.checkpoint_runs import RunSettings
    from evals.compare import compare

    settings = RunSettings(
        tasks=_listed(options.tasks),
        data=Path(options.data) if options.data else None,
        limit=options.limit,
        num_fewshot=options.num_fewshot,
        metadata=_json_object("--metadata", options.metadata),
        model_args=_model_args(options),
        batch_size=options.batch_size,
    )
    steps = [float(step) for step in _listed(options.steps)] or None
    done = compare(options.models, settings, options.output, steps=steps, paper=options.paper)
    if done is None:
        return 0
    print(done.text)
    return _status(options, done.not_measured)


def _local_tasks(options: argparse.Namespace) -> int:
    from evals.local_tasks import write_task_files

    names = _listed(options.tasks)
    for path in write_task_files(
        names, options.data, options.folder, num_fewshot=options.num_fewshot
    ):
        print(path)
    return 0


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _json_object(name: str, text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise ValueError(f"{name} is {text!r}, which is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {text!r}: it must be a JSON object, {{...}}")
    return value


def _convert(options: argparse.Namespace) -> int:
    from yoco.checkpoints import convert
    from yoco.loading import resolve_path

    written = convert(resolve_path(options.src), options.dst)
    print(f"wrote {options.dst} ({written} layout)")
    return 0


def _list(options: argparse.Namespace) -> int:
    from evals.listing import listing

    print(listing())
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
    print(json.dumps(info.to_dict(), indent=2) if options.json else info_text(info))
    return 0


def _run(arguments: Sequence[str]) -> int:
    """lm_eval's own command, with our registration done in this process."""
    import _yoco_lm_eval_bridge

    _yoco_lm_eval_bridge.install(force=True)
    from lm_eval.__main__ import cli_evaluate

    sys.argv = ["lm_eval", *arguments]
    cli_evaluate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
