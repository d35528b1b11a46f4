"""Which files there are, and what is no results file."""

from __future__ import annotations

import pytest
from result_samples import TIMESTAMP, benchmark_sample, write_run

from heatmaps.result_files import counted, find_sample_files, read_results


def test_files_know_their_task_their_time_and_their_results(tmp_path):
    later = TIMESTAMP.replace("-05T", "-06T")
    lines = [benchmark_sample(0, acc=1.0)]
    write_run(tmp_path / "b", {"piqa": lines}, timestamp=later)
    write_run(tmp_path / "a", {"mine::arc_easy": lines, "boolq": lines})
    files, notes = find_sample_files([tmp_path, str(tmp_path / "a")])
    assert notes == []
    # Oldest first, each once.
    assert [file.task for file in files] == ["boolq", "arc_easy", "piqa"]
    assert [file.written.day for file in files] == [5, 5, 6]
    assert [file.results and file.results.parent.name for file in files] == ["a", "a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"config": {', "not valid JSON, as in a half-written file"), ("[1]", "has no config")],
)
def test_what_is_no_results_file_is_refused(tmp_path, text, message):
    path = tmp_path / f"results_{TIMESTAMP}.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_results(path)


def test_counts_agree_with_their_nouns():
    assert [counted(n, "sample") for n in (0, 1, 2000)] == [
        "0 samples",
        "1 sample",
        "2,000 samples",
    ]
