"""From result files to picture, CSV and text, as the command does it."""

import csv
import json

import pytest

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


@pytest.mark.parametrize("name", ["a.jpg", "a", "png"])
def test_other_kinds_of_picture_are_refused_before_anything_is_read(tmp_path, name):
    with pytest.raises(ValueError, match=r"written as \.png, \.svg or \.pdf"):
        write_heatmap([tmp_path / "nowhere"], tmp_path / name)


def test_a_user_error_writes_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_heatmap([tmp_path / "nowhere"], tmp_path / "made" / "a.png")
    assert not (tmp_path / "made").exists()
