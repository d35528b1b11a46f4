"""Reading what a model reached on each task, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from result_samples import TIMESTAMP, benchmark_sample, needle_sample, write_run

from heatmaps.comparison.task_results import TaskResult, read_task_result
from heatmaps.run_files import newest_files


def read(folder, label="A") -> TaskResult:
    """The one task of a folder."""
    (run,) = newest_files(label, [folder]).newest.values()
    return read_task_result(label, run)


def accuracies(*values, start=0):
    return [benchmark_sample(start + n, acc=v) for n, v in enumerate(values)]


def test_a_run_as_it_lies_in_its_files(tmp_path):
    samples = accuracies(1.0, 0.0, 1.0, 1.0)
    # Ranks of a parallel run write in turns; documents are read in their order.
    folder = write_run(
        tmp_path / "a", {"arc_easy": [samples[i] for i in (2, 0, 3, 1)]}, original=2376
    )
    result = read(folder)
    assert (result.label, result.task, result.metric) == ("A", "arc_easy", "acc")
    assert [document.doc_id for document in result.documents] == [0, 1, 2, 3]
    np.testing.assert_array_equal(result.scores.values, [1, 0, 1, 1])
    assert result.scores.score == result.reported_score == 0.75
    assert (result.settings.num_fewshot, result.settings.version) == (0, 1.0)
    assert result.settings.generation_kwargs is None
    assert (result.num_available, result.is_needle) == (2376, False)
    assert result.documents[0].identity == samples[0]["doc_hash"]
    assert result.documents[0].prompt == samples[0]["prompt_hash"]


def test_needles_are_known_by_their_prompts_whatever_their_tokenizer_is_called(tmp_path):
    samples = (
        [needle_sample(0, 1024, 0.5, 1.0)],
        [needle_sample(0, 1024, 0.5, 0.0, tokenizer="/elsewhere", tokenizer_sha256="u" * 64)],
    )
    assert samples[0][0]["doc_hash"] != samples[1][0]["doc_hash"]
    documents = []
    for name, lines in zip("ab", samples, strict=True):
        folder = write_run(tmp_path / name, {"yoco_needle": lines})
        documents.append(read(folder).documents[0])
    assert documents[0].identity == documents[1].identity
    assert documents[0].cell == (1024, 0.5)
    assert "plan" not in documents[0].fields
    # Negative control: another prompt is another document.
    other = needle_sample(0, 1024, 0.5, 1.0, prompt_sha256="x")
    folder = write_run(tmp_path / "c", {"yoco_needle": [other]})
    assert read(folder).documents[0].identity != documents[0].identity


def test_only_the_first_filter_counts(tmp_path):
    lines = []
    for number, values in enumerate([(1.0, 0.0), (0.0, 0.0)]):
        for name, value in zip(("strict", "flexible"), values, strict=True):
            lines.append(benchmark_sample(number, exact_match=value) | {"filter": name})
    reported = {"gsm8k": {"exact_match": 0.5}}
    folder = write_run(tmp_path / "a", {"gsm8k": lines}, reported=reported)
    content = (folder / f"results_{TIMESTAMP}.json").read_text()
    counts = '"n-samples": {"gsm8k": {"original": 4, "effective": 4}}'
    assert counts in content
    (folder / f"results_{TIMESTAMP}.json").write_text(
        content.replace(counts, counts.replace("4", "2"))
    )
    result = read(folder)
    assert (result.settings.filter, len(result.documents)) == ("strict", 2)


def test_a_metric_that_some_documents_lack_is_passed_over(tmp_path):
    lines = [benchmark_sample(n, sometimes=1.0, always=0.5) for n in range(3)]
    del lines[1]["sometimes"]
    reported = {"custom": {"sometimes": 1.0, "always": 0.5}}
    folder = write_run(tmp_path / "a", {"custom": lines}, reported=reported)
    assert read(folder).metric == "always"


def test_files_of_an_older_lm_eval(tmp_path):
    """Without the names of filter and metrics in each line."""
    lines = accuracies(1, 0, 0, 0)
    folder = write_run(tmp_path / "a", {"custom": lines})
    path = folder / f"samples_custom_{TIMESTAMP}.jsonl"
    for line in lines:
        del line["filter"], line["metrics"]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    result = read(folder)
    assert (result.metric, result.scores.score, result.settings.filter) == ("acc", 0.25, "none")


def test_members_of_a_group_go_by_their_own_name(tmp_path):
    """lm-eval 0.5 writes group::task."""
    folder = write_run(tmp_path / "a", {"mine::piqa": accuracies(1, 0)})
    result = read(folder)
    assert (result.reported_score, result.settings.num_fewshot) == (0.5, 0)


def test_samples_without_a_results_file(tmp_path):
    folder = write_run(tmp_path / "a", {"piqa": accuracies(1, 0)})
    (folder / f"results_{TIMESTAMP}.json").unlink()
    result = read(folder)
    assert (result.metric, result.scores.score, result.reported_score) == ("acc", 0.5, None)
    assert result.settings.num_fewshot is None


def test_half_written_files_are_refused(tmp_path):
    folder = write_run(tmp_path / "a", {"piqa": accuracies(1, 0, 1)})
    path = folder / f"samples_piqa_{TIMESTAMP}.jsonl"
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    path.write_text("".join(lines[:2]))
    with pytest.raises(ValueError, match=r"2 documents, but its results file speaks of 3"):
        read(folder)
    path.write_text(whole[:-20])
    with pytest.raises(ValueError, match=r"jsonl:3: not a whole line of JSON"):
        read(folder)
    path.write_text("")
    with pytest.raises(ValueError, match="no samples in it, as in a half-written file"):
        read(folder)
    path.write_text(whole.replace('"doc_hash"', '"dochash"'))
    with pytest.raises(ValueError, match=r"jsonl:1: no doc_hash, by which documents are paired"):
        read(folder)
    path.write_text(whole)
    assert read(folder).scores.score == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (benchmark_sample(1, recall=1.0) | {"doc_id": None}, "no doc_id, by which documents are"),
        (benchmark_sample(1, recall=1.0) | {"doc_id": "1"}, "doc_id is '1'; it must be a whole"),
        (needle_sample(1, 1024, 0.5, 1.0, depth_frac=None), "depth_frac is None; it must be a num"),
        (needle_sample(1, 1024, 0.5, 1.0, length_tokens="1K"), "length_tokens is '1K'; it must be"),
    ],
)
def test_a_line_that_cannot_be_right_is_named(tmp_path, line, message):
    folder = write_run(tmp_path / "a", {"t": [needle_sample(0, 1024, 0.0, 1.0), line]})
    with pytest.raises(ValueError, match=rf"samples_t_{TIMESTAMP}\.jsonl:2: {message}"):
        read(folder)


def test_requests_as_an_older_lm_eval_lists_them(tmp_path):
    for name, arguments in (("a", [["?", {"until": []}]]), ("b", [["?", " yes"]]), ("c", [])):
        line = benchmark_sample(0, acc=1.0) | {"arguments": arguments}
        settings = read(write_run(tmp_path / name, {"custom": [line]})).settings
        assert settings.generation_kwargs == ('{"until": []}' if name == "a" else None)


def test_a_score_that_is_not_of_these_samples_is_refused(tmp_path):
    folder = write_run(tmp_path / "a", {"piqa": accuracies(1, 0)}, reported={"piqa": {"acc": 0.9}})
    with pytest.raises(ValueError, match=r"piqa: no metric .* is 0\.5, but the results file says"):
        read(folder)
