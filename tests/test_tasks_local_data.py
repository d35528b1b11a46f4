"""Local benchmark data in every layout, against lm-eval's own tasks on the hub's rows."""

from __future__ import annotations

import json
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
    write_jsonl(tmp_path / "arc_easy_train.jsonl", ROWS * 3)
    assert overrides(ARC, tmp_path, num_fewshot=5)["validation_split"] is None


def test_examples_are_never_what_is_evaluated(tmp_path: Path) -> None:
    """Wherever lm-eval would look for them."""
    write_jsonl(tmp_path / "piqa.jsonl", HUB_ROWS["piqa"])
    write_jsonl(tmp_path / "arc_easy.jsonl", ROWS)
    write_jsonl(tmp_path / "arc_easy_validation.jsonl", ROWS)
    of_test = {"training_split": None, "validation_split": None}
    for config, split in (
        (PIQA, "validation"),
        ({**ARC, **of_test}, "test"),
        ({**PIQA, "fewshot_split": "validation"}, "validation"),
        ({**PIQA, "fewshot_config": {"split": "validation"}}, "validation"),
    ):
        message = f"shows 1 examples of the split '{split}', which is the one that is evaluated"
        with pytest.raises(ValueError, match=message):
            overrides(config, tmp_path, num_fewshot=1)
    # examples of their own, or of the test split by the task's own word: lm-eval leaves out the
    # document itself
    for config in (
        {**ARC, "training_split": None},
        {**ARC, "fewshot_split": "test"},
        {**ARC, "fewshot_config": {"samples": [{"question": "?"}]}},
    ):
        assert "fewshot_config" not in overrides(config, tmp_path, num_fewshot=1)
    with pytest.raises(ValueError, match=r"split 'test', but .*arc_easy.jsonl holds 2: add some"):
        overrides({**ARC, "fewshot_split": "test"}, tmp_path, num_fewshot=3)
    sampler = overrides(PIQA, tmp_path)["fewshot_config"]["sampler"](HUB_ROWS["piqa"], rnd=None)
    assert sampler.sample(0) == []
    with pytest.raises(
        ValueError, match="5 examples are wanted in a prompt, but the local data ha"
    ):
        sampler.sample(n=5, eval_doc=None)


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
    with pytest.raises(ValueError, match=r"arc_easy.jsonl, line 1, is not whole JSON \(Unter"):
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


def refusal(folder: Path, name: str, content: str | bytes, config: dict[str, Any]) -> str:
    """What is said of a file of this content."""
    encoded = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(encoded)
    with pytest.raises(ValueError) as caught:
        overrides(config, folder)
    (folder / name).unlink()
    said = str(caught.value)
    assert said.isprintable() and len(said) < 700 and name in said
    return said


def with_piqa(**changes: Any) -> str:
    rows = [HUB_ROWS["piqa"][0], {**HUB_ROWS["piqa"][1], **changes}]
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_words_that_look_like_nothing_are_words(tmp_path: Path) -> None:
    text = "\ufeffgoal,sol1,sol2,label\r\nNA,None,007,0\r\nnull,2020-01-01,1.50,1\r\n"
    (tmp_path / "piqa.csv").write_text(text, encoding="utf-8")
    rows = [
        {"goal": "NA", "sol1": "None", "sol2": "007", "label": 0},
        {"goal": "null", "sol1": "2020-01-01", "sol2": "1.50", "label": 1},
    ]
    assert loaded(tmp_path, PIQA) == {"validation": rows}
    (tmp_path / "piqa.csv").unlink()
    write_jsonl(tmp_path / "piqa.jsonl", rows)
    assert loaded(tmp_path, PIQA) == {"validation": rows}


