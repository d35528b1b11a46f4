"""`yoco info` and `yoco list`: what they tell of the checkpoints and tasks that are here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import yoco
from evals.cli import main
from evals.info import checkpoint_info, info_text, quantity
from evals.listing import listing
from tasks.catalogue import read_catalogue
from yoco.checkpoints import checkpoint_sha256, read_checkpoint
from yoco.costs import prefill_flops
from yoco.loading import embedded_names

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "data" / "golden"


def test_info_of_the_embedded_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "demo", "--lengths", "4K,1M", "--dtype", "float32", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    model = yoco.load("demo", device="cpu", dtype="float32")
    context = yoco.new_context(model, 4096)
    assert told["num_parameters"] == sum(p.numel() for p in model.parameters())
    assert told["config"] == model.config.to_dict()
    assert told["sha256"] == checkpoint_sha256(told["path"])
    stored = {str(x.dtype) for x in read_checkpoint(told["path"]).tensors.values()}
    assert {f"torch.{name}" for name in told["stored_dtypes"]} == stored
    assert (told["dtype"], told["kv_bytes_per_token"]) == ("float32", model.kv_bytes_per_token)
    assert told["receptive_field_tokens"] == model.config.receptive_field_tokens
    assert told["tokenizer"]["vocab_size"] == model.config.vocab_size
    short, long = told["lengths"]
    assert (short["length_tokens"], long["length_tokens"]) == (4096, 1024 * 1024)
    parts = short["memory"]
    assert parts["kv_bytes"] + parts["state_bytes"] == context.nbytes
    assert parts.pop("total_bytes") == sum(parts.values())
    assert long["early_exit_prefill_flops"] == prefill_flops(model.config, 1024 * 1024)
    assert long["early_exit_prefill_flops"] < long["full_prefill_flops"]


def test_info_takes_the_stored_dtype_and_says_why_there_is_no_tokenizer() -> None:
    info = checkpoint_info(GOLDEN / "fla_gret", lengths=[1000], chunk_size=100)
    assert (info.format, info.dtype) == ("fla", "float32")
    text = info_text(info)
    assert "gated retention, 2 heads of 64" in text
    assert "receptive field  unbounded" in text
    assert "not readable: folder" in text and "holds no tokenizer" in text
    assert "options          max_length 4096" in text
    assert "chunks of 100 tokens" in text
    assert " 1,000 " in text
    half = checkpoint_info(GOLDEN / "fla_gret", lengths=[1000], dtype="bfloat16")
    assert 2 * half.kv_bytes_per_token == info.kv_bytes_per_token


def test_info_in_words_agrees_with_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(GOLDEN / "fla_swa"), "--lengths", "2K"]) == 0
    text = capsys.readouterr().out
    info = checkpoint_info(GOLDEN / "fla_swa", lengths=[2048])
    (costs,) = info.lengths
    assert text == info_text(info) + "\n"
    assert "sliding window 32, 4 heads of 32, 2 for K and V" in text
    assert "fla spacing, half-split" in text
    assert f"receptive field  {2 * 31} tokens" in text
    assert quantity(costs.memory.total_bytes, "B") in text
    assert f"{costs.full_prefill_flops / costs.early_exit_prefill_flops:.2f}x" in text


def test_the_reason_why_there_is_no_tokenizer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_tokenizer(_folder: Path) -> None:
        raise ValueError("a\x1b[2J name\nin two lines")

    monkeypatch.setattr("evals.info.load_tokenizer", load_tokenizer)
    text = info_text(checkpoint_info(GOLDEN / "fla_gret", lengths=[1000]))
    assert "\ntokenizer        not readable: a\\x1b[2J name in two lines\n" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "no such folder: nowhere"),
        (["demo", "--dtype", "int8"], "dtype is 'int8': it must be auto or one of float32"),
        (["demo", "--chunk-size", "0"], "chunk_size is '0': it must be a whole number of tokens"),
        (["demo", "--lengths", "4Q"], "length '4Q' is not a positive whole number of tokens"),
    ],
)
def test_errors_of_info_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"yoco info: {message}")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (4096 * 1024**2, "4.29 GB"),
        (12_345_678_901_234_567_890, "12.3 EB"),
        (10**22, "1.00e+04 EB"),
    ],
)
def test_quantities_have_three_digits(value: int, text: str) -> None:
    assert quantity(value, "B") == text


def test_list_names_everything_once() -> None:
    lines = listing().splitlines()
    names = [line.split()[0] for line in lines if line.startswith("  ")]
    assert names == [entry.name for entry in read_catalogue()] + embedded_names()
    assert "demo" in names
    parameters = sum(p.numel() for p in yoco.load("demo", device="cpu").parameters())
    (line,) = (line for line in lines if line.split()[:1] == ["demo"])
    assert line.endswith(f", {parameters:,} parameters")


def test_list_leaves_lm_eval_asleep(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom evals.cli import main\nstatus = main(['list'])\n"
        "sys.exit(status or 'lm_eval' in sys.modules or 'transformers' in sys.modules)"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "packaging")])
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "yoco_needle " in done.stdout
