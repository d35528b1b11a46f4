"""Tasks run through lm-eval on a model that is loaded already, and the files that come of it."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval.evaluator import simple_evaluate
from lm_eval.loggers import EvaluationTracker, evaluation_tracker

from evals.answers import Answers
from evals.resuming import ResumingLM


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What one run through lm-eval has left behind.

    Attributes:
        results: the results file.
        samples: the samples files.
        not_measured: a line for each request, or part of a grid, that has no score.
    """

    results: Path
    samples: list[Path]
    not_measured: list[str]

    @property
    def files(self) -> list[Path]:
        """All files."""
        return [self.results, *self.samples]


def evaluate(
    lm: ResumingLM,
    tasks: Sequence[Any],
    manager: Any,
    *,
    model_args: Mapping[str, Any],
    batch_size: int | str,
    limit: int | None,
    num_fewshot: int | None,
    bootstrap_iters: int,
    answers: Path,
    output: Path,
) -> Evaluation | None:
    """Runs lm-eval's task objects and writes its own result and sample files.

    Args:
        manager: lm-eval's TaskManager; without one it would index all its tasks again.
        model_args: as the record has them, from which readers take the model's name.
        bootstrap_iters: of lm-eval's standard errors.
        answers: folder where the answer to each request is kept, with which a run that was
            stopped goes on; it must belong to this run alone.
        output: folder, new or empty; the files lie in it directly.

    Returns:
        What was written; None on the other ranks of a run of several processes.

    Raises:
        OSError: a file cannot be written, with the reason.
        NotFiniteError: a task cannot be scored.
    """
    # lm-eval makes a folder for the model unless the path ends so
    tracker: Any = EvaluationTracker(output_path=str(output / "results.json"))
    lm.not_measured.clear()
    with lm.keeping(Answers(answers, rank=lm.rank)):
        results: Any = simple_evaluate(
            model=lm,
            model_args=dict(model_args),
            tasks=list(tasks),
            task_manager=manager,
            batch_size=batch_size,
            limit=limit,
            num_fewshot=num_fewshot,
            bootstrap_iters=bootstrap_iters,
            log_samples=True,
            evaluation_tracker=tracker,
        )
    of_ranks = lm.processes.gather_object(list(lm.not_measured))
    if results is None or of_ranks is None:
        return None
    # the same record as of `lm_eval --model yoco`: lm-eval names a loaded model by its class
    results["config"]["model"] = tracker.general_config_tracker.model_source = "yoco"
    samples = results.pop("samples")
    not_measured = [line for lines in of_ranks for line in lines]
    try:
        with _errors_of_lm_eval(output):
            tracker.save_results_aggregated(results=results, samples=samples)
            for name in results["configs"]:
                tracker.save_results_samples(task_name=name, samples=samples[name])
        written, files = _files(output, samples)
    except OSError:
        # half of the files are of no use, and take up what there is no more of
        shutil.rmtree(output, ignore_errors=True)
        raise
    return Evaluation(results=written, samples=files, not_measured=not_measured)


@contextmanager
def _errors_of_lm_eval(output: Path) -> Iterator[None]:
    """Raises what lm-eval only logs when it cannot write a file."""
    errors: list[BaseException | None] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # it logs within its `except`
            if (error := sys.exc_info()[1]) is not None:
                errors.append(error)

    logger = evaluation_tracker.eval_logger
    listener, level, propagate = Listener(), logger.level, logger.propagate
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
        logger.propagate = propagate
    for error in errors:
        if isinstance(error, OSError):
            raise OSError(
                f"results cannot be written into {output}: {error.strerror}; all answers are kept: "
                "run again when they can be"
            ) from error
        if error is not None:
            raise error


def _files(output: Path, samples: Mapping[str, Sequence[Any]]) -> tuple[Path, list[Path]]:
    """The results file, and the samples file of each task, if all its lines were written."""
    written = list(output.glob("results_*.json"))
    if len(written) != 1:
        raise OSError(f"lm-eval wrote {len(written)} results files into {output}, and not one")
    time = written[0].stem.removeprefix("results_")
    files = [output / f"samples_{name}_{time}.jsonl" for name in samples]
    for path, expected in zip(files, samples.values(), strict=True):
        with path.open("rb") as file:
            num_lines = sum(1 for _ in file)
        if num_lines != len(expected):
            raise OSError(f"lm-eval wrote {num_lines} of {len(expected)} samples to {path}")
    return written[0], files
