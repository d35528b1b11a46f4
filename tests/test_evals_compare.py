"""`yoco compare`: what is run, what is used again, what is refused; and kills at any moment."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from checkpoint_samples import write_data, write_model
from killed_comparison import settings

import evals.checkpoint_runs
from evals.checkpoint_runs import RunSettings
from evals.cli import main
from evals.compare import compare, is_checkpoint, model_labels
from evals.not_finite import NotFiniteError
from evals.resuming import ResumingLM
from yoco.checkpoints import checkpoint_sha256

ROOT = Path(__file__).parents[1]
NUM_RUNS = 2 * 3
# of a log-likelihood in nats, summed over tens of tokens
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints, data, and a complete comparison of them in `out`."""
    folder = tmp_path_factory.mktemp("comparison")
    write_model(folder / "a", seed=1)
    write_model(folder / "b", seed=2)
    write_data(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        replace_report(patch, [])
        compare([str(folder / "a"), str(folder / "b")], settings(folder), folder / "out")
    return folder


def replace_report(patch: pytest.MonkeyPatch, calls: list[Any]) -> None:
    """The report is another module's: keeps what it is asked for."""

    def write_comparison(models: Any, output: Path, **options: Any) -> str:
        calls.append((models, output, options))
        return "the comparison"

    report = ModuleType("heatmaps.comparison.report")
    setattr(report, "write_comparison", write_comparison)  # noqa: B010
    patch.setitem(sys.modules, report.__name__, report)


@pytest.fixture(autouse=True)
def reports(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    calls: list[Any] = []
    replace_report(monkeypatch, calls)
    return calls


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Which checkpoints are loaded, each after the one before it has gone."""
    names: list[str] = []
    alive: weakref.WeakSet[ResumingLM] = weakref.WeakSet()

    def load(pretrained: str, **options: Any) -> ResumingLM:
        assert not alive, "two models in memory"
        names.append(Path(pretrained).name)
        lm = ResumingLM(pretrained, **options)
        alive.add(lm)
        return lm

    monkeypatch.setattr(evals.checkpoint_runs, "ResumingLM", load)
    yield names
    assert not alive


def runs_of(output: Path) -> dict[str, Any]:
    """Scores and samples of all completed runs, by (checkpoint, task)."""
    found = {}
    for folder in sorted((output / "runs").iterdir()):
        key = json.loads((folder / "manifest.json").read_text())["key"]
        (results,) = folder.glob("results_*.json")
        (samples,) = folder.glob("samples_*.jsonl")
        found[key["model"]["checkpoint_sha256"], key["task"]] = (
            json.loads(results.read_text())["results"][key["task"]],
            [json.loads(line) for line in samples.read_text().splitlines()],
        )
    return found


def copied(folder: Path, target: Path) -> Path:
    return shutil.copytree(folder, target, ignore=shutil.ignore_patterns(".lock"))


def test_the_report_gets_every_models_runs(folder: Path, reports: list[Any]) -> None:
    models = [str(folder / "a"), str(folder / "b")]
    compared = compare(models, settings(folder), folder / "out", steps=[10, 20], paper=True)
    assert compared is not None
    assert (compared.text, compared.not_measured) == ("the comparison", [])
    (((first, second), output, options),) = reports
    assert (first[0], second[0]) == ("a", "b")
    assert output == folder / "out"
    tasks = ["arc_easy", "piqa", "yoco_needle"]
    assert options == {"tasks": tasks, "steps": [10, 20], "paper": True}
    for _, paths in (first, second):
        assert [path.name.rpartition("-")[0] for path in paths] == tasks
    found = runs_of(folder / "out")
    assert len(found) == NUM_RUNS
    for (_, task), (scores, samples) in found.items():
        metric = "recall" if task == "yoco_needle" else "acc"
        mean = sum(sample[metric] for sample in samples) / len(samples)
        assert scores[f"{metric},none"] == pytest.approx(mean)
    record = json.loads(next(first[1][0].glob("results_*.json")).read_text())
    # as of `lm_eval --model yoco`
    assert record["config"]["model"] == record["model_source"] == "yoco"
    assert record["config"]["model_args"]["pretrained"] == models[0]


def test_what_is_complete_is_not_run_again(folder: Path, loaded: list[str]) -> None:
    models = [str(folder / "a"), str(folder / "b")]
    assert compare(models, settings(folder), folder / "out") is not None
    assert loaded == []


def test_only_what_is_missing_is_run(folder: Path, tmp_path: Path, loaded: list[str]) -> None:
    output = copied(folder / "out", tmp_path / "out")
    before = runs_of(output)
    for run in (output / "runs").glob("piqa-*"):
        if f'"{folder / "b"}"' in (run / "manifest.json").read_text():
            shutil.rmtree(run)
    kept = {path.name: path.stat().st_mtime_ns for path in (output / "runs").iterdir()}
    assert len(kept) == NUM_RUNS - 1
    compare([str(folder / "a"), str(folder / "b")], settings(folder), output)
    assert loaded == ["b"]
    assert runs_of(output) == before
    for name, time in kept.items():
        assert (output / "runs" / name).stat().st_mtime_ns == time


def test_one_model_at_a_time_and_never_anothers_result(
    folder: Path, tmp_path: Path, loaded: list[str]
) -> None:
    """A checkpoint that has become another is run anew; one under another name is not."""
    output = copied(folder / "out", tmp_path / "out")
    moved = copied(folder / "a", tmp_path / "elsewhere")
    changed = write_model(tmp_path / "b", seed=3)
    compare([str(moved), str(changed)], settings(folder), output)
    assert loaded == ["b"]
    found = runs_of(output)
    assert len(found) == NUM_RUNS + 3
    likelihoods = {
        json.dumps([sample["resps"] for sample in samples])
        for (_, task), (_, samples) in found.items()
        if task == "arc_easy"
    }
    assert len(likelihoods) == 3
    # other data, too: only these tasks, and both models after each other
    data = write_data(tmp_path / "data", num_documents=5)
    loaded.clear()
    compare(
        [str(moved), str(changed)],
        RunSettings(**{**vars(settings(folder)), "data": data}),
        output,
    )
    assert loaded == ["elsewhere", "b"]
    assert len(list((output / "runs").iterdir())) == NUM_RUNS + 3 + 2 * 2


def test_a_checkpoint_that_changes_before_it_is_loaded_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = copied(folder / "a", tmp_path / "a")

    def load(pretrained: str, **options: Any) -> ResumingLM:
        shutil.copy(folder / "b" / "model.safetensors", model)
        return ResumingLM(pretrained, **options)

    monkeypatch.setattr(evals.checkpoint_runs, "ResumingLM", load)
    with pytest.raises(ValueError, match="a has changed while it was looked at: run again"):
        compare([str(model), str(folder / "b")], settings(folder), tmp_path / "out")
    assert not (tmp_path / "out" / "runs").exists()


@pytest.mark.parametrize("change", ["replaced", "cut", "moved"])
def test_results_are_of_what_was_loaded_whatever_becomes_of_its_files(
    change: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = RunSettings(**{**vars(settings(folder)), "tasks": ["piqa"]})
    output = copied(folder / "out", tmp_path / "out")
    model = write_model(tmp_path / "c", seed=3)
    weights = model / "model.safetensors"
    sha256 = checkpoint_sha256(model)

    def load(pretrained: str, **options: Any) -> ResumingLM:
        lm = ResumingLM(pretrained, **options)
        match change:
            case "replaced":
                shutil.copy(folder / "b" / "model.safetensors", weights)
            case "cut":
                os.truncate(weights, 1000)
            case _:
                model.rename(tmp_path / "elsewhere")
        return lm

    monkeypatch.setattr(evals.checkpoint_runs, "ResumingLM", load)
    assert compare([str(folder / "a"), str(model)], wanted, output) is not None
    assert (sha256, "piqa") in runs_of(output)
    records = [json.loads(path.read_text()) for path in output.glob("runs/piqa-*/results_*.json")]
    assert sha256 in [record["config"]["model_sha"] for record in records]


def test_a_benchmark_that_is_not_finite_is_left_out_and_the_others_are_compared(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reports: list[Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = copied(folder / "out", tmp_path / "out")
    model = write_model(tmp_path / "c", seed=3)
    ask = ResumingLM.loglikelihood

    def loglikelihood(self: ResumingLM, requests: list[Any], **options: Any) -> Any:
        if requests[0].task_name == "piqa":
            raise NotFiniteError("piqa, request 3: its logits are not finite")
        return ask(self, requests, **options)

    monkeypatch.setattr(ResumingLM, "loglikelihood", loglikelihood)
    arguments = ["compare", str(folder / "a"), str(model), "--tasks", "arc_easy,piqa"]
    arguments += ["--data", str(folder / "data"), "--device", "cpu", "--max-length", "2048"]
    arguments += ["--batch-size", "1", "--output", str(output)]
    assert main(arguments) == 1
    ((_, second), _, options) = reports[-1]
    assert len(second[1]) == 1 and options["tasks"] == ["arc_easy"]
    said = capsys.readouterr()
    assert said.out == "the comparison\n"
    line = "yoco compare: c: piqa is not scored: piqa, request 3: its logits are not finite"
    assert said.err.splitlines()[-1] == line
    # nothing is left to compare
    arguments[arguments.index("arc_easy,piqa")] = "piqa"
    assert main(arguments) == 2
    line = f"yoco compare: no task is scored for two models; {line.removeprefix('yoco compare: ')}"
    assert capsys.readouterr().err.splitlines()[-1] == line


def test_what_has_no_score_is_said_again_with_the_results(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = copied(folder / "out", tmp_path / "out")
    model = write_model(tmp_path / "c", seed=3)
    ask = ResumingLM.loglikelihood

    def loglikelihood(self: ResumingLM, requests: list[Any], **options: Any) -> Any:
        self.not_measured.append("prompt 3: its logits are not finite")
        return ask(self, requests, **options)

    monkeypatch.setattr(ResumingLM, "loglikelihood", loglikelihood)
    arguments = ["compare", str(folder / "a"), str(model), "--tasks", "piqa", "--data"]
    arguments += [str(folder / "data"), "--device", "cpu", "--max-length", "2048"]
    arguments += ["--batch-size", "1", "--output", str(output)]
    for _ in range(2):
        assert main(arguments) == 1
        line = "yoco compare: c: prompt 3: its logits are not finite"
        assert capsys.readouterr().err.splitlines()[-1] == line


def test_results_of_another_backend_stand_beside(
    folder: Path, tmp_path: Path, reports: list[Any]
) -> None:
    """A tiny random Llama through lm-eval's own `hf`, on the same local data."""
    write_hf_results(folder, tmp_path / "llama", tmp_path / "hf")
    wanted = RunSettings(
        **{**vars(settings(folder)), "tasks": ["arc_easy", "piqa"], "metadata": {}}
    )
    compare([str(tmp_path / "hf"), str(folder / "a")], wanted, folder / "out")
    (((first, second), _, _),) = reports
    assert first == ("hf", [tmp_path / "hf"])
    assert second[0] == "a" and len(second[1]) == 2
    # paired by the same documents and prompts
    for task, ours in zip(("arc_easy", "piqa"), second[1], strict=True):
        hashes = []
        for root in (tmp_path / "hf", ours):
            (path,) = root.rglob(f"samples_{task}_*.jsonl")
            samples = [json.loads(line) for line in path.read_text().splitlines()]
            hashes.append([(each["doc_hash"], each["prompt_hash"]) for each in samples])
        assert hashes[0] == hashes[1]
    # a task that those results lack
    with pytest.raises(ValueError, match=r"hf has no results of yoco_needle, only of arc_easy, p"):
        compare([str(tmp_path / "hf"), str(folder / "a")], settings(folder), folder / "out")
    # no model at all: nothing to run, all there is is compared
    copied(tmp_path / "hf", tmp_path / "hf2")
    nothing = RunSettings(tasks=[])
    compare([str(tmp_path / "hf"), str(tmp_path / "hf2")], nothing, tmp_path / "out")
    assert [label for label, _ in reports[-1][0]] == ["hf", "hf2"]


def write_hf_results(folder: Path, model: Path, output: Path) -> None:
    import transformers
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    from evals.local_tasks import write_task_files

    config = transformers.LlamaConfig(
        vocab_size=4096,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    transformers.set_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(model)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / "a" / name, model)
    files = write_task_files(["arc_easy", "piqa"], folder / "data", output.with_name("tasks"))
    assert [file.name for file in files] == ["arc_easy.yaml", "piqa.yaml"]
    tracker = EvaluationTracker(output_path=str(output))
    results: Any = simple_evaluate(
        model="hf",
        model_args={"pretrained": str(model), "device": "cpu", "dtype": "float32"},
        tasks=["arc_easy", "piqa"],
        task_manager=TaskManager(include_path=str(files[0].parent), include_defaults=False),
        batch_size=4,
        evaluation_tracker=tracker,
        bootstrap_iters=0,
    )
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for name, of_task in samples.items():
        tracker.save_results_samples(task_name=name, samples=of_task)


def test_refusals(folder: Path, tmp_path: Path) -> None:
    a, b = str(folder / "a"), str(folder / "b")
    (tmp_path / "empty").mkdir()
    plain = settings(folder)
    for models, changes, message in [
        ([a], {}, "only one model is given: name two or more"),
        ([a, a + "/"], {}, "is given 2 times: give each model once"),
        ([a, str(tmp_path / "no")], {}, "no such folder: "),
        ([a, str(tmp_path / "empty")], {}, "empty is neither a checkpoint .* nor results of lm-"),
        ([a, b], {"tasks": []}, "a is to be run, but on no task: add --tasks"),
        ([a, b], {"tasks": ["arc_esy"]}, "'arc_esy': did you mean 'arc_easy'?"),
        ([a, b], {"tasks": ["boolq"]}, "data holds no data for boolq: add boolq.jsonl"),
        ([a, b], {"tasks": ["flan_held_in"]}, "flan_held_in defines its tasks within itself"),
        ([a, b], {"metadata": {"lenghts": 1}}, "unknown setting 'lenghts': did you mean 'lengths'"),
    ]:
        changed = RunSettings(**{**vars(plain), **changes})
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            compare(models, changed, tmp_path / "out")
    with pytest.raises(ValueError, match="1 steps are given for 2 models: give each model its"):
        compare([a, b], plain, tmp_path / "out", steps=[1])
    for changes, message in [
        ({"limit": 0}, "limit is 0: it must be at least 1"),
        ({"num_fewshot": -1}, "num_fewshot is -1: it must be at least 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            RunSettings(**{**vars(plain), **changes})


def test_data_of_another_layout_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "arc_easy.jsonl").write_text('{"text": "no question"}\n')
    wanted = RunSettings(tasks=["arc_easy"], data=tmp_path, model_args={"device": "cpu"})
    message = "arc_easy.jsonl lacks the columns answerKey, choices, question that arc_easy reads: "
    with pytest.raises(ValueError, match=message + "give it the columns of allenai/ai2_arc"):
        compare([str(folder / "a"), str(folder / "b")], wanted, tmp_path / "out")


def test_damaged_results_are_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "results_x.json").write_text('{"configs": {"arc_')
    with pytest.raises(ValueError, match=r"results_x.json is no results file .* or cut short"):
        compare([str(tmp_path / "old"), str(folder / "a")], settings(folder), tmp_path / "out")


def test_results_here_are_not_run_again_whatever_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_checkpoint("demo")
    (tmp_path / "demo").mkdir()
    assert is_checkpoint("demo")
    (tmp_path / "demo" / "results_2026.json").write_text("{}")
    assert not is_checkpoint("demo") and not is_checkpoint("./demo")
    (tmp_path / "demo" / "config.json").write_text("{}")
    assert is_checkpoint("demo")


def test_labels_are_short_and_unique() -> None:
    assert model_labels(["runs/x/step1", "runs/y/step1", "demo"]) == {
        "runs/x/step1": "x/step1",
        "runs/y/step1": "y/step1",
        "demo": "demo",
    }


def test_the_command(
    folder: Path, tmp_path: Path, reports: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    output = copied(folder / "out", tmp_path / "out")
    arguments = ["compare", str(folder / "a"), str(folder / "b"), "--tasks", "arc_easy, piqa"]
    arguments += ["--data", str(folder / "data"), "--device", "cpu", "--max-length", "2048"]
    arguments += ["--output", str(output), "--steps", "1e3,2e3"]
    assert main(arguments) == 0
    assert capsys.readouterr().out == "the comparison\n"
    tasks = ["arc_easy", "piqa"]
    assert reports[-1][2] == {"tasks": tasks, "steps": [1000.0, 2000.0], "paper": False}
    # nothing was run anew
    assert len(list((output / "runs").iterdir())) == NUM_RUNS
    capsys.readouterr()
    for wrong, message in [
        (["--metadata", "{"], "yoco compare: --metadata is '{', which is not JSON"),
        (["--metadata", "[1]"], "yoco compare: --metadata is '[1]': it must be a JSON object"),
    ]:
        assert main([*arguments, *wrong]) == 2
        assert capsys.readouterr().err.startswith(message)
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--limit", "0"])
    assert "--limit: '0' is not a number of documents of at least 1" in capsys.readouterr().err


def test_killed_at_any_moment_it_goes_on(folder: Path, tmp_path: Path) -> None:
    work = copied(folder, tmp_path / "work")
    shutil.rmtree(work / "out")
    rng = random.Random(0)
    kills: list[int | float] = [rng.randint(1, 20), rng.uniform(0.2, 0.6), rng.randint(1, 20)]
    # while it writes a run: before it is renamed, and just after
    kills += [-4, -5]
    path = os.pathsep.join(map(str, (ROOT, ROOT / "packaging", ROOT / "tests")))
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "killed_comparison.py"), work, json.dumps(kills)],
        env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes = json.loads(done.stdout)
    assert [status for status, _ in outcomes] == [-9] * len(kills) + [0]
    # no answer is asked for again, but the last before each kill, which may not be on disk
    num_answers = sum(count for _, count in outcomes)
    assert 78 <= num_answers <= 78 + len(kills)
    found, expected = runs_of(work / "out"), runs_of(folder / "out")
    assert found.keys() == expected.keys()
    for name, (scores, samples) in expected.items():
        assert found[name][0] == scores
        assert len(found[name][1]) == len(samples)
        for sample, again in zip(samples, found[name][1], strict=True):
            if name[1] == "yoco_needle":
                # the document names the tokenizer's folder, which is another here
                assert again["doc"]["prompt_sha256"] == sample["doc"]["prompt_sha256"]
                assert again["resps"] == sample["resps"]
            else:
                assert again["doc_hash"] == sample["doc_hash"]
                for (once,), (twice,) in zip(sample["resps"], again["resps"], strict=True):
                    assert float(twice[0]) == pytest.approx(float(once[0]), abs=TOLERANCE)
                    assert twice[1] == once[1]
    assert not (work / "out" / "unfinished").exists()
