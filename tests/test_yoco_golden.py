"""Logits of the official implementation and of flash-linear-attention, from golden files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import yoco
from yoco import YOCO, Rows, Sampling
from yoco.checkpoints import convert

GOLDEN = Path(__file__).parent / "data" / "golden"
FOLDERS = ["official_swa", "official_gret", "fla_swa", "fla_gret"]
# measured on CPU: 5e-6 (official, logits to 15) and 6e-7 (fla, logits to 1)
TOLERANCE = {"official": 2e-5, "fla": 5e-6}
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
# of bfloat16 weights and activations, relative to the largest logit
BFLOAT16_TOLERANCE = 4e-2


@pytest.fixture(params=FOLDERS)
def folder(request: pytest.FixtureRequest) -> Path:
    return GOLDEN / request.param


def expected(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "expected.safetensors")


def tolerance(folder: Path) -> float:
    return TOLERANCE[folder.name.split("_")[0]]


def in_chunks(model: YOCO, tokens: Tensor, chunk_size: int) -> Tensor:
    context = yoco.new_context(model, len(tokens))
    logits = []
    for start, hidden in yoco.prefill(model, context, tokens, chunk_size=chunk_size):
        rows = Rows(context, hidden, range(start, start + len(hidden)))
        logits.append(yoco.logits_at(model, [rows]))
    return torch.cat(logits).cpu()


@pytest.mark.parametrize("device", DEVICES)
def test_reference(folder: Path, device: str) -> None:
    golden = expected(folder)
    model = yoco.load(folder, device=device, dtype="float32")
    logits = model(golden["tokens"].long()[None].to(device))[0].cpu()
    assert (logits - golden["logits"]).abs().max() < tolerance(folder)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("chunk_size", [1, 7, 64, 4096])
def test_chunked_prefill_and_rows(folder: Path, chunk_size: int, device: str) -> None:
    golden = expected(folder)
    model = yoco.load(folder, device=device, dtype="float32")
    logits = in_chunks(model, golden["tokens"].long(), chunk_size)
    assert (logits - golden["logits"]).abs().max() < tolerance(folder)


@pytest.mark.gpu
def test_bfloat16_on_the_gpu(folder: Path) -> None:
    golden = expected(folder)
    model = yoco.load(folder, device="cuda", dtype="bfloat16")
    logits = in_chunks(model, golden["tokens"].long(), 64)
    scale = golden["logits"].abs().max()
    assert (logits - golden["logits"]).abs().max() < BFLOAT16_TOLERANCE * scale


def test_converted(folder: Path, tmp_path: Path) -> None:
    golden = expected(folder)
    convert(folder, tmp_path / "converted")
    logits = yoco.load(tmp_path / "converted", device="cpu")(golden["tokens"].long()[None])[0]
    assert (logits - golden["logits"]).abs().max() < tolerance(folder)


@pytest.mark.parametrize("name", ["official_swa", "official_gret"])
def test_greedy_tokens(name: str) -> None:
    golden = expected(GOLDEN / name)
    model = yoco.load(GOLDEN / name, device="cpu")
    tokens = golden["tokens"].long()
    context = yoco.new_context(model, len(tokens) + 7)
    last = yoco.prefill_last(model, context, tokens, chunk_size=64)
    result = yoco.generate(model, [last], max_new_tokens=[7], sampling=[Sampling()])
    assert result[0] == golden["greedy"].tolist()


def test_a_wrong_rotation_is_noticed(folder: Path) -> None:
    """Negative control: the golden files do tell the two frequency spacings apart."""
    golden = expected(folder)
    model = yoco.load(folder, device="cpu")
    rope = model.config.cross_rope
    object.__setattr__(rope, "spacing", "fla" if rope.spacing == "yoco" else "yoco")
    logits = model(golden["tokens"].long()[None])[0]
    assert (logits - golden["logits"]).abs().max() > 10 * tolerance(folder)
