"""The training path has the losses and the gradients of the reference forward pass."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from training_samples import small_corpus, small_model

from training.corpus import Corpus
from training.loss import initialise, outcome, suffix_logits
from training.recipe import MODELS
from training.samples import TEXT, Batch, training_batch
from training.train import compile_layers, recompute_layers, training_kernels
from yoco import YOCO
from yoco.kernels import choose_kernels

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
# largest difference of a gradient, over the largest entry of that gradient
TOLERANCE = {torch.float32: 2e-4, torch.bfloat16: 6e-2}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return small_corpus(tmp_path_factory.mktemp("loss"))


@pytest.fixture(scope="module")
def batch(corpus: Corpus) -> Batch:
    return training_batch(corpus, 0, 0, 256, 512, 512)


def make(name: str) -> YOCO:
    model = YOCO(small_model(name))
    initialise(model, seed=0)
    return model


def reference_losses(model: YOCO, batch: Batch) -> tuple[Tensor, Tensor]:
    """Answer loss and text loss from whole sequences through `YOCO.forward`."""
    starts = np.cumsum([0, *batch.lengths])
    logits = []
    for start, length, num_rows in zip(starts, batch.lengths, batch.row_lengths, strict=False):
        tokens = torch.from_numpy(batch.tokens[start : start + length].astype(np.int64))
        logits.append(model(tokens[None])[0, -num_rows:])
    targets = torch.from_numpy(batch.targets.astype(np.int64))
    losses = F.cross_entropy(torch.cat(logits), targets, reduction="none")
    marks = torch.from_numpy(batch.marks)
    return losses[marks >= 0].mean(), losses[marks == TEXT].mean()


def gradients(model: YOCO, losses: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    (losses[0] + 0.3 * losses[1]).backward()
    grads = {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    assert all(grad is not None for grad in grads.values())
    return {name: grad.cpu() for name, grad in grads.items() if grad is not None}


def distance(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    assert found.keys() == expected.keys()
    return max(
        ((found[name] - grad).abs().max() / grad.abs().max()).item()
        for name, grad in expected.items()
    )


@pytest.mark.parametrize("backend", ["reference", "torch"])
@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_the_reference(name: str, backend: str, batch: Batch) -> None:
    model = make(name)
    expected_losses = reference_losses(model, batch)
    expected = gradients(model, expected_losses)
    kernels = choose_kernels(backend, model.device, model.dtype)
    result = outcome(model, batch, kernels)
    losses = (result.answer_loss, result.text_loss)
    torch.testing.assert_close(losses, expected_losses)
    found = gradients(model, losses)
    assert distance(found, expected) < TOLERANCE[torch.float32]
    # negative control: other targets have other gradients
    batch.targets[:] = np.roll(batch.targets, 1)
    other = outcome(model, batch, kernels)
    batch.targets[:] = np.roll(batch.targets, -1)
    assert distance(gradients(model, (other.answer_loss, other.text_loss)), expected) > 0.05


@pytest.mark.gpu
@pytest.mark.parametrize("name", MODELS)
def test_gradients_under_autocast_on_a_gpu(name: str, batch: Batch) -> None:
    # heads as wide as those that are trained: the kernels do not take all widths
    model = YOCO(MODELS[name])
    initialise(model, seed=0)
    expected = gradients(model, reference_losses(model, batch))
    on_gpu = copy.deepcopy(model).cuda()
    kernels = training_kernels(on_gpu, on_gpu.device)
    with torch.autocast("cuda", torch.bfloat16):
        result = outcome(on_gpu, batch, kernels)
    found = gradients(on_gpu, (result.answer_loss, result.text_loss))
    assert distance(found, expected) < TOLERANCE[torch.bfloat16]


@pytest.mark.parametrize("name", MODELS)
def test_recomputed_layers_have_the_same_gradients(name: str, batch: Batch) -> None:
    model = make(name)
    kernels = choose_kernels("torch", model.device, model.dtype)
    plain = outcome(model, batch, kernels)
    expected = gradients(model, (plain.answer_loss, plain.text_loss))
    recompute_layers(model)
    again = outcome(model, batch, kernels)
    assert distance(gradients(model, (again.answer_loss, again.text_loss)), expected) == 0


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
@pytest.mark.parametrize("name", MODELS)
def test_compiled_layers_have_the_same_gradients(name: str, batch: Batch) -> None:
    model = make(name)
    # on a CPU another kernel is chosen for retention
    kernels = dataclasses.replace(
        choose_kernels("torch", torch.device("cuda"), torch.bfloat16),
        window_attention=choose_kernels("torch", model.device, model.dtype).window_attention,
    )
    plain = outcome(model, batch, kernels)
    expected = gradients(model, (plain.answer_loss, plain.text_loss))
    fused = outcome(model, batch, compile_layers(model, kernels, backend="aot_eager"))
    found = gradients(model, (fused.answer_loss, fused.text_loss))
    assert distance(found, expected) < TOLERANCE[torch.float32]


@pytest.mark.parametrize("lengths", [[(1, 1)], [(5, 5), (1, 1), (40, 3)], [(40, 40), (37, 1)]])
def test_suffixes_of_any_lengths(lengths: list[tuple[int, int]]) -> None:
    model = make("demo")
    generator = torch.Generator().manual_seed(0)
    tokens = [torch.randint(500, (length,), generator=generator) for length, _ in lengths]
    kernels = choose_kernels("torch", model.device, model.dtype)
    with torch.no_grad():
        found = suffix_logits(
            model, torch.cat(tokens), [n for n, _ in lengths], [r for _, r in lengths], kernels
        )
        expected = torch.cat(
            [model(t[None])[0, -r:] for t, (_, r) in zip(tokens, lengths, strict=True)]
        )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_an_answer_is_exact_if_all_its_tokens_are(batch: Batch) -> None:
    """With logits that are the targets all are right; one wrong token spoils one answer."""

    class Parrot(YOCO):
        def head(self, x: Tensor) -> Tensor:
            logits = F.one_hot(torch.from_numpy(said.astype(np.int64)), 512).float()
            return logits + 0 * super().head(x)

    model = Parrot(small_model("demo"))
    kernels = choose_kernels("torch", model.device, model.dtype)
    said = batch.targets.copy()
    assert outcome(model, batch, kernels).exact.tolist() == [1.0] * batch.num_answers
    row = int(np.flatnonzero(batch.marks == 1)[0])
    said[row] += 1
    wrong = [float(number != 1) for number in range(batch.num_answers)]
    assert outcome(model, batch, kernels).exact.tolist() == wrong


def test_the_stream_begins_with_variance_one(tmp_path: Path) -> None:
    model = YOCO(MODELS["demo"])
    initialise(model, seed=0)
    tokens = torch.arange(3, 259)
    kernels = choose_kernels("torch", model.device, model.dtype)
    with torch.no_grad():
        hidden, k, v = model.read(tokens, [0], [256], None, kernels)
        logits = model(tokens[None])[0]
    assert 0.9 < hidden.square().mean() < 2.0
    assert 0.5 < k.square().mean() < 2.0 and 0.5 < v.square().mean() < 2.0
    # near the uniform distribution
    assert (logits.logsumexp(-1) - np.log(4096)).abs().max() < 0.2


@pytest.mark.parametrize("name", MODELS)
def test_what_the_engine_has_cached_does_not_stop_a_gradient(name: str) -> None:
    model = make(name)
    cuda = choose_kernels("torch", torch.device("cuda"), torch.bfloat16)
    on_cpu = choose_kernels("torch", model.device, model.dtype)
    kernels = dataclasses.replace(on_cpu, retention=cuda.retention)
    tokens, lengths = torch.arange(3, 150), [100, 47]
    with torch.inference_mode():
        suffix_logits(model, tokens, lengths, [3, 1], kernels)
    suffix_logits(model, tokens, lengths, [3, 1], kernels).sum().backward()
    assert model.embed_tokens.weight.grad is not None
