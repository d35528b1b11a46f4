"""One of our tasks run through lm-eval, as `yoco needle`, `yoco nll` and `yoco demo` do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import _yoco_lm_eval_bridge as bridge


def run_task(
    model_args: Mapping[str, Any],
    *,
    task: str,
    metadata: Mapping[str, Any],
    batch_size: int | str = "auto",
    output: Path,
) -> Path | None:
    """Runs one task and writes lm-eval's own result and sample files.

    Args:
        model_args: of `evals.backend.YOCOLM`.
        task: one of our tasks ("yoco_needle", "yoco_nll").
        metadata: the task's settings (`tasks.grids.NeedleSettings`, `tasks.nll.DocumentSettings`).
        output: folder; lm-eval makes one folder a model inside.

    Returns:
        The results file; None on the other ranks of a run of several processes.

    Raises:
        FileNotFoundError, ValueError: an argument or a setting is wrong.
    """
    bridge.install(force=True)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    # lm_eval takes seconds to import and sets up logging: only when it is run
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    model_args = {name: value for name, value in model_args.items() if value is not None}
    settings = {**model_args, **metadata}
    # our tasks only: lm-eval's own 14,690 names take six seconds to index
    manager = TaskManager(
        include_path=str(Path(bridge.folder_of("tasks")) / "yaml"),
        include_defaults=False,
        metadata=settings,
    )
    tracker: Any = EvaluationTracker(output_path=str(output))
    results: Any = simple_evaluate(
        model="yoco",
        model_args=model_args,
        tasks=[task],
        batch_size=batch_size,
        log_samples=True,
        evaluation_tracker=tracker,
        task_manager=manager,
        metadata=settings,
        bootstrap_iters=0,
        verbosity="ERROR",
    )
    if results is None:
        return None
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for name in results["configs"]:
        tracker.save_results_samples(task_name=name, samples=samples[name])
    # lm-eval only warns where it cannot write
    written = sorted(output.glob("*/results_*.json"), key=lambda path: path.stat().st_mtime_ns)
    if not written:
        raise OSError(f"lm-eval could not write its results below {output}")
    return written[-1]
