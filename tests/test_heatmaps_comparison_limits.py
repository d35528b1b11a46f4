"""Results that no run with a given limit can be paired with are refused before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from comparison_samples import accuracies, needles
from result_samples import write_run

from heatmaps.comparison.limits import refuse_other_limit


@pytest.mark.parametrize(
    ("original", "limit", "message"),
    [
        (60, None, None),
        (60, 60, None),
        (60, 1000, None),
        (2376, 60, None),
        (2376, None, "A has arc_easy on 60 documents, but a run without --limit is on 2,376, and"),
        (2376, 61, "but a run with --limit 61 is on 61, .*: give --limit 60, or run A again"),
        (60, 10, "but a run with --limit 10 is on 10, .*: leave out --limit, or run A again"),
    ],
)
def test_as_many_documents(
    original: int, limit: int | None, message: str | None, tmp_path: Path
) -> None:
    lines = {"arc_easy": accuracies(1, 0.5), "yoco_needle": needles(0.5)}
    write_run(tmp_path, lines, original=original)
    if message is None:
        refuse_other_limit("A", tmp_path, ["arc_easy"], limit)
        return
    with pytest.raises(ValueError, match=message):
        refuse_other_limit("A", tmp_path, ["arc_easy"], limit)


def test_results_that_do_not_count_are_for_the_comparison_to_judge(tmp_path: Path) -> None:
    odd: dict[str, Any] = {"n-samples": {"arc_easy": 5}}
    write_run(tmp_path, {"arc_easy": accuracies(1, 0.5)}, **odd)
    refuse_other_limit("A", tmp_path, ["arc_easy"], 3)
