"""Pairing by document, and the line that names what differs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from result_samples import (
    benchmark_sample,
    needle_sample,
    position_sample,
    sha,
    write_positions,
    write_run,
)

from heatmaps.comparison.pairing import Pair, pair
from heatmaps.comparison.task_results import TaskResult, read_task_result
from heatmaps.run_files import newest_files

CELLS = [(length, depth) for length in (1024, 2048) for depth in (0.0, 0.5, 1.0)]


@pytest.fixture
def result(tmp_path):
    """Writes a run of one task and reads it."""

    def read(label: str, lines: list[dict], task: str = "piqa", **content: Any) -> TaskResult:
        folder = write_run(tmp_path / label, {task: lines}, **content)
        return read_task_result(label, newest_files(label, [folder]).newest[task])

    return read


def questions(count=4, **over: Any) -> list[dict]:
    return [benchmark_sample(n, acc=float(n % 2)) | over for n in range(count)]


def needles(cells=CELLS, **doc: Any) -> list[dict]:
    return [needle_sample(n, *cell, recall=1.0, **doc) for n, cell in enumerate(cells)]


def values(paired: Pair) -> list[list[float]]:
    return [paired.first.values.tolist(), paired.second.values.tolist()]


def test_documents_are_paired_by_their_hashes_not_by_their_numbers(result):
    lines = questions()
    moved = [
        line | {"doc_id": 3 - line["doc_id"], "acc": float(line["doc_id"] == 0)} for line in lines
    ]
    paired = pair(result("A", lines), result("B", moved))
    assert values(paired) == [[0, 1, 0, 1], [1, 0, 0, 0]]
    assert (paired.places.tolist(), paired.num_left_out) == ([0, 1, 2, 3], 0)


def test_a_document_that_a_task_holds_twice_is_two(result):
    lines = questions(3)
    lines[2] = lines[0] | {"doc_id": 2, "acc": 1.0}
    paired = pair(result("A", lines), result("B", lines))
    assert values(paired) == [[0, 1, 1]] * 2
    with pytest.raises(ValueError, match=r"1 document only A has \(the first is doc_id 2\)"):
        pair(result("A", lines), result("C", lines[:2]))


@pytest.mark.parametrize(
    ("lines", "content", "message"),
    [
        (
            questions(3),
            {},
            r"piqa: A \(4 documents\) and B \(3\) were not run on the same documents: 1 document "
            r"only A has \(the first is doc_id 3\); run both with one --limit and the same data",
        ),
        (
            [*questions(3), benchmark_sample(7, acc=1.0)],
            {},
            r"1 document only A has .* 1 document only B has \(the first is doc_id 7\)",
        ),
        (
            questions(prompt_hash="other"),
            {},
            r"different prompts for 4 of 4 documents \(the first is doc_id 0\), though the docu",
        ),
        (questions(target_hash="other"), {}, "different targets for 4 of 4 documents"),
        (questions(), {"num_fewshot": 5}, "different numbers of few-shot examples, 0 and 5: run"),
        (questions(), {"versions": {"piqa": 2.0}}, r"different versions of the task, 1\.0 and 2"),
        (questions(), {"chat_template_sha": "abc"}, "different chat templates, none and abc"),
        (questions(), {"system_instruction_sha": "d"}, "different system instructions, none and d"),
        (questions(filter="strict"), {}, "different filters of the answers, none and strict"),
        (
            [
                benchmark_sample(n, exact_match=0.0)
                | {"doc_hash": line["doc_hash"], "prompt_hash": line["prompt_hash"]}
                for n, line in enumerate(questions())
            ],
            {},
            "",
        ),
    ],
)
def test_what_differs_is_named(result, lines, content, message):
    first = result("A", questions())
    if not message:
        # piqa's metric is the paper's, so another one is refused while it is read.
        with pytest.raises(ValueError, match="piqa: no metric to compare documents by"):
            result("B", lines, **content)
        return
    with pytest.raises(ValueError, match=message) as refusal:
        pair(first, result("B", lines, **content))
    assert "\n" not in str(refusal.value)
    # Negative control: nothing is refused of the same.
    pair(first, result("C", questions()))


def test_generation_settings_count(result):
    def generated(max_gen_toks: int) -> list[dict]:
        kwargs = {"until": ["\n"], "max_gen_toks": max_gen_toks}
        arguments = {"gen_args_0": {"arg_0": "?", "arg_1": kwargs}}
        return [benchmark_sample(0, exact_match=1.0) | {"arguments": arguments}]

    first, second = (result(str(n), generated(n), "gsm8k") for n in (64, 128))
    with pytest.raises(ValueError, match=r'different generation settings, {"max_gen_toks": 64,'):
        pair(first, second)


def test_different_metrics_of_one_task(result):
    first = result("A", [benchmark_sample(0, acc=1.0)], "custom")
    second = result("B", [benchmark_sample(0, exact_match=1.0)], "custom")
    with pytest.raises(ValueError, match="measured by different metrics, acc and exact_match"):
        pair(first, second)


def test_cells_that_only_one_has_are_left_out_and_counted(result):
    first = result("A", needles(), "yoco_needle")
    paired = pair(first, result("B", needles(CELLS[1:4]), "yoco_needle"))
    assert len(paired.first) == len(paired.second) == 3
    assert (paired.places.tolist(), paired.num_left_out) == ([1, 2, 3], 3)
    with pytest.raises(ValueError, match=r"A and D have no cell \(length and depth\) in common"):
        pair(first, result("D", needles([(4096, 0.0)]), "yoco_needle"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            needles(tokenizer_sha256="u" * 64, prompt_sha256="other"),
            r"at 1K tokens, depth 0%: lengths are counted in the tokens of two tokenizers "
            r"\(tttttttttttt and uuuuuuuuuuuu\), so that equal lengths are different texts",
        ),
        (needles(seed=1, prompt_sha256="other"), r"depth 0%: seed 0 and 1; run both with the sa"),
        (needles(haystack_sha256="i" * 64), r"haystack_sha256 hhhh.* and iiii"),
        (needles(prompt_sha256="other"), r"prompt_sha256 [0-9a-f]{64} and other"),
        (
            [*needles(), needle_sample(6, 1024, 0.0, 1.0, trial=1)],
            r"at 1K tokens, depth 0%: 1 prompt and 2; run both with one number of trials",
        ),
    ],
)
def test_needle_prompts_that_differ_are_named_by_their_fields(result, lines, message):
    first = result("A", needles(), "yoco_needle")
    with pytest.raises(ValueError, match=message):
        pair(first, result("B", lines, "yoco_needle"))


def documents(names="abc", **doc: Any) -> list[dict]:
    return [position_sample(n, f"{name}.txt", **doc) for n, name in enumerate(names)]


@pytest.fixture
def positions(tmp_path):
    """Writes a run of likelihood by position and reads it."""

    def read(label: str, lines: list[dict]) -> TaskResult:
        folder = write_positions(tmp_path / label, lines)
        return read_task_result(label, newest_files(label, [folder]).newest["yoco_nll"])

    return read


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            documents("ab"),
            r"yoco_nll: A and B did not score the same documents: 1 document only A has \(the "
            r"first is c\.txt\); run both on the same documents, with one length",
        ),
        (documents(nats=(1.0, 2.0)), r"the same of a\.txt: length_tokens 512 and 128; run both"),
        (
            documents(edges_chars=[0]),
            r"the same of a\.txt: edges_chars \[3, 192, .* and \[0\]; run",
        ),
        (
            [*documents(), position_sample(3)],
            "did not score the same number of documents; run both",
        ),
        (
            documents(tokenizer_sha256="u" * 64, edges_chars=[0]),
            r"in the tokens of 2 tokenizers \(t{12} and u{12}\), which do not compare; likelihood",
        ),
    ],
)
def test_documents_scored_by_position_that_differ_are_named(positions, lines, message):
    first = positions("A", documents())
    with pytest.raises(ValueError, match=message) as refusal:
        pair(first, positions("B", lines))
    # Nothing is said of needles.
    assert "trials" not in str(refusal.value) and "metadata" not in str(refusal.value)
    # Negative control.
    assert len(pair(first, positions("C", documents()[::-1])).second) == 3


def test_needles_of_two_backends_pair_though_their_logged_prompts_differ(result):
    """Ours logs a handle of the prompt, another backend the prompt; the document knows both."""
    full = [line | {"prompt_hash": sha(line["doc"]["length_tokens"])} for line in needles()]
    paired = pair(result("A", needles(), "yoco_needle"), result("B", full, "yoco_needle"))
    np.testing.assert_array_equal(paired.first.values, paired.second.values)


def test_a_haystack_is_its_text_wherever_it_lies(result):
    first = result("A", needles(haystack="files:/home/x/books/*.txt"), "yoco_needle")
    elsewhere = needles(haystack="files:/data/books/*.txt")
    for line in elsewhere:
        line["doc"]["plan"] |= {"haystack": "files:/data/books/*.txt"}
    assert len(pair(first, result("B", elsewhere, "yoco_needle")).second) == 6
    # Negative control: another text at the same place is another haystack.
    other = needles(haystack="files:/home/x/books/*.txt", haystack_sha256="i" * 64)
    with pytest.raises(ValueError, match="haystack_sha256 hhh"):
        pair(first, result("C", other, "yoco_needle"))
    # Nor is a haystack named as what differs where it does not.
    prompts = needles(haystack="files:/data/books/*.txt", seed=1, prompt_sha256="other")
    with pytest.raises(ValueError, match="depth 0%: seed 0 and 1; run both"):
        pair(first, result("D", prompts, "yoco_needle"))


def test_a_name_that_two_tasks_share(result):
    with pytest.raises(ValueError, match="only one of A and B has needle samples"):
        pair(result("A", needles(), "t"), result("B", [benchmark_sample(0, recall=1.0)], "t"))
