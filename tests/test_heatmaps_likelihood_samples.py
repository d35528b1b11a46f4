"""What is read of documents scored by position, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from likelihood_samples import EARLY, LATE, frame_of, read, write_run
from result_samples import position_sample as sample

from heatmaps.likelihood.samples import COLUMNS


def test_one_row_a_bin(tmp_path: Path) -> None:
    path = write_run(tmp_path / "m", [sample(), sample(1, "b.txt", (1.0, 2.0))])
    write_run(tmp_path / "m", [{"doc": {"question": "?"}, "acc": 1.0}], task="piqa")
    frame = read(tmp_path / "m")
    assert list(frame.columns) == COLUMNS and len(frame) == 6
    assert frame["nats"].tolist() == [200.0, 180.0, 300.0, 500.0, 1.0, 2.0]
    row = frame.iloc[1]
    assert (row["model"], row["task"], row["document"]) == ("mine", "yoco_nll", "a.txt")
    assert (row["start"], row["stop"], row["bin_start"], row["bin_stop"]) == (64, 128, 64, 128)
    assert (row["num_tokens"], row["num_bytes"]) == (64, 192)
    assert frame.attrs["notes"] == []
    pd.testing.assert_frame_equal(read(path), frame)


def test_the_newest_file_counts_as_a_whole(tmp_path: Path) -> None:
    """As in a table of scores: nothing is mixed of two runs, whose lengths may differ."""
    write_run(tmp_path, [sample(nats=(9.0, 9.0, 9.0, 9.0)), sample(1, "b.txt")])
    late = write_run(tmp_path, [sample(nats=(1.0, 2.0))], timestamp=LATE)
    frame = read(tmp_path)
    assert frame["document"].tolist() == ["a.txt", "a.txt"]
    assert frame["nats"].tolist() == [1.0, 2.0]
    assert frame.attrs["notes"] == [
        f"mine: yoco_nll was run several times; samples_yoco_nll_{EARLY}.jsonl left out, "
        "the newest counts"
    ]
    # negative control: by itself the older run is read as well
    late.unlink()
    assert set(read(tmp_path)["document"]) == {"a.txt", "b.txt"}


def test_results_without_any_document(tmp_path: Path) -> None:
    write_run(tmp_path / "other", [{"doc": {}, "acc": 1.0}], task="piqa")
    frame = read(tmp_path / "other")
    assert frame.empty and list(frame.columns) == COLUMNS
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nats_by_position": [[63, 1.0]]}, "nats_by_position has not one entry for each of the d"),
        ({"nats_by_position": 3.0}, "nats_by_position has not one entry for each of the document"),
        (sample(nats=(1.0, math.inf)), "nats of bin 1 is inf; it must be a finite number"),
        (
            {"nats_by_position": [[63, 1.0], [64, 10**400], [1, 1], [1, 1]]},
            "nats of bin 1 is 1000.*; it must be a finite number",
        ),
        (sample(nats=(1.0, True)), "nats of bin 1 is True; it must be a finite number"),
        ({"nats_by_position": [[63, 1.0], [64, 2.0], [1], 5]}, r"bin 2 is \[1\]; it must be tok"),
        (sample(tokenizer_sha256="other"), "its document is in the tokens of another tokenizer"),
        ({"doc_id": None}, "doc_id is None; it must be a whole number"),
        (sample(edges_asked=None), "edges_asked is None; it must be a list of positions"),
        (
            sample(edges=[1, 64, 64, 256, 512]),
            r"edges is \[1, 64, 64, 256, 512\]; positions must as",
        ),
        (sample(edges=[1, "64", 128, 256, 512]), "edges is '64'; it must be a whole number"),
        (sample(edges=[1]), r"edges is \[1\]; it must be two positions or more"),
        (sample(num_bytes=None), "num_bytes has not one entry for each of the document's 4 bins"),
        (sample(1), "document 1 is in the file twice"),
        ({"doc": {}}, "no document scored by position, though the lines above are"),
    ],
)
def test_a_line_that_cannot_be_right_is_named(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = write_run(tmp_path, [sample(1), {**sample(), **changes}])
    with pytest.raises(ValueError, match=rf"jsonl:2: {message}"):
        read(path)


@pytest.mark.parametrize("nothing", [None, math.nan])
def test_a_document_that_was_not_measured_is_left_out_and_named(
    tmp_path: Path, nothing: Any
) -> None:
    broken = sample(1, "b.txt")
    broken["nats_by_position"][2][1] = nothing
    write_run(tmp_path, [sample(), broken, sample(2, "c.txt")])
    frame = read(tmp_path)
    assert set(frame["document"]) == {"a.txt", "c.txt"} and not any(map(math.isnan, frame["nats"]))
    assert frame.attrs["notes"] == [
        "mine, yoco_nll: 1 of 3 documents not measured (logits not finite) and left out: b.txt"
    ]


def test_documents_that_the_results_file_counts_and_that_are_not_there(tmp_path: Path) -> None:
    path = write_run(tmp_path, [sample()])
    content = {"config": {"model": "yoco"}, "n-samples": {"yoco_nll": {"effective": 3}}}
    (tmp_path / f"results_{EARLY}.json").write_text(json.dumps(content))
    assert read(tmp_path).attrs["notes"] == [
        f"mine, yoco_nll: {path.name} holds 1 of the 3 samples that its results file counts"
    ]


def test_models_that_were_scored_on_other_documents_are_told(tmp_path: Path) -> None:
    samples = {"m": [sample(), sample(1, "b.txt")], "n": [sample()], "o": [sample(3)]}
    assert frame_of(tmp_path, samples).attrs["notes"] == [
        "yoco_nll: m and n were not scored on the same documents (1 document in common): their "
        "curves do not compare",
        "yoco_nll: m and o were not scored on the same documents (1 document in common): their "
        "curves do not compare",
    ]
    # Negative control.
    same = {"p": [sample(), sample(1, "b.txt")], "q": [sample(), sample(1, "b.txt")]}
    assert frame_of(tmp_path, same).attrs["notes"] == []
