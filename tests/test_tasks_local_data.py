"""Local benchmark data in every layout, against lm-eval's own tasks on the hub's rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest
from checkpoint_samples import HUB_ROWS, foundry_row, write_jsonl

from tasks.local_data import evaluated_split, find_data, load_data, overrides, reads_hub

# the fields of lm-eval's files that local data depend on
ARC = {
    "task": "arc_easy",
    "dataset_path": "allenai/ai2_arc",
    "dataset_name": "ARC-Easy",
    "training_split": "train",
    "validation_split": "validation",
    "test_split": "test",
}
PIQA = {"task": "piqa", "dataset_path": "baber/piqa", "validation_split": "validation"}
ROWS = HUB_ROWS["arc_easy"]


def loaded(folder: Path, config: dict[str, Any] = ARC) -> dict[str, list[dict[str, Any]]]:
    changes = overrides(config, folder)
    splits = changes["custom_dataset"](**changes["dataset_kwargs"], version=1.0)
    return {name: list(dataset) for name, dataset in splits.items()}


def write_layout(name: str, folder: Path) -> None:
    rows = datasets.Dataset.from_list(ROWS)
    other = rows.select([0])
    match name:
        case "jsonl":
            write_jsonl(folder / "arc_easy.jsonl", ROWS)
        case "json":
            rows.to_json(folder / "arc_easy.json", lines=False)
        case "parquet":
            rows.to_parquet(folder / "arc_easy.parquet")
        case "a file a split":
            write_jsonl(folder / "arc_easy_train.jsonl", ROWS[:1])
            rows.to_parquet(folder / "arc_easy_test.parquet")
        case "saved":
            rows.save_to_disk(folder / "arc_easy")
        case "saved splits":
            datasets.DatasetDict({"train": other, "test": rows}).save_to_disk(folder / "arc_easy")
        case "a folder of files":
            write_jsonl(folder / "arc_easy" / "train.jsonl", ROWS[:1])
            write_jsonl(folder / "arc_easy" / "test.jsonl", ROWS)
        case "a copy of the hub's":
            card = "---\nconfigs:\n" + "".join(
                f"- config_name: {config}\n  data_files:\n  - split: test\n    path: {config}/*\n"
                for config in ("ARC-Challenge", "ARC-Easy")
            )
            write_jsonl(folder / "arc_easy" / "ARC-Challenge" / "test.jsonl", ROWS[:1])
            write_jsonl(folder / "arc_easy" / "ARC-Easy" / "test.jsonl", ROWS)
            (folder / "arc_easy" / "README.md").write_text(card + "---\n")


@pytest.mark.parametrize(
    ("layout", "splits"),
    [
        ("jsonl", {"test"}),
        ("json", {"test"}),
        ("parquet", {"test"}),
        ("a file a split", {"train", "test"}),
        ("saved", {"test"}),
        ("saved splits", {"train", "test"}),
        ("a folder of files", {"train", "test"}),
        ("a copy of the hub's", {"test"}),
    ],
)
def test_every_layout_gives_the_same_documents(
    layout: str, splits: set[str], tmp_path: Path
) -> None:
    write_layout(layout, tmp_path)
    found = loaded(tmp_path)
    assert found["test"] == ROWS
    assert found.keys() == splits
    changes = overrides(ARC, tmp_path)
    # a split that is not there is not asked for
    assert {"training_split", "validation_split", "test_split"} & changes.keys() == {
        field
        for field in ("training_split", "validation_split", "test_split")
        if ARC[field] not in splits
    }


def test_a_table_of_plain_values_may_be_csv(tmp_path: Path) -> None:
    datasets.Dataset.from_list(HUB_ROWS["piqa"]).to_csv(tmp_path / "piqa.csv")
    assert loaded(tmp_path, PIQA) == {"validation": HUB_ROWS["piqa"]}


@pytest.mark.parametrize("task", list(HUB_ROWS))
def test_foundry_rows_make_the_prompts_of_the_hubs_rows(task: str, tmp_path: Path) -> None:
    """Through lm-eval's own tasks: prompts, choices and answers, as the model gets them."""
    from evals.catalogue import Catalogue

    write_jsonl(tmp_path / "hub" / f"{task}.jsonl", HUB_ROWS[task])
    foundry = [foundry_row(task, row) for row in HUB_ROWS[task]]
    write_jsonl(tmp_path / "foundry" / f"{task}.jsonl", foundry)
    catalogue = Catalogue([task])
    (unit,) = catalogue.units
    requests, targets = [], []
    for folder in ("hub", "foundry"):
        (lm_eval_task,) = catalogue.load(unit, overrides(unit.config, tmp_path / folder))
        lm_eval_task.set_config(key="num_fewshot", value=0)
        lm_eval_task.build_all_requests(rank=0, world_size=1)
        requests.append([request.args for request in lm_eval_task.instances])
        answers = "doc_to_text" if task == "winogrande" else "doc_to_target"
        targets.append([getattr(lm_eval_task, answers)(doc) for doc in lm_eval_task.eval_docs])
    assert requests[0] == requests[1]
    assert targets[0] == targets[1]
    # negative control, and what lm-eval's template is known to make of a row
    expected = {
        "arc_easy": ("Question: Which of these floats?\nAnswer:", " a stone"),
        "boolq": ("Water -- It is a liquid.\nQuestion: is water wet?\nAnswer:", " no"),
        "piqa": ("Question: open a jar\nAnswer:", " turn the lid"),
        "winogrande": ("The cup fell on the plate and the red cup", " broke."),
    }
    assert requests[0][0] == expected[task]
    assert len(set(requests[0])) == len(requests[0])


