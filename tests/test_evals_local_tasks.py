"""Task files with which lm_eval reads local data: what they refuse; all are written or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from checkpoint_samples import HUB_ROWS, write_data, write_jsonl

from evals.local_tasks import write_task_files


def evaluated(folder: Path, task: str, **options: Any) -> Any:
    """The task's samples under lm-eval's own model that answers at random."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    results: Any = simple_evaluate(
        model="dummy", tasks=[task], task_manager=manager, bootstrap_iters=0, **options
    )
    return results["samples"][task]


def test_no_examples_are_drawn_from_what_is_evaluated(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    write_task_files(["arc_easy"], data, tmp_path / "tasks")
    with pytest.raises(
        ValueError, match="5 examples are wanted in a prompt, but the local data ha"
    ):
        evaluated(tmp_path / "tasks", "arc_easy", num_fewshot=5)
    (first, *_) = evaluated(tmp_path / "tasks", "arc_easy", num_fewshot=0, limit=1)
    assert first["arguments"][0][0] == "Question: 0. Which of these floats?\nAnswer:"
    # of a split of their own they are
    write_jsonl(data / "arc_easy_train.jsonl", HUB_ROWS["arc_easy"])
    write_task_files(["arc_easy"], data, tmp_path / "tasks")
    (first, *_) = evaluated(tmp_path / "tasks", "arc_easy", num_fewshot=1, limit=1)
    assert first["arguments"][0][0].count("Question:") > 1


def test_all_files_are_written_or_none(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    with pytest.raises(FileNotFoundError, match="holds no data for boolq"):
        write_task_files(["arc_easy", "boolq"], data, tmp_path / "tasks")
    assert not (tmp_path / "tasks").exists()
    (tmp_path / "tasks" / "piqa.yaml").mkdir(parents=True)
    with pytest.raises(OSError, match=r"piqa.yaml"):
        write_task_files(["arc_easy", "piqa"], data, tmp_path / "tasks")
    assert [path.name for path in (tmp_path / "tasks").iterdir()] == ["piqa.yaml"]


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        (
            "copa",
            {"premise": "p", "choice1": "a", "choice2": "b", "label": 0},
            r"copa.jsonl does not fit copa \(KeyError: 'question'\): compare its rows with",
        ),
        (
            "copa",
            {"premise": "p", "choice1": "Aa", "choice2": "", "question": "cause", "label": 0},
            r"copa.jsonl, document 2, does not fit copa \(IndexError: ",
        ),
        (
            "logiqa",
            {"label": "e", "context": "c", "question": "q", "options": ["1", "2", "3", "4"]},
            r"logiqa.jsonl, document 2, does not fit logiqa",
        ),
        (
            "headqa_en",
            {"qtext": "q", "ra": 9, "answers": [{"atext": "a"}, {"atext": "b"}]},
            r"headqa_en.jsonl, document 2: its answer is 8: it must be one of its 2 choices",
        ),
    ],
)
def test_what_does_not_fit_a_task_is_said_at_once(
    task: str, row: dict[str, Any], message: str, tmp_path: Path
) -> None:
    good: dict[str, dict[str, Any]] = {
        "copa": {**row, "question": "cause", "choice2": "Bb"},
        "logiqa": {**row, "label": "a"},
        "headqa_en": {**row, "ra": 1},
    }
    first = row if "question" not in row and task == "copa" else good[task]
    write_jsonl(tmp_path / "data" / f"{task}.jsonl", [first, row])
    with pytest.raises(ValueError, match=message):
        write_task_files([task], tmp_path / "data", tmp_path / "tasks")
