"""The arguments of the `yoco` commands: what each may be, what it means and what it is by default.

Defaults that `--help` shows are read from where they are defined; an option that is not given is
None, so that it does not count as asked for.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
import sys
from collections.abc import Callable
from typing import NoReturn

from evals.model_args import CHUNK_SIZE, ModelArguments
from evals.user_errors import one_line
from tasks.catalogue import default_settings
from tasks.shown import shown

CHECKPOINT = "folder of a checkpoint, or the name of an embedded one (demo)"


class CommandParser(argparse.ArgumentParser):
    """Its errors are one line; models and other plain arguments may stand among the options."""

    def error(self, message: str) -> NoReturn:
        """Says what is wrong and ends with exit status 2."""
        print(f"{self.prog}: {one_line(message)}", file=sys.stderr)
        raise SystemExit(2)


def whole_number(least: int) -> Callable[[str], int]:
    """A reader of whole numbers of at least `least`."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,18}", text.strip()) or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"{shown(text)} is not a whole number of at least {least}"
            )
        return int(text)

    return read


def given(text: str) -> str:
    """The text.

    Raises:
        ArgumentTypeError: there is none, as of a variable that is not set.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("it must not be empty")
    return text


def names(text: str) -> list[str]:
    """The parts of a text between commas."""
    return [part.strip() for part in given(text).split(",") if part.strip()]


def steps(text: str) -> list[float]:
    """Steps of training.

    Raises:
        ArgumentTypeError: one is no number, or not a finite one.
    """
    return [_step(part) for part in names(text)]


def _step(text: str) -> float:
    try:
        step = float(text)
    except ValueError:
        step = math.nan
    if not 0 <= step < math.inf:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a step of training, as 1000")
    return step


def add_demo(parser: CommandParser) -> None:
    """Arguments of `yoco demo`."""
    parser.add_argument("--quick", action="store_true", help="two short lengths, a few seconds")
    _add_output(parser, "yoco-demo")


def add_needle(parser: CommandParser) -> None:
    """Arguments of `yoco needle`."""
    parser.add_argument("pretrained", type=given, help=CHECKPOINT)
    usual = default_settings("yoco_needle")
    group = parser.add_argument_group("the grid")
    group.add_argument(
        "--lengths",
        type=given,
        help="context lengths in tokens: 4K,8K,1M, or 128K..1M/8 for 8 equal steps, or 4K..128K "
        f"for doublings; K is 1,024 (default: {usual['lengths']})",
    )
    group.add_argument(
        "--depths",
        type=given,
        help="where the needle lies, as a number of depths, or as fractions: 0,0.5,1 "
        f"(default: {usual['depths']})",
    )
    group.add_argument(
        "--depth-spacing",
        choices=["linear", "sigmoid"],
        help="how a number of depths is spaced; sigmoid is closer at both ends "
        f"(default: {usual['depth_spacing']})",
    )
    group.add_argument(
        "--trials",
        type=whole_number(1),
        help=f"prompts per cell, each with its own text and needle (default: {usual['trials']})",
    )
    group.add_argument(
        "--needles",
        type=whole_number(0),
        help="needles per prompt; 0 is a control, which asks for one that is not there "
        f"(default: {usual['needles']})",
    )
    group.add_argument(
        "--ask",
        choices=["one", "all"],
        help=f"whether one needle is asked for, or all of them (default: {usual['ask']})",
    )
    group.add_argument(
        "--haystack",
        type=given,
        help="the text around the needles: stdlib, FOLDER, files:GLOB, hf:DATASET#COLUMN, noise, "
        f"or needles for distractors (default: {usual['haystack']})",
    )
    group.add_argument(
        "--no-repeat",
        action="store_true",
        help="refuse a haystack that is too short (default: it begins again)",
    )
    group.add_argument(
        "--seed",
        type=whole_number(0),
        help=f"of all random choices in the prompts (default: {usual['seed']})",
    )
    _add_model(parser)
    _add_output(parser, "yoco-needle")


def add_nll(parser: CommandParser) -> None:
    """Arguments of `yoco nll`."""
    parser.add_argument(
        "pretrained",
        type=given,
        nargs="+",
        help="folders of checkpoints, or names of embedded ones",
    )
    usual = default_settings("yoco_nll")
    group = parser.add_argument_group("the documents")
    group.add_argument(
        "--documents",
        type=given,
        help=f"stdlib, FOLDER, files:GLOB or hf:DATASET#COLUMN (default: {usual['documents']})",
    )
    group.add_argument(
        "--num-documents", type=whole_number(1), help="only the first so many (default: all)"
    )
    group.add_argument(
        "--length",
        type=given,
        help="tokens of a document at most, as 64K or 1M; the beginning of a longer one is taken "
        f"(default: {usual['lengths']})",
    )
    group.add_argument(
        "--bins-per-octave",
        type=whole_number(1),
        help="bins of positions, from one position to its double "
        f"(default: {usual['bins_per_octave']})",
    )
    _add_model(parser)
    _add_output(parser, "yoco-nll")


def add_heatmap(parser: CommandParser) -> None:
    """Arguments of `yoco heatmap`."""
    parser.add_argument(
        "results", type=given, nargs="+", help="results_*.json, samples_*.jsonl, or folders"
    )
    parser.add_argument(
        "-o", "--output", type=given, help="picture to write: .png, .svg or .pdf (default: none)"
    )
    parser.add_argument(
        "--csv", type=given, help="file to write one row per cell to (default: none)"
    )
    parser.add_argument("--title", help="a line above the picture (default: none)")


def add_compare(parser: CommandParser) -> None:
    """Arguments of `yoco compare`."""
    parser.add_argument(
        "models",
        type=given,
        nargs="+",
        help="checkpoints, or folders of lm-eval's results; the first is the baseline",
    )
    parser.add_argument(
        "--tasks",
        type=names,
        default=[],
        help="T1,T2: any of lm-eval's, yoco_paper and yoco_long (default: what the results hold)",
    )
    parser.add_argument(
        "--data",
        type=given,
        help="folder of local benchmark data: TASK.jsonl, TASK/, ... (default: the hub's)",
    )
    parser.add_argument("--limit", type=_limit, help="documents per task (default: all)")
    parser.add_argument(
        "--num-fewshot",
        type=whole_number(0),
        help="examples per prompt (default: each task's own number)",
    )
    parser.add_argument(
        "--metadata",
        help="settings of our tasks, as a JSON object (default: each task's own)",
    )
    parser.add_argument(
        "--steps",
        type=steps,
        help="S1,S2: steps of training, one per model; draws a curve (default: no curve)",
    )
    parser.add_argument(
        "--paper", action="store_true", help="show the paper's figures next to ours"
    )
    _add_model(parser)
    _add_output(parser, "yoco-compare")


def _limit(text: str) -> int:
    try:
        return whole_number(1)(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is not a number of documents of at least 1: a fraction, as lm_eval "
            "takes it, is not the same documents of every task"
        ) from None


def add_local_tasks(parser: CommandParser) -> None:
    """Arguments of `yoco local-tasks`."""
    parser.add_argument(
        "data", type=given, help="folder of local benchmark data: TASK.jsonl, TASK/, ..."
    )
    parser.add_argument("folder", type=given, help="folder to write, for lm_eval --include_path")
    parser.add_argument("--tasks", type=names, required=True, help="T1,T2: any of lm-eval's")
    parser.add_argument(
        "--num-fewshot",
        type=whole_number(0),
        help="examples per prompt in the runs to come (default: each task's own number)",
    )


def add_convert(parser: CommandParser) -> None:
    """Arguments of `yoco convert`."""
    parser.add_argument("src", type=given, help="folder of a checkpoint, official or Hugging Face")
    parser.add_argument("dst", type=given, help="folder to write; must not exist, or be empty")


def add_list(parser: CommandParser) -> None:
    """Arguments of `yoco list`: none."""


def add_info(parser: CommandParser) -> None:
    """Arguments of `yoco info`."""
    parser.add_argument("pretrained", type=given, help=CHECKPOINT)
    parser.add_argument(
        "--lengths",
        type=given,
        default="4K,128K,1M",
        help="context lengths in tokens; K is 1,024 (default: %(default)s)",
    )
    parser.add_argument(
        "--dtype",
        type=given,
        default="auto",
        help="dtype that it would run in (default: as stored)",
    )
    parser.add_argument(
        "--chunk-size",
        type=given,
        help=f"tokens per prefill chunk (default: {CHUNK_SIZE['cuda']}, that of a GPU)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print all of it as JSON, in bytes and FLOPs"
    )


def _add_output(parser: CommandParser, default: str) -> None:
    parser.add_argument(
        "--output",
        type=given,
        default=default,
        help="folder for results and pictures (default: %(default)s)",
    )


def _add_model(parser: CommandParser) -> None:
    usual = {each.name: each.default for each in dataclasses.fields(ModelArguments)}
    chunks = " or ".join(
        f"{size} on {'a CPU' if device == 'cpu' else 'a GPU'}"
        for device, size in CHUNK_SIZE.items()
    )
    group = parser.add_argument_group("the model")
    group.add_argument(
        "--tokenizer",
        type=given,
        help="folder, tokenizer.json, hub name, embedded checkpoint's name or cl100k_base "
        "(default: the checkpoint's own)",
    )
    group.add_argument(
        "--device", type=given, help=f"auto, cpu, cuda, cuda:1 (default: {usual['device']})"
    )
    group.add_argument(
        "--dtype",
        type=given,
        help="auto, float32, bfloat16, float16; auto is as stored on a GPU, float32 on a CPU "
        f"(default: {usual['dtype']})",
    )
    group.add_argument(
        "--chunk-size", type=given, help=f"tokens per prefill chunk (default: {chunks})"
    )
    group.add_argument(
        "--max-length",
        type=given,
        help="tokens that prompt and answer may have together, as 128K "
        "(default: the checkpoint's limit, else 1M)",
    )
    group.add_argument(
        "--rope-precision",
        choices=["float64", "reference"],
        help=f"arithmetic of the rotary angles (default: {usual['rope_precision']})",
    )
    group.add_argument(
        "--backend",
        choices=["auto", "reference", "torch", "fla"],
        help=f"implementation of the kernels (default: {usual['backend']})",
    )
    group.add_argument(
        "--share",
        action=argparse.BooleanOptionalAction,
        help="read only once what prompts have in common (default: yes)",
    )
    group.add_argument(
        "--allow-nonfinite",
        action="store_true",
        default=None,
        help="load weights that are NaN or Inf (default: refuse them)",
    )
    group.add_argument(
        "--batch-size",
        type=given,
        default="auto",
        help="prompts that run together; auto is as many as fit a chunk (default: %(default)s)",
    )
