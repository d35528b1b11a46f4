"""The needle tasks through lm-eval."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import tasks_samples
import yaml

from tasks import needle
from tasks.grids import NeedleSettings, cells

ROOT = Path(__file__).parents[1]
YAML = ROOT / "tasks" / "yaml"
NAMES = [
    "yoco_needle",
    "yoco_multi_needle",
    "yoco_multi_needle_all",
    "yoco_needle_1m",
    *(f"yoco_multi_needle_128k_n{num_needles}" for num_needles in (1, 2, 4, 8)),
]


def config_of(name: str) -> dict[str, Any]:
    from lm_eval.tasks._yaml_loader import load_yaml

    return load_yaml(YAML / f"{name}.yaml")


def settings_of(name: str) -> NeedleSettings:
    return NeedleSettings.from_metadata(config_of(name)["metadata"])


@pytest.fixture
def metadata(tmp_path: Path) -> dict[str, Any]:
    tasks_samples.definition("digits").save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "book.txt").write_text(tasks_samples.PROSE)
    return {
        "max_length": 4096,
        "tokenizer": str(tmp_path),
        "haystack": f"files:{tmp_path}/book.txt",
        "lengths": [600, 900],
        "depths": 2,
    }


def test_every_task_file_is_known() -> None:
    files = {path.stem for path in YAML.glob("*needle*.yaml")}
    assert files == {*NAMES, "_needle", "yoco_multi_needle_128k"}
    group = yaml.safe_load((YAML / "yoco_multi_needle_128k.yaml").read_text())
    assert group["task"] == NAMES[-4:]


@pytest.mark.parametrize("name", NAMES)
def test_task_files_hold_together(name: str) -> None:
    config = config_of(name)
    settings = settings_of(name)
    assert config["task"] == name
    assert config["generation_kwargs"]["max_gen_toks"] == settings.generation_tokens
    assert config["doc_to_text"] is needle.doc_to_text
    assert config["process_results"] is needle.process_results
    # every default can be read off the task file
    assert config["metadata"].keys() - {"version"} == asdict(settings).keys() - {"tokenizer"}


def test_the_plain_task_has_the_plain_settings() -> None:
    assert settings_of("yoco_needle") == NeedleSettings()
    assert settings_of("yoco_multi_needle") == NeedleSettings(needles=4)
    assert settings_of("yoco_multi_needle_all") == NeedleSettings(
        needles=4, ask="all", generation_tokens=160
    )


def test_the_paper_s_protocols() -> None:
    million = settings_of("yoco_needle_1m")
    assert million.lengths == tuple(131072 * step for step in range(1, 9))
    assert len(cells(million)) == 8 * 11 * 10
    for num_needles in (1, 2, 4, 8):
        settings = settings_of(f"yoco_multi_needle_128k_n{num_needles}")
        assert settings.needles == num_needles and settings.lengths == (131072,)
        assert settings.depths == pytest.approx([step / 11 for step in range(1, 11)], abs=1e-6)
        assert settings.trials == 10


def test_scoring_of_documents() -> None:
    doc = {"values": ["12", "345", "6"], "asked": [0]}
    assert needle.doc_to_target(doc) == " 12"
    assert needle.process_results(doc, [" 12.\n345"]) == {"recall": 1.0}
    assert needle.process_results(doc, [" 4123"]) == {"recall": 0.0}
    every = {**doc, "asked": [0, 1, 2]}
    assert needle.doc_to_target(every) == " 12, 345, 6"
    assert needle.process_results(every, ["12, 345 and 7"]) == {"recall": pytest.approx(2 / 3)}


def test_importing_the_package_is_cheap() -> None:
    code = "import sys, tasks; print([m for m in ('numpy', 'lm_eval') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.filterwarnings("ignore")  # lm_eval's own
@pytest.mark.parametrize("name", [*NAMES[:3], "yoco_multi_needle_128k"])
def test_another_model_answers(name: str, metadata: dict[str, Any]) -> None:
    from lm_eval.api.model import LM
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    prompts: list[tuple[str, dict[str, Any]]] = []

    class Oracle(LM):
        """Reads the first needle of the prompt."""

        def generate_until(self, requests: list[Any]) -> list[str]:
            answers = []
            for request in requests:
                prompt, options = request.args
                prompts.append((prompt, options))
                key = prompt.rsplit("special magic ", 1)[1].split(" ")[0].rstrip(",")
                answers.append(" " + prompt.split(f"magic {key} number is ")[1].split(".")[0])
            return answers

        def loglikelihood(self, requests: list[Any]) -> Any:
            raise NotImplementedError

        def loglikelihood_rolling(self, requests: list[Any]) -> Any:
            raise NotImplementedError

    manager = TaskManager(include_path=str(YAML), include_defaults=False, metadata=metadata)
    results: Any = simple_evaluate(
        model=Oracle(), tasks=[name], task_manager=manager, log_samples=True, bootstrap_iters=0
    )
    expected = 0.25 if name.endswith("all") else 1.0
    assert results["results"][name]["recall,none"] == expected
    tokenizer = tasks_samples.tokenizer("digits", Path(metadata["tokenizer"]))
    samples = [sample for task in results["samples"].values() for sample in task]
    assert len(samples) == len(prompts) == (160 if name.endswith("128k") else 4)
    for sample, (prompt, options) in zip(samples, prompts, strict=True):
        assert sample["recall"] == expected
        assert len(tokenizer.encode(prompt)) == sample["doc"]["prompt_tokens"]
        assert options["max_gen_toks"] == sample["doc"]["generation_tokens"]
        assert prompt not in json.dumps(sample["doc"])


def test_the_command_line(metadata: dict[str, Any]) -> None:
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "dummy", "--limit", "2"]
    command += ["--include_path", str(YAML), "--tasks", "yoco_needle"]
    done = subprocess.run(
        [*command, "--metadata", json.dumps(metadata)],
        cwd=ROOT,
        # the dummy model asks for a tokenizer that this test does not need
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "|yoco_needle|" in done.stdout and "recall" in done.stdout
