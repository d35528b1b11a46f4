"""The training loop: steps, probes, what is saved and when."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset

from training.card import write_card
from training.corpus import Corpus, load_corpus
from training.curves import draw_curves
from training.drafts import max_needles
from training.loss import Outcome, initialise, outcome
from training.probe import bits_per_byte, retrieval
from training.recipe import Recipe
from training.samples import Batch, training_batch
from training.state import (
    STATE_FILE,
    Clock,
    append_log,
    copy_weights,
    export,
    load_state,
    read_log,
    rewind_log,
    save_state,
    weights_sha256,
)
from yoco import YOCO
from yoco.kernels import Kernels, choose_kernels

NUM_PROBES = 12
NEEDLES = (1, 2, 4, 8)
LOG_EVERY_STEPS = 20
SAVE_EVERY_S = 60.0
# Steps that a worker has ready: a stage begins as many steps times workers late.
_PREFETCH = 2
_TEXT_LENGTH = 2048


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How thoroughly a model is measured, by the length of the prompts.

    Args:
        tokens: of prompts, for a length and a number of needles.
        fewest, most: prompts, whatever the length.
    """

    tokens: int
    fewest: int
    most: int

    def num_samples(self, length: int) -> int:
        """Prompts of this length."""
        return min(self.most, max(self.fewest, self.tokens // length))


PROBE = Effort(tokens=1 << 18, fewest=4, most=32)
FINAL = Effort(tokens=1 << 22, fewest=8, most=64)


class StepBatches(Dataset[Batch]):
    """The batch of a (step, length)."""

    def __init__(self, recipe: Recipe, corpus_folder: Path) -> None:
        self.recipe, self.corpus_folder = recipe, corpus_folder

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        recipe = self.recipe
        return training_batch(
            self._corpus, recipe.seed, *key, recipe.step_tokens, recipe.text_tokens
        )

    @functools.cached_property
    def _corpus(self) -> Corpus:
        # each worker maps the file by itself
        return load_corpus(self.corpus_folder)


class Training:
    """A run: model, optimizer, clock, and the folder that they are saved in."""

    def __init__(
        self,
        recipe: Recipe,
        corpus: Corpus,
        folder: Path,
        device: torch.device,
        *,
        resume: bool,
        checkpoint: Path | None = None,
    ) -> None:
        """Begins a run, or continues the one in the folder if there is one.

        Args:
            checkpoint: folder of the weights that a run begins with; random ones without it.

        Raises:
            ValueError: the folder holds a run and `resume` is false, or a run of another recipe;
                the checkpoint is of another model.
        """
        if checkpoint is not None:
            recipe = dataclasses.replace(recipe, begun_with=weights_sha256(checkpoint))
        self.recipe, self.corpus, self.folder = recipe, corpus, folder
        self.device = device
        self.model = YOCO(recipe.model)
        if checkpoint is None:
            initialise(self.model, recipe.seed)
        else:
            copy_weights(checkpoint, self.model)
        self.model.to(device)
        self.kernels = training_kernels(self.model, device)
        self.optimizer = make_optimizer(self.model, recipe)
        self.clock = Clock()
        if (folder / STATE_FILE).exists():
            if not resume:
                raise ValueError(f"{folder} holds a run: pass --resume or choose another folder")
            self.clock = load_state(folder, self.identity, self.model, self.optimizer)
        folder.mkdir(parents=True, exist_ok=True)
        rewind_log(folder, self.clock.step if self.clock.step else -1)
        self.has_early = any(r["kind"] == "export" for r in read_log(folder))
        environment = {**describe_environment(self.model, self.kernels), "corpus": corpus.hash}
        self.log("start", **environment, recipe=recipe.to_dict())

    @property
    def identity(self) -> dict[str, Any]:
        """What a run that is resumed must have been begun with."""
        return {**self.recipe.to_dict(), "corpus": self.corpus.hash}

    @property
    def progress(self) -> float:
        """How much is done, 0 to 1."""
        return self.recipe.budget.progress(self.clock.step, self.clock.elapsed_s)

    def autocast(self) -> torch.autocast:
        """bfloat16 where there is a GPU; the weights stay float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")

    def keys(self) -> Iterator[tuple[int, int]]:
        """(step, length) of the steps to come; the lengths are settled when they are asked for."""
        for step in itertools.count(self.clock.step):
            progress = self.recipe.budget.progress(step, self.clock.elapsed_s)
            if progress >= 1:
                return
            yield step, self.recipe.length_at(step, progress)

    def step(self, batch: Batch) -> Outcome:
        """One step of the optimizer."""
        rate = self.recipe.learning_rate_at(self.clock.step, self.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with self.autocast():
            result = outcome(self.model, batch, self.kernels)
            loss = result.answer_loss + self.recipe.text_weight * result.text_loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.clock.step += 1
        self.clock.tokens += len(batch.tokens)
        return result

    def probe(self, effort: Effort, needles: tuple[int, ...], kind: str) -> None:
        """Logs retrieval at every length trained on so far."""
        reached = self.recipe.stage_at(self.progress) + 1
        for length in sorted({stage.length_tokens for stage in self.recipe.stages[:reached]}):
            for num_needles in needles:
                if num_needles > max_needles(length):
                    continue
                with self.autocast():
                    right, total = retrieval(
                        self.model,
                        self.kernels,
                        self.corpus,
                        length=length,
                        num_needles=num_needles,
                        num_samples=effort.num_samples(length),
                        batch_tokens=self.recipe.step_tokens,
                        seed=0 if kind == "probe" else 1,
                    )
                self.log(kind, length=length, needles=num_needles, right=right, total=total)

    def log(self, kind: str, **values: Any) -> None:
        """Adds a record to the log."""
        append_log(self.folder, {"kind": kind, **dataclasses.asdict(self.clock), **values})

    def save(self) -> None:
        """Saves all that the run goes on from."""
        save_state(self.folder, self.identity, self.clock, self.model, self.optimizer)

    def export(self, name: str) -> None:
        """Writes the model as it is, as a checkpoint."""
        size = export(self.folder / name, self.model, self.corpus.folder / "tokenizer")
        self.log("export", name=name, bytes=size)


def training_kernels(model: YOCO, device: torch.device) -> Kernels:
    """Kernels that have a gradient, and are ready at once: fla's must be tuned first."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    return choose_kernels("torch", device, dtype, model.config.head_dims)


def make_optimizer(model: YOCO, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW; norms and biases do not decay."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    is_fused = model.device.type == "cuda"
    return torch.optim.AdamW(groups, lr=0.0, betas=recipe.betas, fused=is_fused)


def compile_layers(model: YOCO, kernels: Kernels, backend: str = "inductor") -> Kernels:
    """Has `torch.compile` fuse what lies between the attention kernels, which move little data.

    Returns:
        The kernels to run the model with, their own small operations fused too.
    """
    compiled = functools.partial(torch.compile, dynamic=True, backend=backend)
    for layer in (*model.self_decoder.layers, *model.cross_decoder.layers):
        for name, module in layer.named_children():
            if name != "mixer":
                module.forward = compiled(module.forward)
        for name in ("project", "gate"):
            if hasattr(layer.mixer, name):
                setattr(layer.mixer, name, compiled(getattr(layer.mixer, name)))
    if kernels.names["retention"] != "scan":
        return kernels
    fused = functools.partial(kernels.retention, fuse=functools.cache(compiled))
    return dataclasses.replace(kernels, retention=fused)


def recompute_layers(model: YOCO) -> None:
    """Has the self-decoder's layers forget what backward can form again: less memory, a third
    more work."""
    for layer in model.self_decoder.layers:
        layer.forward = functools.partial(checkpoint, layer.forward, use_reentrant=False)


def describe_environment(model: YOCO, kernels: Kernels) -> dict[str, Any]:
    """What the run runs on."""
    on_gpu = model.device.type == "cuda"
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    return {
        "commit": git.stdout.strip() or None,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "device": torch.cuda.get_device_name(model.device) if on_gpu else platform.processor(),
        "device_type": model.device.type,
        "num_cpus": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "kernels": kernels.names,
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def run(training: Training, *, workers: int, stop_after_s: float = math.inf) -> bool:
    """Trains to the end of the budget, or of this call's time.

    Args:
        workers: processes that make batches; 0 makes them in this one.
        stop_after_s: after so many seconds the run is saved as it is.

    Returns:
        Whether the training is complete.
    """
    begun_s = saved_s = time.perf_counter()
    recipe, clock = training.recipe, training.clock
    loader = DataLoader(
        StepBatches(recipe, training.corpus.folder),
        sampler=training.keys(),  # pyright: ignore[reportArgumentType]
        batch_size=None,
        num_workers=workers,
        prefetch_factor=_PREFETCH if workers else None,
    )
    num_probed = int(training.progress * NUM_PROBES)
    # the first step of a call compiles kernels: that is not training time
    is_timed = False
    logged = dataclasses.replace(clock)
    result = None
    waited_s = 0.0
    mark_s = time.perf_counter()
    for batch in loader:
        waited_s += time.perf_counter() - mark_s
        if training.progress >= 1:
            break
        result = training.step(batch)
        is_due = clock.step % LOG_EVERY_STEPS == 0
        # waits for the device, so that the seconds are true
        losses = _losses(result, clock.step) if is_due or not is_timed else {}
        clock.elapsed_s += (time.perf_counter() - mark_s) * is_timed
        if is_due:
            # nothing is written but of a step whose losses were looked at
            training.log(
                "train",
                length=batch.lengths[0],
                learning_rate=training.optimizer.param_groups[0]["lr"],
                **losses,
                exact=result.exact.mean().item(),
                tokens_per_s=_rate(logged, clock) if is_timed else None,
                waited_s=waited_s,
                peak_bytes=_peak_bytes(training.device),
            )
            if training.progress >= recipe.early_at and not training.has_early:
                training.export("early")
                training.has_early = True
            due = int(training.progress * NUM_PROBES)
            if due > num_probed and training.corpus.held_out:
                num_probed = due
                training.probe(PROBE, (1,), "probe")
            if time.perf_counter() - begun_s > stop_after_s and training.progress < 1:
                training.save()
                return False
            if time.perf_counter() - saved_s > SAVE_EVERY_S:
                training.save()
                saved_s = time.perf_counter()
        if is_due or not is_timed:
            logged, is_timed, waited_s = dataclasses.replace(clock), True, 0.0
        mark_s = time.perf_counter()
    if result is not None:
        _losses(result, clock.step)
    training.save()
    return True


def _losses(result: Outcome, step: int) -> dict[str, float]:
    losses = {"answer_loss": result.answer_loss.item(), "text_loss": result.text_loss.item()}
    if not all(map(math.isfinite, losses.values())):
        raise FloatingPointError(
            f"the losses of step {step} are {losses}: lower the learning rate, or resume from the "
            "last state"
        )
    return losses


def _peak_bytes(device: torch.device) -> int | None:
    """The most memory that was in use on the GPU since the last call of this."""
    if device.type != "cuda":
        return None
    peak = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return peak


def _rate(since: Clock, now: Clock) -> int:
    """Tokens a second."""
    return round((now.tokens - since.tokens) / max(now.elapsed_s - since.elapsed_s, 1e-9))


def finish(training: Training, effort: Effort = FINAL) -> None:
    """Writes the checkpoint, measures it, draws the curves and fills in the model card."""
    training.export("final")
    if training.corpus.held_out:
        training.probe(effort, NEEDLES, "final")
    for span in training.corpus.held_out:
        with training.autocast():
            bits = bits_per_byte(
                training.model,
                training.kernels,
                training.corpus,
                span,
                length=_TEXT_LENGTH,
                num_samples=effort.num_samples(_TEXT_LENGTH),
                batch_tokens=training.recipe.text_tokens,
            )
        training.log("bits", text=span, bits_per_byte=bits, length=_TEXT_LENGTH)
    draw_curves(training.folder, training.folder / "curves.png")
    write_card(training.folder, training.corpus, training.folder / "final" / "README.md")
