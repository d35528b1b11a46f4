"""From result files to everything that `yoco compare` writes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import yaml
from comparison_samples import write_models
from result_samples import TIMESTAMP, position_sample, write_positions, write_run

from heatmaps.comparison.report import write_comparison


def test_everything_at_once(tmp_path):
    models = write_models(tmp_path / "runs", {"A": 0.5, "B": 1.0})
    output = tmp_path / "made" / "comparison"
    text = write_comparison(models, output, steps=[100, 200], paper=True, resamples=200)
    names = {
        *("comparison.md", "comparison.csv", "comparison.json"),
        *("differences.png", "yoco_needle.png", "steps.png"),
    }
    assert {path.name for path in output.iterdir()} == names
    for name in names:
        assert f"wrote {output / name}" in text
        assert (output / name).stat().st_size > 500
    document = (output / "comparison.md").read_text()
    assert document.startswith("# B against A\n\n| task | metric | docs | model |")
    for part in ("![Differences to A", "](yoco_needle.png)", "](steps.png)", "## Beside the paper"):
        assert part in document
    assert "arc_easy: 60 of its 2,376 documents" in document
    assert "note: arc_easy: 60 of its 2,376 documents" in text
    # The same results give the same files.
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    write_comparison(models, output, steps=[100, 200], paper=True, resamples=200)
    assert before == {path.name: path.read_bytes() for path in output.iterdir()}


def test_what_was_not_asked_for_is_not_there(tmp_path):
    models = write_models(tmp_path / "runs", {"A": 0.5, "B": 1.0})
    text = write_comparison(models, tmp_path / "out", resamples=200)
    assert not (tmp_path / "out" / "steps.png").exists()
    assert "YOCO-3B" not in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": [1]}, r"1 step\(s\) for 2 models: give one step for each model"),
        ({"resamples": 10}, "resamples is 10; it must be 100 or more"),
    ],
)
def test_arguments_that_make_no_sense(tmp_path, options, message):
    models = write_models(tmp_path / "runs", {"A": 0.5, "B": 1.0})
    with pytest.raises(ValueError, match=message):
        write_comparison(models, tmp_path / "out", **options)


def test_a_refusal_writes_nothing(tmp_path):
    models = write_models(tmp_path / "runs", {"A": 0.5, "B": 1.0})
    models[1][1][0] = write_run(
        tmp_path / "other", {"piqa": [line for line in _lines(models, "piqa")[:50]]}
    )
    with pytest.raises(ValueError, match=r"piqa: A \(60 documents\) and B \(50\) were not run on"):
        write_comparison(models, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def documents(tokenizer: str, nats: float) -> list[dict[str, Any]]:
    fields = {"tokenizer_sha256": tokenizer * 64, "edges_chars": [tokenizer]}
    return [position_sample(n, f"{n}.txt", (nats + n, nats), **fields) for n in range(3)]


def test_two_tokenizers_leave_the_curve(tmp_path):
    """Likelihood by position compares by bytes where tokens do not, in a table with others."""
    models = write_models(tmp_path / "runs", {"A": 0.5, "B": 1.0})
    for (label, paths), tokenizer in zip(models, "tu", strict=True):
        run = write_positions(
            tmp_path / f"{label}_nll", documents(tokenizer, 90), pretrained=f"/models/{label}"
        )
        paths.append(run)
    text = write_comparison(models, tmp_path / "all", resamples=200)
    assert "note: not compared: yoco_nll: A and B have their documents in the tokens of 2" in text
    assert "bits a byte; positions in tokens" in text and "\narc_easy" in text
    document = (tmp_path / "all" / "comparison.md").read_text()
    assert "- B, yoco_nll: `" in document and "](nll.png)" in document
    # By itself as well, though then there is no table.
    text = write_comparison(
        models, tmp_path / "one", tasks=["yoco_nll"], resamples=200, steps=[1, 2]
    )
    assert text.startswith("A: 3 documents; ") and "arc_easy" not in text
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {"comparison.md", "comparison.csv", "comparison.json", "nll.png"}


def test_table_and_curve_are_of_the_same_files(tmp_path):
    older, newer = documents("t", 300), documents("t", 90)[:2]
    a = write_positions(tmp_path / "A", older)
    write_positions(tmp_path / "A", newer, timestamp=TIMESTAMP.replace("-05T", "-06T"))
    b = write_positions(tmp_path / "B", newer)
    text = write_comparison([("A", [a]), ("B", [b])], tmp_path / "out", resamples=200)
    (row,) = [line for line in text.splitlines() if line.startswith("yoco_nll")]
    assert row.split()[5:7] == ["2", "A"]
    assert f"A: 2 documents; {(90.5 + 90) / 127:.4f} nats a token up to 128" in text


def _lines(models, task: str) -> list[dict[str, Any]]:
    (path,) = models[0][1][0].glob(f"samples_{task}_*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_files_that_lm_eval_itself_wrote(tmp_path):
    """Two runs through lm-eval's evaluator, of a model that guesses, on a task file of our own."""
    from lm_eval.api.model import LM
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    class Guessing(LM):
        def __init__(self, seed: int) -> None:
            super().__init__()
            self.rng = np.random.default_rng(seed)

        def loglikelihood(self, requests, **_):
            return [(float(x), False) for x in self.rng.normal(-5, 1, len(requests))]

        def generate_until(self, requests, **_):
            raise NotImplementedError

        def loglikelihood_rolling(self, requests, **_):
            raise NotImplementedError

    data = tmp_path / "questions.jsonl"
    docs = [{"query": f"Is {n} even?", "choices": ["yes", "no"], "gold": n % 2} for n in range(40)]
    data.write_text("".join(f"{json.dumps(doc)}\n" for doc in docs))
    task = {
        "task": "evenness",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{query}}\nAnswer:",
        "doc_to_choice": "choices",
        "doc_to_target": "gold",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    (tmp_path / "evenness.yaml").write_text(yaml.safe_dump(task))
    models, scores = [], {}
    for label, seed in (("A", 1), ("B", 2)):
        tracker: Any = EvaluationTracker(output_path=str(tmp_path / label))
        results: Any = simple_evaluate(
            model=Guessing(seed),
            tasks=["evenness"],
            task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
            evaluation_tracker=tracker,
            log_samples=True,
            verbosity="ERROR",
        )
        samples = results.pop("samples")
        tracker.save_results_aggregated(results=results, samples=samples)
        tracker.save_results_samples(task_name="evenness", samples=samples["evenness"])
        models.append((label, [tmp_path / label]))
        scores[label] = results["results"]["evenness"]
    write_comparison(models, tmp_path / "out", resamples=200)
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    (task,) = content["tasks"]
    for own in task["models"]:
        theirs = scores[own["model"]]
        assert own["score"] == pytest.approx(theirs["acc,none"])
        assert own["standard_error"] == pytest.approx(theirs["acc_stderr,none"])
    first, second = task["models"]
    assert first["score"] != second["score"]
    counts = [second["difference"][name] for name in ("wins", "losses", "ties")]
    assert sum(counts) == 40
    assert counts[0] - counts[1] == pytest.approx(40 * (second["score"] - first["score"]))
