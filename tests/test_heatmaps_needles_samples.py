"""Reading lm-eval's files: what is taken, what replaces what, and what is refused."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from heatmaps.needles.grids import grids_of
from heatmaps.needles.planned import PlannedGrid
from heatmaps.needles.samples import COLUMNS, read_samples

EARLY, LATE = "2026-01-05T09-00-00.123456", "2026-01-06T09-00-00"


def sample(length: Any = 4096, depth: Any = 0.5, trial: Any = 0, recall: Any = 1.0, **doc: Any):
    doc = {
        "length_tokens": length,
        "depth_frac": depth,
        "depth_frac_achieved": 0.999 * depth if isinstance(depth, float) else None,
        "trial": trial,
        "num_needles": 1,
        "ask": "one",
        "haystack": "files:books/*.txt",
        "seed": 0,
    } | doc
    return {
        "doc_id": trial,
        "doc": doc,
        "target": "12345",
        "arguments": {"gen_args_0": {"arg_0": "a very long prompt", "arg_1": {"until": []}}},
        "resps": [["12345"]],
        "filtered_resps": ["12345"],
        "filter": "none",
        "metrics": ["recall"],
        "doc_hash": "d",
        "prompt_hash": "p",
        "target_hash": "t",
        "recall": recall,
    }


def write_run(
    folder: Path,
    samples: list[dict],
    *,
    timestamp=EARLY,
    task="yoco_needle",
    model="yoco",
    model_args: object = None,
    model_sha="",
    results=True,
    content: dict[str, Any] | None = None,
) -> Path:
    """Writes what a run of lm-eval leaves behind; returns the path of its samples file."""
    folder.mkdir(parents=True, exist_ok=True)
    if results:
        args = {"pretrained": "/models/prototype"} if model_args is None else model_args
        config = {"model": model, "model_args": args, "model_sha": model_sha}
        content = {
            "results": {task: {"recall,none": 1.0}},
            "config": config,
            "model_name": "abc",
            **(content or {}),
        }
        (folder / f"results_{timestamp}.json").write_text(json.dumps(content))
    path = folder / f"samples_{task}_{timestamp}.jsonl"
    path.write_text("".join(json.dumps(s, ensure_ascii=False) + "\n" for s in samples))
    return path


def test_every_way_to_name_a_run_reads_the_same_rows(tmp_path):
    expected = [sample(4096, 0.0, 0, 1.0), sample(4096, 0.0, 1, 0.0), sample(8192, 1.0, 0, 0.5)]
    path = write_run(tmp_path / "out" / "prototype", expected)
    results = path.with_name(f"results_{EARLY}.json")
    frames = [read_samples([p]) for p in (path, results, tmp_path, str(path))]
    # A file named twice, by itself and through its folder, is read once.
    frames.append(read_samples([tmp_path, results, path]))
    for frame in frames:
        pd.testing.assert_frame_equal(frame, frames[0])
        assert frame.attrs["notes"] == []
    frame = frames[0]
    assert list(frame.columns) == COLUMNS
    assert frame["length_tokens"].tolist() == [4096, 4096, 8192]
    assert frame["depth_frac"].tolist() == [0.0, 0.0, 1.0]
    assert frame["depth_frac_achieved"].tolist() == [0.0, 0.0, 0.999]
    assert frame["trial"].tolist() == [0, 1, 0]
    assert frame["score"].tolist() == [1.0, 0.0, 0.5]
    assert set(frame["model"]) == {"prototype"}
    assert set(frame["task"]) == {"yoco_needle"}
    assert set(frame["haystack"]) == {"files:books/*.txt"}
    assert set(frame["file"]) == {str(path)}


def test_files_as_lm_eval_itself_writes_them(tmp_path):
    from lm_eval.loggers.evaluation_tracker import EvaluationTracker

    tracker = EvaluationTracker(output_path=str(tmp_path))
    args = {"pretrained": "/models/prototype", "dtype": "float32"}
    tracker.general_config_tracker.log_experiment_args("hf", args, None, None, False)
    written = sample(131072, 0.1, 3, 1.0)
    written["arguments"] = [("prompt\u2028of one line", {"until": ["\n"]})]
    samples: dict[str, Any] = {"yoco_multi_needle_128k_n2": [written]}
    config = {"model": "hf", "model_args": args}
    tracker.save_results_aggregated({"results": {}, "config": config}, samples)
    tracker.save_results_samples("yoco_multi_needle_128k_n2", samples["yoco_multi_needle_128k_n2"])

    frame = read_samples([tmp_path])
    assert frame.attrs["notes"] == []
    row = frame.iloc[0]
    assert len(frame) == 1
    assert (row["model"], row["task"]) == ("prototype", "yoco_multi_needle_128k_n2")
    assert (row["length_tokens"], row["depth_frac"], row["trial"]) == (131072, 0.1, 3)


def test_newest_file_wins_and_that_is_said(tmp_path):
    # The file's own date says the opposite of the run's date, as after a copy.
    late = write_run(tmp_path / "a", [sample(trial=1, recall=0.0)], timestamp=LATE)
    early = write_run(tmp_path / "b", [sample(trial=0), sample(trial=1, recall=1.0)])
    os.utime(late, (1, 1))
    frame = read_samples([late, early])
    assert dict(zip(frame["trial"], frame["score"], strict=True)) == {0: 1.0, 1: 0.0}
    assert frame.attrs["notes"] == [
        "1 older sample left out: the same was measured again, and the newest counts"
    ]


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"trial": 1}, {"haystack": "stdlib"}, {"num_needles": 2}, {"ask": "all"}],
    ids=lambda change: next(iter(change)),
)
def test_samples_that_differ_in_what_was_asked_are_all_kept(tmp_path, change):
    write_run(tmp_path, [sample()])
    write_run(tmp_path, [sample(**change)], timestamp=LATE)
    frame = read_samples([tmp_path])
    assert len(frame) == 2
    assert frame.attrs["notes"] == []


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("haystack_sha256", {"haystack_sha256": "b"}),
        ("tokenizer_sha256", {"tokenizer_sha256": "b"}),
        ("generation_tokens", {"generation_tokens": 40}),
    ],
)
def test_a_run_under_other_conditions_does_not_replace_the_first(tmp_path, name, change):
    of_first = {"haystack_sha256": "a", "tokenizer_sha256": "a", "generation_tokens": 20}
    write_run(tmp_path, [sample(**of_first)])
    write_run(tmp_path, [sample(recall=0.0, **(of_first | change))], timestamp=LATE)
    frame = read_samples([tmp_path])
    assert frame["score"].tolist() == [1.0, 0.0] and len(set(frame[name])) == 2
    assert frame.attrs["notes"] == []
    # Negative control: under the same it does.
    write_run(tmp_path, [sample(recall=0.0, **of_first)], timestamp=LATE)
    assert read_samples([tmp_path])["score"].tolist() == [0.0]


@pytest.mark.parametrize("name", ["chat_template_sha", "system_instruction_sha"])
def test_a_run_with_a_template_does_not_replace_one_without(tmp_path, name):
    write_run(tmp_path, [sample()], content={name: None})
    write_run(tmp_path, [sample(recall=0.0)], timestamp=LATE, content={name: "c" * 64})
    frame = read_samples([tmp_path])
    assert dict(zip(frame[name], frame["score"], strict=True)) == {"none": 1.0, "c" * 64: 0.0}


def test_generation_settings_are_conditions(tmp_path):
    warm = sample(recall=0.0)
    warm["arguments"]["gen_args_0"]["arg_1"] = {"until": [], "temperature": 0.7}
    write_run(tmp_path, [sample()])
    write_run(tmp_path, [warm], timestamp=LATE)
    assert read_samples([tmp_path])["decoding"].tolist() == [
        '{"until": []}',
        '{"temperature": 0.7, "until": []}',
    ]


@pytest.mark.parametrize("recall", [None, float("nan")])
def test_what_was_not_measured_has_no_score(tmp_path, recall):
    write_run(tmp_path, [sample(), sample(trial=1, recall=recall)])
    frame = read_samples([tmp_path])
    assert frame["score"].isna().tolist() == [False, True]
    assert frame["not_measured"].tolist() == ["", "logits not finite"]


def test_what_was_not_built_says_why_and_belongs_to_its_run(tmp_path):
    """It has no text of its own, and still is of the grid that the others are of."""
    missing = sample(trial=1, recall=float("nan"), not_built="3 tokens cannot be filled")
    write_run(tmp_path, [sample(haystack_sha256="a"), missing])
    frame = read_samples([tmp_path])
    assert frame["not_measured"].tolist() == ["", "not built: 3 tokens cannot be filled"]
    assert frame["haystack_sha256"].tolist() == ["a", "a"]


def test_samples_that_the_results_file_counts_and_that_are_not_there(tmp_path):
    counts = {"yoco_needle": {"original": 6, "effective": 6}}
    path = write_run(tmp_path, [sample(trial=n) for n in range(4)], content={"n-samples": counts})
    assert read_samples([tmp_path]).attrs["notes"] == [
        f"{path.name} holds 4 of the 6 samples that its results file counts"
    ]
    for odd in ([4], {"yoco_needle": 4}, {"yoco_needle": {"effective": "4"}}):
        write_run(tmp_path, [sample(trial=n) for n in range(4)], content={"n-samples": odd})
        assert read_samples([tmp_path]).attrs["notes"] == []


def test_what_a_run_planned_is_read_from_its_results_file(tmp_path):
    configs = {"yoco_needle": {"metadata": {"lengths": ["4K"], "depths": 3, "trials": 2}}}
    path = write_run(tmp_path, [sample()], content={"configs": configs})
    plan = PlannedGrid(lengths=(4096,), depths=(0.0, 0.5, 1.0), trials=2)
    asked = []

    def read_plan(metadata):
        asked.append(metadata)
        return plan

    frame = read_samples([tmp_path], read_plan)
    assert frame.attrs["plans"] == {str(path): plan}
    assert asked == [configs["yoco_needle"]["metadata"]]

    def refuse(metadata):
        raise ValueError("depths are 'many'")

    frame = read_samples([tmp_path], refuse)
    assert frame.attrs["plans"] == {}
    assert "does not say what was planned (depths are 'many')" in frame.attrs["notes"][0]
    for configs in ([], {"yoco_needle": 3}, {"yoco_needle": {"metadata": []}}):
        write_run(tmp_path, [sample()], content={"configs": configs})
        assert read_samples([tmp_path], read_plan).attrs["plans"] == {}


def test_depths_equal_up_to_rounding_are_the_same_sample(tmp_path):
    write_run(tmp_path, [sample(depth=0.1 + 0.2)])
    write_run(tmp_path, [sample(depth=0.3, recall=0.0)], timestamp=LATE)
    assert read_samples([tmp_path])["score"].tolist() == [0.0]


def test_each_sample_counts_once_however_many_filters_it_went_through(tmp_path):
    first = sample(recall=0.0) | {"filter": "strict"}
    twice = [first, sample(recall=1.0) | {"filter": "flexible"}]
    write_run(tmp_path, [*twice, sample(trial=1) | {"filter": "strict"}])
    frame = read_samples([tmp_path])
    assert frame["trial"].tolist() == [0, 1]
    assert frame["score"].tolist() == [0.0, 1.0]
    assert frame.attrs["notes"] == []


def test_samples_without_trial_are_told_apart_by_their_number(tmp_path):
    samples = [sample(trial=number) for number in range(3)]
    for each in samples:
        del each["doc"]["trial"], each["doc"]["seed"]
    write_run(tmp_path, samples)
    assert read_samples([tmp_path])["trial"].tolist() == [0, 1, 2]


def test_other_tasks_are_passed_over_and_group_members_named_by_task(tmp_path):
    write_run(tmp_path, [{"doc_id": 0, "doc": {"query": "?"}, "acc": 1.0}], task="arc_easy")
    write_run(tmp_path, [{"doc_id": 0, "doc": "a string", "acc": 1.0}], task="lambada")
    write_run(tmp_path, [], task="empty")
    write_run(tmp_path, [sample()], task="yoco_multi_needle_128k::yoco_multi_needle_128k_n1")
    assert read_samples([tmp_path])["task"].tolist() == ["yoco_multi_needle_128k_n1"]


def test_results_named_through_output_path_json(tmp_path):
    path = write_run(tmp_path, [sample()])
    results = path.with_name(f"results_{EARLY}.json")
    renamed = results.rename(tmp_path / f"myrun_{EARLY}.json")
    assert read_samples([renamed])["model"].tolist() == ["prototype"]


def test_two_backends_of_one_model_are_two_models(tmp_path):
    write_run(tmp_path / "a", [sample()])
    write_run(tmp_path / "b", [sample(recall=0.0)], model="hf", timestamp=LATE)
    frame = read_samples([tmp_path])
    scores = dict(zip(frame["model"], frame["score"], strict=True))
    assert scores == {"prototype (yoco)": 1.0, "prototype (hf)": 0.0}


def test_two_checkpoints_of_one_name_are_two_models(tmp_path):
    write_run(tmp_path / "a", [sample()], model_sha="1" * 64)
    write_run(tmp_path / "b", [sample(recall=0.0)], model_sha="2" * 64, timestamp=LATE)
    frame = read_samples([tmp_path])
    scores = dict(zip(frame["model"], frame["score"], strict=True))
    assert scores == {"prototype (11111111)": 1.0, "prototype (22222222)": 0.0}
    assert frame.attrs["notes"] == []


def test_runs_of_one_model_with_other_settings_are_said(tmp_path):
    first = {"pretrained": "m", "share": "false"}
    write_run(tmp_path, [sample()], model_args=first)
    write_run(tmp_path, [sample(trial=1)], model_args="pretrained=m,share=true", timestamp=LATE)
    assert read_samples([tmp_path]).attrs["notes"] == [
        "m: its runs were made with different model_args (share=false | share=true) "
        "and count as one model"
    ]


def test_another_dtype_is_not_the_same_measured_again(tmp_path):
    first = {"pretrained": "m", "dtype": "float32"}
    write_run(tmp_path, [sample()], model_args=first)
    write_run(tmp_path, [sample(recall=0.0)], model_args="pretrained=m,dtype=bf16", timestamp=LATE)
    frame = read_samples([tmp_path])
    assert dict(zip(frame["dtype"], frame["score"], strict=True)) == {"float32": 1.0, "bf16": 0.0}
    assert frame.attrs["notes"] == []


def test_samples_without_results_file_take_the_folders_name(tmp_path):
    path = write_run(tmp_path / "org__tiny-yoco", [sample()], results=False)
    frame = read_samples([path])
    assert frame["model"].tolist() == ["tiny-yoco"]
    assert "the model's name is the folder's" in frame.attrs["notes"][0]


def test_renamed_samples_file(tmp_path):
    path = write_run(tmp_path, [sample()]).rename(tmp_path / "kept.jsonl")
    assert read_samples([path])["task"].tolist() == ["kept"]


def test_results_without_samples(tmp_path):
    path = write_run(tmp_path, [sample()])
    results = path.with_name(f"results_{EARLY}.json")
    path.unlink()
    message = "run again with --log_samples --output_path"
    for named in (results, tmp_path):
        with pytest.raises(FileNotFoundError, match=message):
            read_samples([named])
    # Among others in a folder it is only mentioned.
    write_run(tmp_path, [sample()], timestamp=LATE)
    notes = read_samples([tmp_path]).attrs["notes"]
    assert notes == [
        f"1 results file without samples left out (results_{EARLY}.json): "
        "written without --log_samples"
    ]


def test_nothing_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="no lm-eval result files"):
        read_samples([tmp_path])
    with pytest.raises(FileNotFoundError, match="no path: no lm-eval result files"):
        read_samples([])
    with pytest.raises(FileNotFoundError, match="nowhere: no such file or folder"):
        read_samples([tmp_path / "nowhere"])
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"config\.json: not a result file of lm-eval"):
        read_samples([tmp_path / "config.json"])


def test_no_needle_samples(tmp_path):
    write_run(tmp_path, [{"doc": {"query": "?"}}], task="arc_easy")
    with pytest.raises(ValueError, match=r"no needle samples in 1 samples file \(samples_arc"):
        read_samples([tmp_path])


@pytest.mark.parametrize("tail", [b'{"doc_id": 2, "do', '{"doc": "\u00e9'.encode()[:-1]])
def test_a_half_written_line_is_named(tmp_path, tail):
    path = write_run(tmp_path, [sample(), sample(trial=1)])
    assert len(read_samples([path])) == 2
    path.write_bytes(path.read_bytes() + tail)
    with pytest.raises(ValueError, match=rf"{path.name}:3: not a whole line of JSON") as error:
        read_samples([path])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ['{"config": ', "[]", "{}"])
def test_a_broken_results_file_is_named(tmp_path, content):
    path = write_run(tmp_path, [sample()])
    path.with_name(f"results_{EARLY}.json").write_text(content)
    with pytest.raises(ValueError, match=rf"results_{EARLY}\.json: not "):
        read_samples([path])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (sample(recall=1.5), r":2: recall is 1\.5; it must be a number from 0 to 1"),
        (sample(recall=float("inf")), ":2: recall is inf"),
        (sample(recall=True), ":2: recall is True"),
        (sample(recall="1"), ":2: recall is '1'"),
        (sample(length=10**400), ":2: length_tokens is 1000.*; it must be a whole number <= 9,0"),
        (sample(trial="first"), ":2: trial is 'first'; it must be a whole number"),
        (sample(trial=[0]), r":2: trial is \[0\]"),
        (sample(seed={}), r":2: seed is \{\}"),
        (sample(depth_frac_achieved="deep"), ":2: depth_frac_achieved is 'deep'"),
        (sample(num_needles=True), ":2: num_needles is True"),
        (sample(depth=30), ":2: depth_frac is 30; it must be a number from 0 to 1"),
        (sample(length=0), ":2: length_tokens is 0; it must be a whole number"),
        (sample(length="4K"), ":2: length_tokens is '4K'"),
        ({"doc": {"query": "?"}}, ":2: no needle sample, though the lines above are"),
    ],
)
def test_a_sample_that_cannot_be_right_is_named(tmp_path, broken, message):
    path = write_run(tmp_path, [sample(), broken])
    with pytest.raises(ValueError, match=message):
        read_samples([path])


def test_a_sample_without_its_score_is_not_zero(tmp_path):
    unscored = sample()
    del unscored["recall"]
    path = write_run(tmp_path, [unscored | {"metrics": ["bypass"]}])
    with pytest.raises(ValueError, match=r"without its recall \(metrics: \['bypass'\]\)"):
        read_samples([path])


def test_names_of_any_kind_are_read(tmp_path):
    """pandas has no place for half a surrogate."""
    odd = "a\ud800\x1b[2J"
    args = {"pretrained": odd}
    samples = [sample(haystack=odd, ask=odd, haystack_sha256=odd, not_built=odd)]
    path = write_run(tmp_path, [], model_args=args, content={"chat_template_sha": odd})
    path.write_text("".join(json.dumps(s) + "\n" for s in samples))
    frame = read_samples([tmp_path])
    shown = "a\\ud800\\x1b[2J"
    for name in ("model", "haystack", "ask", "haystack_sha256", "chat_template_sha"):
        assert frame[name].tolist() == [shown]
    (grid,) = grids_of(frame)
    assert grid.not_measured == {f"not built: {shown}": 1}


def test_file_names_of_any_kind_are_read(tmp_path):
    path = write_run(tmp_path, [sample()])
    odd = os.fsdecode(b"samples_\xff\x1b[2J_") + f"{EARLY}.jsonl"
    path.rename(tmp_path / odd)
    assert read_samples([tmp_path])["task"].tolist() == ["\\udcff\\x1b[2J"]