def test_numbers_of_a_table_are_those_that_no_prompt_shows(tmp_path: Path) -> None:
    config = {**PIQA, "task": "other", "doc_to_text": "{{ask}}", "doc_to_target": "key"}
    (tmp_path / "other.csv").write_text("ask,key,part,code\n1,2,0.5,01\n3,4,1.5,02\n")
    (first, _) = loaded(tmp_path, config)["validation"]
    assert first == {"ask": "1", "key": 2, "part": 0.5, "code": "01"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"goal": None}, "piqa.jsonl, row 2, column 'goal' is null: it must be text"),
        ({"goal": " "}, "row 2, column 'goal' is empty: it must be filled in"),
        ({"goal": float("nan")}, "row 2, column 'goal' is a number (nan), but in row 1 it is text"),
        ({"sol1": 5}, "column 'sol1' is a number (5), but in row 1 it is text: give all rows one"),
        ({"sol2": ["a"]}, "column 'sol2' is a list (['a']), but in row 1 it is text"),
        ({"goal": "\ud800"}, "column 'goal' is '\\ud800', with half a character"),
        ({"label": 2}, "row 2, column 'label' is 2: it must be one of 0, 1"),
        ({"label": -1}, "row 2, column 'label' is -1: it must be one of 0, 1"),
        ({"label": True}, "column 'label' is true or false (True), but in row 1 it is a number"),
        ({"label": 1.5}, "column 'label' is a number (1.5): it must be a whole number"),
        ({"label": 10**400}, "piqa.jsonl cannot be read by `datasets`: "),
    ],
)
def test_a_value_that_is_none_is_named(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    assert message in refusal(tmp_path, "piqa.jsonl", with_piqa(**changes), PIQA)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("piqa.csv", "goal,goal,label\na,b,0\n", "has the columns 'goal', 'goal', 'label': give"),
        ("piqa.csv", ",goal\n0,b\n", "has the columns '', 'goal': give each a name of its own"),
        ("piqa.csv", "goal;sol1\na;b\n", "has one column 'goal;sol1': separate its columns by c"),
        ("piqa.csv", "goal,label\na,b,0\n", ", line 2, has 3 cells for 2 columns: put quotes"),
        ("piqa.csv", "goal,label\na\0,0\n", ", line 2, holds a NUL, as in a damaged file"),
        ("piqa.csv", 'goal,label\n"a,0\n', ", line 2, is not CSV (unexpected end of data)"),
        ("piqa.csv", "goal,label\nb\xe9,0\n".encode("latin-1"), "is not UTF-8 in line 2: save it"),
        ("piqa.csv", "goal,label\na,0\n".encode("utf-16"), "is UTF-16: save it as UTF-8"),
        ("piqa.csv", "goal,label\na,0\n", "lacks the columns sol1, sol2 that piqa reads: give it"),
        ("piqa.csv", "goal,sol1,sol2,label\n,b,c,0\n", "row 1, column 'goal' is empty"),
        ("piqa.csv", "goal,sol1,sol2,label\na,b,c,x\n", "column 'label' is text ('x'): it must be"),
        ("piqa.jsonl", '{"goal": "a", "goal": "b"}\n', ", line 1, has 'goal' twice: leave one"),
        ("piqa.jsonl", "[1]\n", ", line 1, holds [1]: a row is an object with a name per column"),
        ("piqa.jsonl", "[" * 100_000 + "]" * 100_000, ", line 1, is nested too deep for a row"),
        ("piqa.jsonl", f'{{"label": {"9" * 5000}}}', ", line 1, is not whole JSON"),
        ("piqa.json", "null", "holds None: a row is an object"),
        ("piqa.json", '[{"goal": "a"}', "is not whole JSON (Expecting ',' delimiter)"),
        ("piqa.parquet", b"PAR1" + b"x" * 100 + b"PAR1", "cannot be read by `datasets`: "),
    ],
)
def test_a_file_that_is_none_of_its_kind_is_named(
    name: str, content: str | bytes, message: str, tmp_path: Path
) -> None:
    assert message in refusal(tmp_path, name, content, PIQA)


def test_every_row_is_looked_at(tmp_path: Path) -> None:
    arc = {**ROWS[0], "answerKey": "D"}
    message = "row 3, column 'answerKey' is 'D': it must be one of A, B, C"
    content = "".join(json.dumps(row) + "\n" for row in (*ROWS, arc))
    assert message in refusal(tmp_path, "arc_easy.jsonl", content, ARC)
    arc = {**ROWS[0], "choices": {"text": ["a", ""], "label": ["A", "B"]}}
    content = "".join(json.dumps(row) + "\n" for row in (*ROWS, arc))
    message = "row 3, column 'choices' (text) has as text 2 what is empty: it must be filled in"
    assert message in refusal(tmp_path, "arc_easy.jsonl", content, ARC)
    # a column that a template of any other task reads
    other = {**PIQA, "task": "other", "doc_to_text": "{{ask}} {% for a in b %}{{a}}{% endfor %}"}
    for row, message in (
        ({"ask": "x"}, "lacks the columns b that other reads: give it the columns of baber/piqa"),
        ({"ask": "x", "b": [None], "c": None}, "row 1, column 'b' holds what is null"),
        ({"ask": None, "b": ["x"]}, "row 1, column 'ask' is null: fill it in, or leave that row"),
        ({"ask": float("inf"), "b": ["x"]}, "row 1, column 'ask' is inf, which is no number"),
    ):
        assert message in refusal(tmp_path, "other.jsonl", json.dumps(row), other)
    # what nothing reads may be missing
    write_jsonl(tmp_path / "other.jsonl", [{"ask": "x", "b": ["y"], "c": None}])
    assert len(loaded(tmp_path, other)["validation"]) == 1


def test_data_that_change_are_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "arc_easy.jsonl", ROWS)
    changes = overrides(ARC, tmp_path)
    write_jsonl(tmp_path / "arc_easy.jsonl", ROWS[:1])
    with pytest.raises(ValueError, match=r"is not what it was when arc_easy was set up to read it"):
        changes["custom_dataset"](**changes["dataset_kwargs"])
