"""Which files there are, and what is no results file."""

from __future__ import annotations

import os
import re

import pytest
from result_samples import TIMESTAMP, benchmark_sample, write_run

from heatmaps.result_files import counted, find_sample_files, of_task, read_results


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
    [
        ('{"config": {', "not valid JSON, as in a half-written file"),
        ("[1]", "has no config"),
        ("[" * 100_000, "nested more than 100 deep"),
    ],
)
def test_what_is_no_results_file_is_refused(tmp_path, text, message):
    path = tmp_path / f"results_{TIMESTAMP}.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_results(path)


def test_what_is_no_file_is_passed_over_in_a_folder(tmp_path):
    """A pipe would be waited for, a device read for ever, a link to itself followed for ever."""
    write_run(tmp_path / "a", {"piqa": [benchmark_sample(0, acc=1.0)]})
    later = TIMESTAMP.replace("-05T", "-06T")
    os.mkfifo(tmp_path / f"samples_pipe_{later}.jsonl")
    os.mkfifo(tmp_path / f"results_{later}.json")
    for number, target in enumerate(("/dev/zero", f"samples_link1_{later}.jsonl", "nowhere")):
        (tmp_path / f"samples_link{number}_{later}.jsonl").symlink_to(target)
    (tmp_path / f"samples_folder_{later}.jsonl").mkdir()
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    files, notes = find_sample_files([tmp_path])
    assert [file.task for file in files] == ["piqa"] and notes == []
    for number, error in ((0, ValueError), (1, FileNotFoundError), (2, FileNotFoundError)):
        with pytest.raises(error, match=r"neither a file nor a folder|no such file or folder"):
            find_sample_files([tmp_path / f"samples_link{number}_{later}.jsonl"])
    with pytest.raises(ValueError, match="neither a file nor a folder: give one of these"):
        find_sample_files([tmp_path / f"samples_pipe_{later}.jsonl"])


def test_what_compare_set_aside_or_did_not_finish_is_left_out(tmp_path):
    lines = {"piqa": [benchmark_sample(0, acc=1.0)]}
    aside = [
        write_run(tmp_path / "runs" / "piqa-1.damaged", lines),
        write_run(tmp_path / "unfinished" / "piqa-2" / "results", lines),
    ]
    (tmp_path / "empty.damaged").mkdir()
    message = "2 folders left out (piqa-1.damaged, unfinished): set aside by yoco compare as damag"
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        find_sample_files([tmp_path])
    write_run(tmp_path / "runs" / "piqa-3", lines)
    files, notes = find_sample_files([tmp_path])
    assert [file.path.parent.name for file in files] == ["piqa-3"]
    assert len(notes) == 1 and notes[0].startswith(message)
    # Negative control: who names such a folder gets it.
    for folder in aside:
        files, notes = find_sample_files([folder])
        assert len(files) == 1 and notes == []


def test_dates_to_come_are_said(tmp_path):
    write_run(tmp_path, {"piqa": [benchmark_sample(0, acc=1.0)]}, timestamp="2999-01-05T09-00-00")
    write_run(tmp_path, {"piqa": [benchmark_sample(0, acc=1.0)]})
    files, notes = find_sample_files([tmp_path])
    assert files[-1].written.year == 2999
    assert notes == [
        "samples_piqa_2999-01-05T09-00-00.jsonl is dated later than now, and still counts as the "
        "newest: rename it if that is wrong"
    ]


@pytest.mark.parametrize(
    "date", ["2026-13-05T09-00-00", "2026-01-05T25-00-00", "٢٠٢٦-01-05T09-00-00"]
)
def test_a_name_with_no_date_is_dated_by_its_file(tmp_path, date):
    path = tmp_path / f"samples_piqa_{date}.jsonl"
    path.write_text("{}\n")
    os.utime(path, (86400, 86400))
    (file,) = find_sample_files([path])[0]
    assert file.written.year == 1970 and file.results is None


def test_sections_of_a_task():
    content = {"versions": {"group::piqa": 1.0}, "n-shot": [3]}
    assert of_task(content, "versions", "piqa") == 1.0
    assert of_task(content, "versions", "boolq") is of_task(content, "n-shot", "piqa") is None


def test_counts_agree_with_their_nouns():
    assert [counted(n, "sample") for n in (0, 1, 2000)] == [
        "0 samples",
        "1 sample",
        "2,000 samples",
    ]
