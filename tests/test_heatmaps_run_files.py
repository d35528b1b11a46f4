"""Which files of a model count, and files of several models."""

from __future__ import annotations

import json

import pytest
from result_samples import TIMESTAMP, benchmark_sample, write_run

from heatmaps.run_files import newest_files

LATER = TIMESTAMP.replace("-05T", "-06T")


def lines(*values: float) -> list[dict]:
    return [benchmark_sample(number, acc=value) for number, value in enumerate(values)]


def test_the_newest_run_of_a_task_counts_and_that_is_said(tmp_path):
    folder = write_run(tmp_path / "a", {"piqa": lines(0, 0), "boolq": lines(1)})
    write_run(tmp_path / "a", {"piqa": lines(1, 1)}, timestamp=LATER)
    files = newest_files("A", [folder])
    assert {task: run.samples.path.name for task, run in files.newest.items()} == {
        "piqa": f"samples_piqa_{LATER}.jsonl",
        "boolq": f"samples_boolq_{TIMESTAMP}.jsonl",
    }
    assert files.newest["piqa"].content["results"]["piqa"] == {"acc,none": 1.0}
    assert files.notes == (
        f"A: piqa was run several times; samples_piqa_{TIMESTAMP}.jsonl left out, the newest "
        "counts",
    )


@pytest.mark.parametrize("task", ["boolq", "piqa"])
@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"pretrained": "/models/b"}, r"A: its results are of two models, /models/a \(yoco\)"),
        ({"pretrained": "/models/a", "model": "hf"}, r"and /models/a \(hf\)"),
        (
            {"pretrained": "/models/a", "model_sha": "2" * 64},
            r"of two checkpoints, 111111111111 .* and 222222222222 .*give the files of one",
        ),
    ],
)
def test_results_of_two_models_are_not_one_model(tmp_path, second, message, task):
    """Not even where the newer one's results would have replaced the other's."""
    write_run(tmp_path / "a", {"piqa": lines(1)}, model_sha="1" * 64)
    write_run(tmp_path / "b", {task: lines(1)}, timestamp=LATER, **second)
    with pytest.raises(ValueError, match=message):
        newest_files("A", [tmp_path])


def test_one_checkpoint_under_two_names_is_one_model(tmp_path):
    for name, task in (("demo", "piqa"), ("/somewhere/demo", "boolq")):
        write_run(tmp_path / task, {task: lines(1)}, pretrained=name, model_sha="1" * 64)
    files = newest_files("A", [tmp_path])
    assert (set(files.newest), files.notes) == ({"piqa", "boolq"}, ())


def run_of(folder, task: str, **args: str) -> None:
    config = {"model": "hf", "model_args": {"pretrained": "p/q", **args}}
    write_run(folder / task, {task: lines(1)}, config=config)


def test_two_revisions_are_two_models(tmp_path):
    run_of(tmp_path, "piqa", revision="step1000")
    run_of(tmp_path, "boolq", revision="step2000")
    with pytest.raises(ValueError, match=r"p/q \(hf, revision=step[12]000\) .*\(hf, revision=step"):
        newest_files("A", [tmp_path])


def test_other_settings_of_one_model_are_said(tmp_path):
    run_of(tmp_path, "piqa", dtype="float32")
    run_of(tmp_path, "boolq", dtype="bf16")
    assert newest_files("A", [tmp_path]).notes == (
        "A: its runs were made with different model_args (dtype=bf16 | dtype=float32) "
        "and count as one model",
    )


def test_a_results_file_of_several_tasks_is_read_once(tmp_path):
    folder = write_run(tmp_path / "a", {"piqa": lines(1), "boolq": lines(1)})
    found = newest_files("A", [folder]).newest
    assert found["piqa"].content is found["boolq"].content
    (folder / f"results_{TIMESTAMP}.json").write_text(json.dumps({}))
    with pytest.raises(ValueError, match="not a results file of lm-eval"):
        newest_files("A", [folder])
