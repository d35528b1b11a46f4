"""One task's run through lm-eval on a model that is loaded already, and its result files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.model import CacheHook
from lm_eval.evaluator import simple_evaluate
from lm_eval.loggers import EvaluationTracker

from evals.backend import YOCOLM


def evaluate(
    lm: YOCOLM,
    tasks: Sequence[Any],
    manager: Any,
    *,
    model_args: Mapping[str, Any],
    batch_size: int | str,
    limit: int | None,
    num_fewshot: int | None,
    requests: Path,
    output: Path,
) -> Path | None:
    """Runs lm-eval's task objects and writes its own result and sample files.

    Args:
        manager: lm-eval's TaskManager; without one it would index all its tasks again.
        model_args: as the record has them, from which readers take the model's name.
        requests: where lm-eval keeps the answer to each request (`use_cache`), with which a run
            that was killed goes on; it must belong to this run alone.
        output: folder; the files lie in it directly.

    Returns:
        The results file; None on the other ranks of a run of several processes.

    Raises:
        OSError: lm-eval could not write all of them.
    """
    # lm-eval makes a folder for the model unless the path ends so
    tracker: Any = EvaluationTracker(output_path=str(output / "results.json"))
    try:
        results: Any = simple_evaluate(
            model=lm,
            model_args=dict(model_args),
            tasks=list(tasks),
            task_manager=manager,
            batch_size=batch_size,
            limit=limit,
            num_fewshot=num_fewshot,
            use_cache=str(requests),
            log_samples=True,
            evaluation_tracker=tracker,
        )
    finally:
        _close_cache(lm)
    if results is None:
        return None
    # the same record as of `lm_eval --model yoco`: lm-eval names a loaded model by its class
    results["config"]["model"] = tracker.general_config_tracker.model_source = "yoco"
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for name in results["configs"]:
        tracker.save_results_samples(task_name=name, samples=samples[name])
    return _checked(output, samples)


def _close_cache(lm: YOCOLM) -> None:
    database = lm.cache_hook.dbdict
    lm.set_cache_hook(CacheHook(None))
    if database is not None:
        database.close()


def _checked(output: Path, samples: Mapping[str, Sequence[Any]]) -> Path:
    """The results file, if all was written: lm-eval only warns where it cannot."""
    written = list(output.glob("results_*.json"))
    if not written:
        raise OSError(f"lm-eval could not write its results into {output}")
    for name, expected in samples.items():
        num_lines = 0
        for path in output.glob(f"samples_{name}_*.jsonl"):
            with path.open("rb") as file:
                num_lines += sum(1 for _ in file)
        if num_lines != len(expected):
            raise OSError(
                f"lm-eval wrote {num_lines} of {len(expected)} samples of {name} into {output}"
            )
    return written[0]
