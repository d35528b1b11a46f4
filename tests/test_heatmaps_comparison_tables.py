"""A comparison as text says what its numbers are."""

from __future__ import annotations

import csv

import pytest
from comparison_samples import accuracies, compare, write_models
from result_samples import benchmark_sample, write_run

from heatmaps.comparison.tables import (
    CSV_COLUMNS,
    comparison_markdown,
    markdown_table,
    p_label,
    paper_markdown,
    terminal_table,
    write_csv,
)


@pytest.fixture
def comparison(tmp_path):
    bits = [benchmark_sample(n, bits_per_byte=[-70.0 - n, 100]) for n in range(5)]
    models = write_models(tmp_path, {"A": 0.5, "B": 1.0})
    for (label, paths), gain in zip(models, (0.0, 5.0), strict=True):
        lines = [line | {"bits_per_byte": [line["bits_per_byte"][0] + gain, 100]} for line in bits]
        reported = -sum(line["bits_per_byte"][0] for line in lines) / 500 / 0.6931471805599453
        paths.append(
            write_run(
                tmp_path / f"{label}_bits",
                {"wikitext": lines},
                pretrained=f"/models/{label}",
                reported={"wikitext": {"bits_per_byte": reported}},
                lower_is_better=["bits_per_byte"],
            )
        )
    return compare(models, seed=0, resamples=500)


def test_terminal_table(comparison):
    lines = terminal_table(comparison).splitlines()
    header = "task metric docs model score s.e. difference [95%] p p (Holm) won/lost/tied"
    assert " ".join(lines[0].split()) == header
    rows = {tuple(line.split()[:4]): line for line in lines}
    assert rows["arc_easy", "acc", "60", "A"].endswith("-")
    # What the row above says already is not said again.
    (second,) = [line for line in lines[3:4] if line.split()[0] == "B"]
    wins = accuracies(10, 0.5)
    lost = sum(line["acc"] == 0 for line in wins)
    assert second.split()[-1] == f"{lost}/0/{60 - lost}"
    assert second.split()[1:3] == ["100.0", "0.0"]
    assert "<0.001" in second
    (bits,) = [line for line in lines if line.startswith("wikitext")]
    assert "bits_per_byte (lower is better)" in bits
    after = lines[lines.index(bits) + 1]
    # Fewer bits a byte is a win.
    assert after.split()[-1] == "5/0/0" and "-0.0721 [-0.0721, -0.0721]" in after
    assert "mean of 2 tasks" in terminal_table(comparison)
    assert all(line.isascii() for line in lines)


def test_the_legend_names_methods_and_settings(comparison):
    text = " ".join(terminal_table(comparison).split())
    for part in (
        "Differences are to A, paired by document: paired bootstrap over documents, percentiles "
        "(500 resamples, seed 0).",
        "p: McNemar's exact test where documents are right or wrong, else paired permutation test;",
        "p (Holm): corrected over the tasks of a model.",
        "The mean is over 2 tasks that every model has: arc_easy, piqa.",
    ):
        assert part in text


def test_markdown_is_a_table(comparison):
    lines = comparison_markdown(comparison).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 2 * 4 + 2
    assert len({line.count("|") for line in table}) == 1
    assert markdown_table(["model"], [["a|b"]]).splitlines()[-1] == "| a\\|b |"


def test_csv_holds_every_number(comparison, tmp_path):
    write_csv(comparison, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [(row["task"], row["model"]) for row in rows[:3]] == [
        ("arc_easy", "A"),
        ("arc_easy", "B"),
        ("piqa", "A"),
    ]
    (task, *_) = comparison.tasks
    own = task.scores[1]
    assert own and own.difference
    assert float(rows[1]["difference_low"]) == own.difference.low
    assert float(rows[1]["p_holm"]) == own.p_corrected
    # What there is not is empty, not zero.
    assert rows[0]["difference"] == rows[0]["p_value"] == rows[0]["wins"] == ""
    assert [row["model"] for row in rows if row["task"] == "mean"] == ["A", "B"]


def test_paper_rows_beside_ours(comparison, tmp_path):
    text = paper_markdown(comparison)
    assert "| YOCO-3B-1M | 0.413 | 0.747 | 0.638 | 0.705 | 0.300 | 0.773 | 0.651 |" in text
    assert "| B | - | 1.000 | - | - | - | 1.000 | - | - | - |" in text
    assert "arXiv 2405.05254" in text and "N = 8" not in text
    models = [
        (label, [write_run(tmp_path / label, {"gsm8k": [benchmark_sample(0, acc=1.0)]})])
        for label in ("C", "D")
    ]
    none = paper_markdown(compare(models, seed=0, resamples=100))
    assert none.startswith("None of these runs is one of the paper's tables: those are arc_chall")


@pytest.mark.parametrize(
    ("p_value", "label"), [(1.0, "1.000"), (0.0314, "0.031"), (0.001, "0.001"), (0.0, "<0.001")]
)
def test_p_values(p_value, label):
    assert p_label(p_value) == label
