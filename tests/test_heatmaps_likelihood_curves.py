"""Likelihood by position from sample files: what is read, averaged, drawn and written."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from result_samples import position_sample
from scipy import stats

from heatmaps.likelihood.curves import COLUMNS, curves_of, nll_table, read_nll
from heatmaps.likelihood.figure import draw_nll
from heatmaps.likelihood.report import write_nll
from heatmaps.run_files import newest_files

EARLY, LATE = "2026-01-05T09-00-00.123456", "2026-01-06T09-00-00"
EDGES = [1, 64, 128, 256, 512]
sample = position_sample


def write_run(
    folder: Path, samples: list[Any], *, timestamp: str = EARLY, task: str = "yoco_nll"
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model": "yoco", "model_args": {"pretrained": folder.name}}
    (folder / f"results_{timestamp}.json").write_text(json.dumps({"config": config}))
    path = folder / f"samples_{task}_{timestamp}.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in samples))
    return path


def read(path: Path) -> pd.DataFrame:
    return read_nll([newest_files("mine", [path])])


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


def test_nothing_and_what_is_broken(tmp_path: Path) -> None:
    write_run(tmp_path / "other", [{"doc": {}, "acc": 1.0}], task="piqa")
    frame = read(tmp_path / "other")
    assert frame.empty and list(frame.columns) == COLUMNS
    assert nll_table(frame) == "" and curves_of(frame) == []
    with pytest.raises(ValueError, match="no likelihood by position to draw"):
        draw_nll(frame)
    with pytest.raises(ValueError, match="no likelihood by position in the results of mine"):
        write_nll([("mine", [tmp_path / "other"])])
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nats_by_position": [[63, 1.0]]}, "nats_by_position has not one entry for each of the d"),
        ({"nats_by_position": 3.0}, "nats_by_position has not one entry for each of the document"),
        (sample(nats=(1.0, math.inf)), r"bin 1 is \[64, inf\]; it must be tokens and finite nats"),
        ({"nats_by_position": [[63, 1.0], [64, None], [1], 5]}, r"bin 1 is \[64, None\]"),
        ({"doc_id": None}, "doc_id is None; it must be a whole number"),
        (sample(edges_asked=None), "edges_asked is None; it must be a list of positions"),
        (
            sample(edges=[1, 64, 64, 256, 512]),
            r"edges is \[1, 64, 64, 256, 512\]; positions must as",
        ),
        (sample(edges=[1, "64", 128, 256, 512]), "edges is '64'; it must be a whole number"),
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


def test_two_documents_of_one_name_and_text_are_two(tmp_path: Path) -> None:
    """As files in two folders may be."""
    (curve,) = curves_of(frame_of(tmp_path, {"m": [sample(), sample(1)]}))
    assert curve.num_documents.tolist() == [2, 2, 2, 2]


def frame_of(tmp_path: Path, models: dict[str, list[Any]]) -> pd.DataFrame:
    for model, samples in models.items():
        write_run(tmp_path / model, samples)
    return read_nll([newest_files(model, [tmp_path / model]) for model in models])


def test_means_and_averages(tmp_path: Path) -> None:
    samples = [sample(), sample(1, "b.txt", (100.0, 100.0))]
    (curve,) = curves_of(frame_of(tmp_path, {"m": samples}))
    assert curve.label == "m" and curve.unit == "nats a token"
    assert curve.stops.tolist() == EDGES[1:] and curve.starts.tolist() == EDGES[:-1]
    assert curve.num_documents.tolist() == [2, 2, 1, 1]
    assert curve.mean.tolist() == [300 / 126, 280 / 128, 300 / 128, 500 / 256]
    # where b.txt has ended, a.txt's own average goes on
    expected = [300 / 126, 580 / 254, 680 / 255, 1180 / 511]
    assert curve.average.tolist() == pytest.approx(expected)
    assert np.isnan(curve.low).tolist() == [False, False, True, True]


def test_intervals_are_those_of_the_mean_for_documents_of_one_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    nats = rng.normal(200, 20, (7, 4))
    samples = [
        sample(number, f"{number}.txt", tuple(row.tolist())) for number, row in enumerate(nats)
    ]
    (curve,) = curves_of(frame_of(tmp_path, {"m": samples}))
    sizes = np.diff(EDGES)
    for found, means in (
        ((curve.low, curve.high), nats / sizes),
        ((curve.average_low, curve.average_high), nats.cumsum(1) / sizes.cumsum()),
    ):
        low, high = stats.t.interval(0.95, 6, means.mean(0), stats.sem(means))
        assert found[0] == pytest.approx(low) and found[1] == pytest.approx(high)


def test_intervals_cover(tmp_path: Path) -> None:
    """95% of them hold the ratio that documents of unequal sizes are drawn about."""
    from heatmaps.likelihood.curves import _ratio

    rng = np.random.default_rng(0)
    num_documents, num_draws, true = 8, 4000, 3.0
    sizes = rng.integers(50, 150, (num_documents, num_draws)).astype(float)
    losses = sizes * rng.normal(true, 0.5, sizes.shape)
    _, low, high = _ratio(losses, sizes)
    covered = np.mean((low < true) & (true < high))
    assert 0.93 < covered < 0.97
    # negative control: intervals half as wide do not
    middle, half = (low + high) / 2, (high - low) / 4
    assert np.mean((middle - half < true) & (true < middle + half)) < 0.8


def test_tokens_of_two_tokenizers_are_compared_by_bytes(tmp_path: Path) -> None:
    samples = {"m": [sample()], "n": [sample(tokenizer_sha256="another")]}
    frame = frame_of(tmp_path, samples)
    curves = curves_of(frame)
    assert {curve.unit for curve in curves} == {"bits a byte"}
    assert curves[0].mean[0] == pytest.approx(200 / math.log(2) / (3 * 63))
    assert curves[0].average[-1] == pytest.approx(1180 / math.log(2) / (3 * 511))
    (note,) = frame.attrs["notes"]
    assert "in bits a byte" in note and "one position is not the same place in the text" in note


def test_the_picture(tmp_path: Path) -> None:
    samples = [sample(), sample(1, "b.txt", (100.0, 100.0)), sample(2, "c.txt")]
    frame = frame_of(tmp_path, {"one $x$": samples, "two": samples[:1]})
    figure = draw_nll(frame)
    left, right = figure.axes
    assert left.get_xscale() == "log" and left.get_ylabel() == "NLL, nats a token"
    for axes, ends in ((left, [np.sqrt(64), np.sqrt(64 * 128)]), (right, [64, 128])):
        solid, dashed, alone = axes.get_lines()
        assert solid.get_xdata() == pytest.approx(ends)
        assert np.size(dashed.get_xdata()) == 3 and dashed.get_linestyle() == "--"
        assert np.size(alone.get_xdata()) == 4
        # one document has no interval
        assert len(axes.collections) == 1
    expected = curves_of(frame)[0].average[:2]
    assert right.get_lines()[0].get_ydata() == pytest.approx(expected)
    said = [text.get_text() for text in figure.texts]
    assert "one $x$: 3 documents, 2 of them up to 512" in said and "two: 1 document" in said
    assert any("95% interval over documents" in text and "dashed" in text for text in said)
    alone = draw_nll(frame.loc[frame["model"] == "two"])
    assert not any("interval" in text.get_text() for text in alone.texts)


def test_the_picture_of_a_few_tokens(tmp_path: Path) -> None:
    few = sample(nats=(9.0,), edges=[1, 8], edges_asked=[1, 8])
    left, _ = draw_nll(frame_of(tmp_path, {"m": [few]})).axes
    assert list(left.xaxis.get_major_locator()()) == [8]


def test_the_report(tmp_path: Path) -> None:
    frame_of(tmp_path, {"m": [sample(), sample(1, "b.txt")], "n": [sample(nats=(1.0, 2.0))]})
    models = [(name, [tmp_path / name]) for name in ("m", "n")]
    text = write_nll(models, tmp_path / "new" / "p.png", tmp_path / "new" / "p.csv")
    assert "m: 2 documents; 2.3092 nats a token up to 512 (95% interval over documents" in text
    assert "n: 1 document; 0.0236 nats a token up to 128\n" in text
    rows = [line.split() for line in text.splitlines() if line.strip()[:1].isdigit()]
    assert rows[0] == ["1", "64", "3.175", "3.175", "0.016", "0.016"]
    assert rows[3] == ["256", "512", "1.953", "2.309", "-", "-"]
    assert (tmp_path / "new" / "p.png").read_bytes().startswith(b"\x89PNG")
    files = [newest_files(label, paths) for label, paths in models]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "new" / "p.csv"), read_nll(files))
    assert text.endswith(f"wrote {tmp_path}/new/p.png\nwrote {tmp_path}/new/p.csv")
