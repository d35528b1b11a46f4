"""One of our tasks run through lm-eval, as `yoco needle`, `yoco nll` and `yoco demo` do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lm_eval.utils import sanitize_model_name

from evals.catalogue import Catalogue
from evals.checkpoint_runs import RunSettings, keys_for, load, plan_runs, run_planned
from evals.distributed import Processes
from evals.evaluation import Evaluation
from evals.runs import RunStore
from yoco.checkpoints import read_checkpoint
from yoco.loading import resolve_path


def run_task(
    model_args: Mapping[str, Any],
    *,
    task: str,
    metadata: Mapping[str, Any],
    batch_size: int | str = "auto",
    output: Path,
) -> Evaluation | None:
    """Runs one task and writes lm-eval's own result and sample files.

    Answers are kept in the model's folder until the files are written, so that a run which was
    stopped goes on.

    Args:
        model_args: of `evals.backend.YOCOLM`.
        task: one of our tasks ("yoco_needle", "yoco_nll").
        metadata: the task's settings (`tasks.grids.NeedleSettings`, `tasks.nll.DocumentSettings`).
        output: folder; inside is one folder for each model.

    Returns:
        What was written; None on the other ranks of a run of several processes.

    Raises:
        FileNotFoundError, ValueError: an argument or a setting is wrong, or another process writes
            results of this model there.
        OSError: results cannot be written; nearly always before the model is loaded.
    """
    model_args = {name: value for name, value in model_args.items() if value is not None}
    pretrained = str(model_args.pop("pretrained"))
    settings = RunSettings(
        tasks=[task], metadata=metadata, model_args=model_args, batch_size=batch_size
    )
    # no folder for a model that is none
    read_checkpoint(resolve_path(pretrained))
    plan = plan_runs(Catalogue([task]), settings)
    # the name that lm-eval gives it
    store = RunStore(output / sanitize_model_name(pretrained))
    is_first = Processes().rank == 0
    with store.locked() if is_first else contextlib.nullcontext():
        if is_first:
            store.check_writable([task])
        lm = load(pretrained, settings)
        (key,) = keys_for(lm.key, plan)
        workspace = lm.processes.from_first(store.workspace(key) if is_first else None)
        evaluation = run_planned(lm, pretrained, plan, plan.tasks[0], workspace, bootstrap_iters=0)
        if evaluation is None:
            return None
        for path in evaluation.files:
            # the results file is the first: samples are found by it
            os.replace(path, store.root / path.name)
        store.discard_workspace(key)
        return replace(
            evaluation,
            results=store.root / evaluation.results.name,
            samples=[store.root / path.name for path in evaluation.samples],
        )
