"""From result files to picture, CSV and text, as the command does it."""

import csv
import json

import pytest

from heatmaps.needles.planned import PlannedGrid
from heatmaps.report import write_heatmap

TIMESTAMP = "2026-01-05T09-00-00.123456"


@pytest.fixture
def results(tmp_path):
    """Two models through two backends; the second lost its needle at 100%."""
    for source, name in (("yoco", "prototype"), ("hf", "org/llama")):
        folder = tmp_path / "out" / name.replace("/", "__")
        folder.mkdir(parents=True)
        config = {"model": source, "model_args": {"pretrained": name}}
        (folder / f"results_{TIMESTAMP}.json").write_text(json.dumps({"config": config}))
        with (folder / f"samples_yoco_needle_{TIMESTAMP}.jsonl").open("w") as file:
            for length in (4096, 8192):
                for depth in (0.0, 0.5, 1.0):
                    doc = {"length_tokens": length, "depth_frac": depth, "trial": 0, "seed": 0}
                    recall = float(source == "yoco" or depth < 1)
                    file.write(json.dumps({"doc": doc, "recall": recall}) + "\n")
    return tmp_path / "out"


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf", "PNG"])
def test_everything_at_once(results, tmp_path, suffix):
    picture, cells = tmp_path / "made" / f"a.{suffix}", tmp_path / "made" / "cells" / "a.csv"
    text = write_heatmap([str(results)], str(picture), str(cells))
    assert picture.stat().st_size > 1000
    with cells.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["model"] for row in rows} == {"prototype", "llama"}
    assert [row["score"] for row in rows if row["model"] == "llama"] == ["1.0", "1.0", "0.0"] * 2
    assert "prototype, yoco_needle, 1 needle\nmean 100.0%" in text
    assert "llama, yoco_needle, 1 needle\nmean 66.7%" in text
    assert text.endswith(f"wrote {picture}\nwrote {cells}")


def test_a_table_alone_writes_nothing(results, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    text = write_heatmap([results])
    assert "wrote" not in text
    assert sorted(tmp_path.rglob("*")) == before


def test_remarks_reach_the_user(results):
    first = next(results.rglob("samples_*.jsonl"))
    later = first.with_name(first.name.replace("-05T", "-06T"))
    later.write_bytes(first.read_bytes())
    results_file = first.with_name(f"results_{TIMESTAMP}.json")
    later_results = results_file.with_name(results_file.name.replace("-05T", "-06T"))
    later_results.write_bytes(results_file.read_bytes())
    text = write_heatmap([results])
    assert (
        "note: 6 older samples left out: the same was measured again, and the newest counts" in text
    )


def rewritten(results, change):
    """The samples of one model, each changed."""
    (path,) = (results / "prototype").glob("samples_*.jsonl")
    samples = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(change(sample)) + "\n" for sample in samples))
    return path


def test_two_texts_of_one_name_are_two_grids(results, tmp_path):
    def on(text):
        return lambda sample: (
            sample
            | {"doc": sample["doc"] | {"haystack": "files:a/*", "haystack_sha256": text * 64}}
        )

    first = rewritten(results, on("a"))
    for name in (first.name, f"results_{TIMESTAMP}.json"):
        later = name.replace("-05T", "-06T")
        first.with_name(later).write_bytes(first.with_name(name).read_bytes())
    rewritten_later = first.with_name(first.name.replace("-05T", "-06T"))
    lines = rewritten_later.read_text().replace("a" * 64, "b" * 64)
    rewritten_later.write_text(lines)
    text = write_heatmap([results / "prototype"], tmp_path / "a.png")
    for sha in ("aaaaaa", "bbbbbb"):
        assert f"prototype, yoco_needle, 1 needle, haystack files:a/*, text sha {sha}\n" in text
    assert "note" not in text


def unmeasured(sample):
    return sample | {"recall": float("nan")}


def test_nothing_measured_is_no_picture_unless_asked_for(results, tmp_path):
    rewritten(results, unmeasured)
    paths, picture = [results / "prototype"], tmp_path / "a.png"
    message = (
        "no cell of yoco_needle by prototype was measured: "
        r"6 of 6 prompts not measured \(logits not finite\)"
    )
    with pytest.raises(ValueError, match=message):
        write_heatmap(paths, picture)
    assert not picture.exists()
    text = write_heatmap(paths, picture, draw_unmeasured=True)
    assert picture.exists()
    assert "no cell was measured" in text
    assert "note: 6 of 6 prompts not measured (logits not finite)" in text
    # Negative control: among others it is drawn, and named.
    text = write_heatmap([results], picture)
    assert "note: prototype, yoco_needle: 6 of 6 prompts not measured" in text


def test_what_was_planned_and_not_run_is_said(results):
    content = {"config": {"model": "yoco"}, "configs": {"yoco_needle": {"metadata": {}}}}
    content["configs"]["yoco_needle"]["metadata"] = {"lengths": 0, "depths": 0}
    (results / "prototype" / f"results_{TIMESTAMP}.json").write_text(json.dumps(content))

    def read_plan(metadata):
        return PlannedGrid(lengths=(4096, 8192, 16384), depths=(0.0, 0.5, 1.0), trials=1)

    text = write_heatmap([results / "prototype"], read_plan=read_plan)
    assert "   16K |   -   -   - |     -\n- = not measured" in text
    assert "note: 3 of 9 prompts planned and not run (--limit, or a run that was cut " in text


def test_remarks_are_printable(results, tmp_path):
    (results / "prototype").rename(results / "a\x1b[2J")
    next(results.rglob("results_*.json")).unlink()
    assert "\x1b" not in write_heatmap([results])


@pytest.mark.parametrize("name", ["a.jpg", "a", "png"])
def test_other_kinds_of_picture_are_refused_before_anything_is_read(tmp_path, name):
    with pytest.raises(ValueError, match=r"written as \.png, \.svg or \.pdf"):
        write_heatmap([tmp_path / "nowhere"], tmp_path / name)


def test_a_user_error_writes_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_heatmap([tmp_path / "nowhere"], tmp_path / "made" / "a.png")
    assert not (tmp_path / "made").exists()
