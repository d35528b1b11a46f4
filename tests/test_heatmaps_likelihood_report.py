"""From result files to figure, table and CSV."""

from __future__ import annotations

import math
import xml.etree.ElementTree
from pathlib import Path

import pandas as pd
import pytest
from likelihood_samples import frame_of, read, write_run
from result_samples import position_sample as sample

from heatmaps.likelihood.curves import curves_of
from heatmaps.likelihood.figure import draw_nll
from heatmaps.likelihood.report import write_nll
from heatmaps.likelihood.samples import read_nll
from heatmaps.likelihood.tables import nll_table
from heatmaps.run_files import newest_files


def test_nothing_to_report(tmp_path: Path) -> None:
    write_run(tmp_path, [{"doc": {}, "acc": 1.0}], task="piqa")
    frame = read(tmp_path)
    assert nll_table(frame) == "" and curves_of(frame) == []
    with pytest.raises(ValueError, match="no likelihood by position to draw"):
        draw_nll(frame)
    with pytest.raises(ValueError, match="no likelihood by position in the results of mine"):
        write_nll([("mine", [tmp_path])])


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


def test_no_document_was_measured(tmp_path: Path) -> None:
    write_run(tmp_path / "m", [sample(nats=(math.nan, 1.0))])
    message = r"in the results of mine: mine, yoco_nll: 1 of 1 document not measured \(logits not"
    with pytest.raises(ValueError, match=message):
        write_nll([("mine", [tmp_path])], tmp_path / "p.png")
    assert not (tmp_path / "p.png").exists()


def test_names_of_any_kind(tmp_path: Path) -> None:
    samples = [sample(0, "=1+1\x1b[2J"), sample(1, "b" * 10_000)]
    write_run(tmp_path / "m", samples)
    models = [("n" * 10_000 + "\x1b[2J$x$", [tmp_path])]
    text = write_nll(models, tmp_path / "p.svg", tmp_path / "p.csv")
    assert "\x1b" not in text and max(map(len, text.splitlines())) < 300
    xml.etree.ElementTree.parse(tmp_path / "p.svg")
    frame = pd.read_csv(tmp_path / "p.csv")
    assert set(frame["document"]) == {"'=1+1\\x1b[2J", "b" * 10_000}
