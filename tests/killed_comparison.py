"""A comparison that is killed, again and again, at a given event or time; `KILLS` says when.

    python killed_comparison.py FOLDER KILLS

FOLDER holds the checkpoints `a` and `b` and `data`. KILLS is a JSON list: a number N kills at the
Nth answer, -N at the Nth time that a file is synchronised, a fraction after that many seconds.
Each attempt is a process of its own, forked from this one because importing takes longer than the
comparison; the last attempt is left alone. Printed is a JSON list of what became of each: -9, or 0,
and how many requests were answered in it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import lm_eval.evaluator

import evals.runs
from evals.answers import Answers
from evals.catalogue import Catalogue
from evals.checkpoint_runs import RunSettings
from evals.compare import compare

TASKS = ("arc_easy", "piqa", "yoco_needle")
METADATA = {"lengths": [256, 400], "depths": 3, "trials": 2, "haystack": "noise"}


def settings(folder: Path) -> RunSettings:
    # batches of one: many events, and the same arithmetic whatever is left to do
    return RunSettings(
        tasks=TASKS,
        data=folder / "data",
        metadata=METADATA,
        model_args={"device": "cpu", "max_length": 2048},
        batch_size=1,
    )


def without_report() -> None:
    """Replaces the writing of the report, which is another module's."""
    report = ModuleType("heatmaps.comparison.report")
    setattr(report, "write_comparison", lambda models, output, **options: "written")  # noqa: B010
    sys.modules[report.__name__] = report


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def attempt(folder: Path, kill: int | float | None, answers: Path) -> None:
    num_answers = num_synchronised = 0

    def add_and_count(self: Answers, method: str, arguments: tuple[Any, ...], answer: Any) -> None:
        nonlocal num_answers
        add(self, method, arguments, answer)
        with answers.open("a") as file:
            file.write("answer\n")
        num_answers += 1
        if num_answers == kill:
            die()

    def synchronise(path: Path) -> None:
        nonlocal num_synchronised
        synchronised(path)
        num_synchronised += 1
        if num_synchronised == -(kill or 0):
            die()

    add, synchronised = Answers.add, evals.runs._synchronise
    Answers.add = add_and_count
    evals.runs._synchronise = synchronise
    if isinstance(kill, float):
        timer = threading.Timer(kill, die)
        timer.daemon = True
        timer.start()
    compare([str(folder / "a"), str(folder / "b")], settings(folder), folder / "out")


def main(folder: Path, kills: list[int | float | None]) -> None:
    without_report()
    # which asks pip, at each task, what is installed
    lm_eval.evaluator.add_env_info = lambda storage: None
    # lm-eval's index, once for all attempts
    Catalogue(TASKS)
    outcomes = []
    answers = folder / "answers"
    for kill in [*kills, None]:
        answers.write_text("")
        child = os.fork()
        if child == 0:
            attempt(folder, kill, answers)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        outcomes.append((os.waitstatus_to_exitcode(status), len(answers.read_text().splitlines())))
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
