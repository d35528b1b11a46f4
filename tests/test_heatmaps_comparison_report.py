"""From result files to everything that `yoco compare` writes."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from comparison_samples import accuracies, compare, needles, write_models
from result_samples import (
    TIMESTAMP,
    benchmark_sample,
    position_sample,
    write_positions,
    write_run,
)

from heatmaps.comparison.metrics import NotComparableError
from heatmaps.comparison.report import write_comparison
from heatmaps.printable import brief


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


NASTY = "=1+1|<img src=x onerror=alert(1)>[a](http://b)`\x1b[31m\u202e\n\ud800" + "x" * 10_000


def nan_at(lines: list[dict[str, Any]], *places: int, metric: str = "acc") -> list[dict[str, Any]]:
    return [
        line | {metric: float("nan")} if number in places else line
        for number, line in enumerate(lines)
    ]


def two_runs(
    folder: Path, first: Any, second: Any, task: str = "arc_easy", *, reported: Any = None
) -> list[Any]:
    return [
        (label, [write_run(folder / label, {task: lines}, reported=reported)])
        for label, lines in (("A", first), ("B", second))
    ]


def test_a_document_without_a_score_is_left_out_and_named(tmp_path: Path) -> None:
    """NaN is neither right nor wrong, on either side."""
    lines = [benchmark_sample(number, acc=float(number % 2)) for number in range(40)]
    better = [benchmark_sample(number, acc=1.0) for number in range(40)]
    models = two_runs(tmp_path, nan_at(lines, 0, 1), nan_at(better, 1, 2, 3))
    comparison = compare(models)
    (task,) = comparison.tasks
    first, second = task.scores
    assert first and second and second.difference
    # 0 to 3 are out; of the other 36 the first has the odd ones
    assert second.num_documents == 36 and second.num_not_measured == 4
    assert (second.score, second.difference.difference) == (1.0, 0.5)
    assert (second.difference.wins, second.difference.losses) == (18, 0)
    assert first.score == 0.5
    notes = "; ".join(comparison.notes)
    assert "arc_easy: 2 documents not measured for A (no score that is a number)" in notes
    assert "arc_easy: 3 documents not measured for B" in notes
    text = write_comparison(models, tmp_path / "out", resamples=100)
    assert "note: arc_easy: 3 documents not measured for B" in text
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert content["tasks"][0]["models"][1]["num_not_measured"] == 4


def test_a_model_without_any_score_is_not_compared(tmp_path: Path) -> None:
    lines = [benchmark_sample(number, acc=1.0) for number in range(5)]
    models = two_runs(tmp_path, lines, nan_at(lines, *range(5)))
    with pytest.raises(NotComparableError, match="acc: not measured: no document has a score that"):
        write_comparison(models, tmp_path / "out", resamples=100)
    assert not (tmp_path / "out").exists()
    # both have scores, of no document in common
    models = two_runs(tmp_path / "2", nan_at(lines, 0, 1), nan_at(lines, 2, 3, 4))
    with pytest.raises(NotComparableError, match="not measured: A and B have no document that bot"):
        compare(models)
    # of needles, too, and a null is one
    cells = needles(0.0)
    models = two_runs(tmp_path / "3", cells, nan_at(cells, 0, metric="recall"), "yoco_needle")
    (task,) = compare(models).tasks
    assert task.scores[1] and task.scores[1].num_documents == len(cells) - 1


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        (
            "n-samples",
            {"arc_easy": {"effective": 10**400}},
            "n-samples of arc_easy is 1000.*; it must be a whole number <=",
        ),
        ("n-samples", {"arc_easy": {"original": "x"}}, "n-samples of arc_easy is 'x'; it must be"),
        ("n-samples", {"arc_easy": [1]}, r"n-samples of arc_easy is \[1\], no object with names"),
        ("results", {"arc_easy": "x" * 10_000}, "results of arc_easy is 'x.*, no object with"),
        ("higher_is_better", {"arc_easy": True}, "higher_is_better of arc_easy is True, no object"),
    ],
)
def test_sections_of_another_kind_are_one_line(
    section: str, value: Any, message: str, tmp_path: Path
) -> None:
    models = two_runs(tmp_path, accuracies(1, 0.5), accuracies(2, 0.5))
    (path,) = models[0][1][0].rglob("results_*.json")
    content = json.loads(path.read_text()) | {section: value}
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        compare(models)
    assert len(str(caught.value)) < 600 and str(caught.value).isprintable()


@pytest.mark.parametrize(
    "value", [10**400, float("inf"), "1", [1, 10**400], [1, 0], {}, "x" * 9999]
)
def test_a_score_that_is_none_is_refused(value: Any, tmp_path: Path) -> None:
    lines = [benchmark_sample(number, acc=float(number % 2)) for number in range(20)]
    odd = [line | {"acc": value} if line["doc_id"] == 3 else line for line in lines]
    with pytest.raises(NotComparableError, match=r"acc: logged as .*, not as a number") as caught:
        compare(two_runs(tmp_path, lines, odd, reported={"arc_easy": {"acc": 0.5}}))
    assert len(str(caught.value)) < 600


def test_names_do_nothing(tmp_path: Path) -> None:
    """In the terminal, in Markdown and in a table."""
    lines = accuracies(1, 0.5)
    models = two_runs(tmp_path, lines, lines)
    named = [(NASTY, models[0][1]), (f"B{NASTY}", models[1][1])]
    text = write_comparison(named, tmp_path / "out", resamples=100)
    assert not [c for c in text if not c.isprintable() and c != "\n"]
    assert max(map(len, text.splitlines())) < 1000
    markdown = (tmp_path / "out" / "comparison.md").read_text()
    assert not re.search(r"<img|(?<!\\)\]\(http|\x1b", markdown)
    with (tmp_path / "out" / "comparison.csv").open(newline="") as file:
        (first, *_) = csv.DictReader(file)
    assert first["model"].startswith("'=1+1|<img") and first["model"].isprintable()
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert content["models"][0] == brief(NASTY)
