"""The commands as a user types them, in processes of their own, from another folder."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tasks_samples
from checkpoint_samples import write_model
from lm_eval.api.instance import Instance
from lm_eval.api.model import CachingLM

from evals.backend import YOCOLM

ROOT = Path(__file__).parents[1]
METADATA = {"lengths": ["1K", 1500], "depths": [0.2, 0.8], "trials": 2, "haystack": "noise"}


def run(
    folder: Path, *arguments: str, stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """`yoco ARGUMENTS`, whether or not this checkout is installed."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "packaging")])
    return subprocess.run(
        [sys.executable, "-m", "evals.cli", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
    )


def test_lm_eval_then_heatmap(tmp_path: Path) -> None:
    arguments = ["--model", "yoco", "--model_args", "pretrained=demo", "--tasks", "yoco_needle"]
    arguments += ["--metadata", json.dumps(METADATA), "--output_path", "out", "--log_samples"]
    done = run(tmp_path, "run", *arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "yoco_needle" in done.stdout

    (results,) = (tmp_path / "out" / "demo").glob("results_*.json")
    record = json.loads(results.read_text())
    assert len(record["config"]["model_sha"]) == 64
    (samples,) = (tmp_path / "out" / "demo").glob("samples_yoco_needle_*.jsonl")
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert len(lines) == 2 * 2 * 2
    mean = sum(line["recall"] for line in lines) / len(lines)
    assert record["results"]["yoco_needle"]["recall,none"] == mean
    for line in lines:
        prompt = line["arguments"]["gen_args_0"]["arg_0"]
        # the handle, not 1,000 tokens of text
        assert prompt.startswith("<|yoco:prompt ")
        assert line["doc"]["length_tokens"] in (1024, 1500)

    done = run(tmp_path, "heatmap", "out", "-o", "map.svg", "--csv", "cells.csv")
    assert done.returncode == 0, done.stderr
    assert f"mean {100 * mean:.1f}%" in done.stdout
    assert (tmp_path / "map.svg").read_text().startswith("<?xml")
    assert len((tmp_path / "cells.csv").read_text().splitlines()) == 1 + 4


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    """`yoco list | head -1`"""
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = run(tmp_path, "list", stdout=write_end)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, "")


def test_demo(tmp_path: Path) -> None:
    done = run(tmp_path, "demo", "--quick", "--output", "here")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "yoco_needle" in done.stdout and "depth" in done.stdout
    (picture,) = (tmp_path / "here" / "demo").glob("heatmap_*.png")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_nll_of_two_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(tasks_samples.PROSE)
    (tmp_path / "b.txt").write_text(tasks_samples.CODE)
    assert run(tmp_path, "convert", "demo", "copy").returncode == 0
    documents = ["--documents", "files:*.txt", "--length", "1K"]
    done = run(tmp_path, "nll", "demo", "copy", *documents, "--output", "out")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "demo: 2 documents; " in done.stdout and "copy: 2 documents; " in done.stdout
    assert (tmp_path / "out" / "nll.png").read_bytes().startswith(b"\x89PNG")
    _, *rows = (tmp_path / "out" / "nll.csv").read_text().splitlines()
    assert len(rows) == 2 * 2 * 9
    # a copy says the same
    halves = [[row.split(",", 1)[1] for row in rows[start : start + 18]] for start in (0, 18)]
    assert halves[0] == halves[1]
    for samples in (tmp_path / "out").glob("*/samples_yoco_nll_*.jsonl"):
        for line in map(json.loads, samples.read_text().splitlines()):
            bits, num_bytes = line["bits_per_byte"]
            text = (tmp_path / line["doc"]["document"]).read_text()
            assert num_bytes == len(text[: line["doc"]["edges_chars"][-1]].encode())
            nats = sum(nats for _, nats in line["nats_by_position"])
            assert bits == pytest.approx(nats / math.log(2))


def test_compare(tmp_path: Path) -> None:
    """Runs what is missing once, and everything that the comparison writes is there."""
    (tmp_path / "a.txt").write_text(tasks_samples.PROSE)
    settings = {"lengths": ["1K"], "depths": 2, "haystack": "noise", "documents": "files:a.txt"}
    models = ["demo", "demo-gret", "--tasks", "yoco_needle,yoco_nll", "--output", "out"]
    done = run(tmp_path, "compare", *models, "--metadata", json.dumps(settings))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "wrote out/comparison.md" in done.stdout
    record = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert {task["task"] for task in record["tasks"]} == {"yoco_needle", "yoco_nll"}
    for name in ("comparison.csv", "differences.png", "yoco_needle.png", "nll.png"):
        assert (tmp_path / "out" / name).stat().st_size > 500
    again = run(tmp_path, "compare", *models, "--metadata", json.dumps(settings))
    assert again.stdout == done.stdout
    # every task of every model ran once
    assert len(list((tmp_path / "out" / "runs").glob("*/*"))) >= 4
    assert "yoco_needle (1 of 2)" in done.stderr and "yoco_needle (1 of 2)" not in again.stderr


def test_convert_and_use(tmp_path: Path) -> None:
    done = run(tmp_path, "convert", "demo", "copy")
    assert (done.returncode, done.stdout) == (0, "wrote copy (native layout)\n")
    grid = ["--lengths", "1K", "--depths", "0.5", "--needles", "2", "--output", "out"]
    done = run(tmp_path, "needle", "copy", *grid)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "2 needles" in done.stdout


def test_a_users_error_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "info", "nowhere")
    assert done.returncode == 2
    assert done.stderr == "yoco info: no such folder: nowhere\n"


def test_a_run_that_cannot_be_written_reports_no_other(tmp_path: Path) -> None:
    """With the results of another model next to where its own cannot be."""
    for name, seed in (("a", 1), ("b", 2)):
        write_model(tmp_path / name, seed=seed)
    grid = ["--lengths", "256", "--depths", "2", "--haystack", "noise", "--output", "out"]
    done = run(tmp_path, "needle", "a", *grid)
    assert done.returncode == 0, done.stderr[-2000:]
    (tmp_path / "out" / "b").touch()
    done = run(tmp_path, "needle", "b", *grid)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "yoco needle: results cannot be written into out/b: there is a file of that name\n"
    )


def test_a_cache_of_answers_is_one_models(tmp_path: Path) -> None:
    """`lm_eval --use_cache` with another checkpoint's is refused before an answer is taken."""
    for name, seed in (("a", 1), ("b", 2)):
        write_model(tmp_path / name, seed=seed)
    # as lm_eval does it, which takes seconds to list its tasks
    cached = CachingLM(YOCOLM(str(tmp_path / "a")), str(tmp_path / "answers_rank0.db"))
    cached.loglikelihood([Instance("loglikelihood", {}, ("a", " b"), 0, metadata=("t", 0, 1))])
    cached.dbdict.close()
    arguments = ["--model", "yoco", "--model_args", "pretrained=b", "--use_cache", "answers"]
    arguments += ["--tasks", "yoco_needle"]
    arguments += ["--metadata", '{"lengths": [256], "depths": 2, "haystack": "noise"}']
    done = run(tmp_path, "run", *arguments)
    assert done.returncode == 2, done.stderr[-2000:]
    last = done.stderr.splitlines()[-1]
    holds = f"answers_rank0.db holds answers of {tmp_path / 'a'}, and this is b"
    assert last.startswith(f"yoco: {holds} (checkpoint_sha256 ")
    assert last.endswith("): give another --use_cache, or delete it")
    assert "Traceback" not in done.stderr and "recall" not in done.stdout
