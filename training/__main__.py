"""Trains a checkpoint, or goes on training it.

python -m training demo --corpus FOLDER --run FOLDER --minutes 7.5 --resume
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
from pathlib import Path

import torch

from training.corpus import load_corpus
from training.recipe import LEARNING_RATE, MODELS, STAGES, Budget, Recipe
from training.train import Training, compile_layers, finish, recompute_layers, run
from yoco.loading import resolve_device


def main(arguments: list[str] | None = None) -> None:
    """Reads the arguments and trains."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("name", choices=MODELS)
    parser.add_argument("--corpus", type=Path, required=True, help="folder that prepare wrote")
    parser.add_argument("--run", type=Path, required=True, help="folder of this run")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, help="of training, all calls together")
    budget.add_argument("--steps", type=int, help="instead of minutes: a function of the seed")
    parser.add_argument("--stop-after", type=float, default=math.inf, metavar="SECONDS",
                        help="end this call then, to be resumed")  # fmt: skip
    parser.add_argument("--checkpoint", type=Path,
                        help="folder of weights to begin with, instead of random ones")  # fmt: skip
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE,
                        help="the highest")  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on if the folder holds a run")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=min(12, (os.cpu_count() or 2) - 2))
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction,
                        help="fuse the layers' small operations (default: on a GPU)")  # fmt: skip
    parser.add_argument("--recompute", action="store_true", help="for GPUs of less memory")
    parser.add_argument("--longest", type=int, help="leave out stages of longer samples")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    seconds = None if options.minutes is None else options.minutes * 60
    stages = [s for s in STAGES if s.length_tokens <= (options.longest or s.length_tokens)]
    if not stages:
        parser.error(
            f"--longest {options.longest}: the shortest stage has {STAGES[0].length_tokens}"
        )
    total = sum(stage.share for stage in stages)
    try:
        budget = Budget(steps=options.steps, seconds=seconds)
        recipe = Recipe(
            name=options.name,
            model=MODELS[options.name],
            budget=budget,
            stages=tuple(dataclasses.replace(s, share=s.share / total) for s in stages),
            seed=options.seed,
            learning_rate=options.learning_rate,
        )
        _train(recipe, options)
    except (ValueError, OSError) as error:
        parser.error(str(error))


def _train(recipe: Recipe, options: argparse.Namespace) -> None:
    device = resolve_device(options.device)
    # the memories of gated retention are float32: TF32 is precise enough to learn them
    torch.set_float32_matmul_precision("high")
    corpus = load_corpus(options.corpus)
    training = Training(
        recipe,
        corpus,
        options.run,
        device,
        resume=options.resume,
        checkpoint=options.checkpoint,
    )
    if options.compile if options.compile is not None else device.type == "cuda":
        training.kernels = compile_layers(training.model, training.kernels)
    if options.recompute:
        recompute_layers(training.model)
    if not run(training, workers=max(options.workers, 0), stop_after_s=options.stop_after):
        print(f"stopped at {training.progress:.1%}: the same command goes on with --resume")
        return
    finish(training)
    print((options.run / "final" / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
