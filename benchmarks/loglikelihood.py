"""Multiple-choice benchmarks through the backend against one full forward a request.

    python benchmarks/loglikelihood.py --pretrained demo --data DIR --limit 200

DIR is a folder of benchmark data as `tasks/local_data.py` describes it. Printed are the largest
difference of a log-likelihood, how many requests agree on whether they are greedy, the accuracy,
and the seconds of both ways.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.evaluator import simple_evaluate

from evals.backend import YOCOLM
from evals.catalogue import Catalogue
from tasks import local_data

TASKS = ("arc_easy", "piqa", "winogrande", "boolq")


def requests_of(task: Any, limit: int | None) -> list[Instance]:
    """The log-likelihood requests of a task, as lm-eval builds them."""
    task.build_all_requests(limit=limit, rank=0, world_size=1)
    return task.instances


def brute_force(lm: YOCOLM, context: list[int], continuation: list[int]) -> tuple[float, bool]:
    """One forward by the reference ops over the whole request, nothing shared."""
    tokens = torch.tensor([[*context, *continuation]], device=lm.model.device)
    with torch.inference_mode():
        logits = lm.model(tokens[:, :-1])[0, len(context) - 1 :]
    targets = tokens[0, len(context) :]
    log_probs = logits.double().log_softmax(-1).gather(1, targets[:, None])
    return float(log_probs.sum()), bool((logits.argmax(-1) == targets).all())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", default="demo")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--limit", type=int, help="documents a task; all where not given")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    lm = YOCOLM(options.pretrained, device=options.device, batch_size="auto")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {lm.get_model_info()}")
    print(f"{'task':12}{'requests':>9}{'max diff':>10}{'greedy =':>10}{'acc':>8}"
          f"{'ours s':>8}{'brute s':>9}{'ratio':>7}")  # fmt: skip
    catalogue = Catalogue(options.tasks)
    for unit in catalogue.units:
        changes = local_data.overrides(unit.config, options.data)
        (task,) = catalogue.load(unit, changes)
        requests = requests_of(task, options.limit)
        started = time.perf_counter()
        results = lm.loglikelihood(requests, disable_tqdm=True)
        ours_s = time.perf_counter() - started
        started = time.perf_counter()
        expected = [
            # lm-eval's own encoding of the pair, not ours
            brute_force(lm, *TemplateLM._encode_pair(lm, *request.args))
            for request in requests
        ]
        brute_s = time.perf_counter() - started
        difference = max(abs(a - b) for (a, _), (b, _) in zip(results, expected, strict=True))
        same = sum(a == b for (_, a), (_, b) in zip(results, expected, strict=True))
        scores: Any = simple_evaluate(
            model=lm,
            tasks=[task],
            task_manager=catalogue.manager,
            limit=options.limit,
            bootstrap_iters=0,
        )
        accuracy = scores["results"][unit.name]["acc,none"]
        print(f"{unit.name:12}{len(requests):>9}{difference:>10.1e}{same:>10}{accuracy:>8.3f}"
              f"{ours_s:>8.1f}{brute_s:>9.1f}{brute_s / ours_s:>7.1f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
