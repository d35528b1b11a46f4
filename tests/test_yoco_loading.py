"""What `yoco.load` takes and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import yoco
from yoco.checkpoints import checkpoint_sha256
from yoco.loading import EMBEDDED, resolve_dtype, resolve_path

GOLDEN = Path(__file__).parent / "data" / "golden" / "official_swa"
DEMO_SHA256 = "ccfc510740643dc3a684768c4538b6b50cc6d369fff1d31429083086875dab3e"


def test_the_embedded_checkpoint_has_a_name() -> None:
    model = yoco.load("demo", device="cpu")
    assert model.dtype == torch.float32
    assert model.config.receptive_field_tokens is not None
    assert model.kv_bytes_per_token == model.config.kv_elements_per_token * 4
    # recorded in results that exist
    assert model.checkpoint_sha256 == DEMO_SHA256 == checkpoint_sha256(EMBEDDED / "demo")


def test_results_of_an_embedded_checkpoint_do_not_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "results_2026.json").write_text("{}")
    assert resolve_path("demo") == EMBEDDED / "demo"
    assert resolve_path("./demo") == Path("demo") and resolve_path("other") == Path("other")
    for folder in ("demo/", Path("demo"), resolve_path("demo/")):
        assert resolve_path(folder) == Path("demo")
        with pytest.raises(FileNotFoundError, match="demo holds no checkpoint: it must have"):
            yoco.load(folder, device="cpu")
    (tmp_path / "demo" / "config.json").write_text("{}")
    assert resolve_path("demo") == Path("demo")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tpu9"}, "device is 'tpu9': it must be auto, cpu, cuda"),
        ({"device": "cuda:99"}, "this machine has [0-9]+ CUDA devices"),
        ({"dtype": "int8"}, "dtype is 'int8': it must be auto or one of float32"),
        ({"rope_precision": "float16"}, "rope_precision is 'float16': it must be one of float64"),
        ({"backend": "fast"}, "backend is 'fast'"),
    ],
)
def test_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        yoco.load(GOLDEN, **{"device": "cpu", **options})


def test_dtype_auto_is_the_stored_one_only_on_a_gpu() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert resolve_dtype("auto", cpu, torch.bfloat16) == torch.float32
    assert resolve_dtype("auto", gpu, torch.bfloat16) == torch.bfloat16
    assert resolve_dtype(torch.float16, gpu, torch.bfloat16) == torch.float16


def test_bfloat16_on_the_cpu_runs_and_is_near() -> None:
    tokens = torch.randint(128, (1, 40), generator=torch.Generator().manual_seed(0))
    exact = yoco.load(GOLDEN, device="cpu")(tokens)
    model = yoco.load(GOLDEN, device="cpu", dtype="bfloat16")
    context = yoco.new_context(model, 40)
    hidden = yoco.extend(model, [context], [tokens[0]])
    logits = yoco.logits_at(model, [yoco.Rows(context, hidden, range(40))])
    assert logits.dtype == torch.float32
    assert (logits - exact[0]).abs().max() < 4e-2 * exact.abs().max()


def test_weights_that_do_not_fit_the_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yoco.free_memory.free_bytes", lambda _: 1_000_000)
    monkeypatch.setattr("yoco.free_memory.WORTH_A_LOOK", 0)
    message = (
        r"a copy of the weights in float32 takes \d+ MB but only 1 MB of memory is free on cpu"
    )
    with pytest.raises(ValueError, match=message):
        yoco.load("demo", device="cpu")