def test_the_hash_is_of_names_and_contents(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a" / "arc_easy.jsonl", ROWS)
    write_jsonl(tmp_path / "b" / "arc_easy.jsonl", ROWS)
    write_jsonl(tmp_path / "c" / "arc_easy.jsonl", ROWS[:1])
    write_layout("a folder of files", tmp_path / "d")
    write_layout("a folder of files", tmp_path / "e")
    (tmp_path / "e" / "arc_easy" / ".cache").write_text("not data")
    hashes = [find_data(tmp_path / name, ARC).sha256() for name in "abcde"]
    assert hashes[0] == hashes[1]
    assert hashes[3] == hashes[4]
    assert len(set(hashes)) == 3


def test_data_are_read_as_they_are_now(tmp_path: Path) -> None:
    """Not from a cache that goes by name and time."""
    write_jsonl(tmp_path / "arc_easy.jsonl", ROWS)
    assert loaded(tmp_path)["test"] == ROWS
    write_jsonl(tmp_path / "arc_easy.jsonl", ROWS[:1])
    assert loaded(tmp_path)["test"] == ROWS[:1]


def test_which_tasks_read_the_hub() -> None:
    assert reads_hub(ARC)
    assert not reads_hub({"task": "yoco_needle", "custom_dataset": "f"})
    assert evaluated_split(ARC) == "test"
    assert evaluated_split(PIQA) == "validation"


def test_examples_come_from_their_own_split(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "arc_easy.jsonl", ROWS)
    message = r"shows 5 examples of the split 'train', which .* lacks: add arc_easy_train.jsonl"
    with pytest.raises(ValueError, match=message):
        overrides(ARC, tmp_path, num_fewshot=5)
    with pytest.raises(ValueError, match="shows 5 examples"):
        overrides({**ARC, "num_fewshot": 5}, tmp_path)
    # lm-eval leaves a task at zero that is set to zero in its file
    overrides({**ARC, "num_fewshot": 0}, tmp_path, num_fewshot=5)
    overrides({**ARC, "num_fewshot": 5}, tmp_path, num_fewshot=0)
    write_jsonl(tmp_path / "arc_easy_train.jsonl", ROWS)
    assert overrides(ARC, tmp_path, num_fewshot=5)["validation_split"] is None


def test_missing_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such folder: .*nowhere"):
        overrides(ARC, tmp_path / "nowhere")
    message = r"holds no data for arc_easy: add arc_easy.jsonl \(or .jsonl, .json, .parquet, .csv\)"
    with pytest.raises(FileNotFoundError, match=message + ".*allenai/ai2_arc.* arc_easy/"):
        overrides(ARC, tmp_path)


def test_unclear_or_broken_data_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_jsonl(tmp_path / "arc_easy.jsonl", ROWS)
    (tmp_path / "arc_easy").mkdir()
    with pytest.raises(ValueError, match=r"holds arc_easy.jsonl and arc_easy/ for arc_easy: leave"):
        overrides(ARC, tmp_path)
    (tmp_path / "arc_easy").rmdir()
    other = write_jsonl(tmp_path / "arc_easy_test.jsonl", ROWS)
    with pytest.raises(ValueError, match=r"holds arc_easy.jsonl and arc_easy_test.jsonl"):
        overrides(ARC, tmp_path)
    other.unlink()
    file.write_text('{"question": "cut sho')
    with pytest.raises(ValueError, match=r"arc_easy.jsonl cannot be read by `datasets`: JSON"):
        overrides(ARC, tmp_path)
    assert capsys.readouterr().err == ""
    file.write_text("")
    with pytest.raises(ValueError, match=r"arc_easy.jsonl holds no rows"):
        overrides(ARC, tmp_path)
    bad = {**foundry_row("arc_easy", ROWS[0]), "gold": 9}
    write_jsonl(file, [foundry_row("arc_easy", ROWS[0]), bad])
    with pytest.raises(ValueError, match=r"arc_easy.jsonl, row 2: gold is 9"):
        overrides(ARC, tmp_path)


def test_a_dataset_without_the_evaluated_split_is_refused(tmp_path: Path) -> None:
    dataset = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict({"a": dataset, "b": dataset}).save_to_disk(tmp_path / "arc_easy")
    with pytest.raises(ValueError, match="has the splits a, b, but arc_easy is evaluated on 'test"):
        load_data(find_data(tmp_path, ARC), evaluated="test")
