"""Answers that are kept: none is lost, none is taken for another, whatever happens to the file."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from evals.answers import Answers
from tasks.not_measured import NotMeasured

GREEDY = {"until": ["\n"], "do_sample": False}
ANSWERS: list[tuple[str, tuple[Any, ...], Any]] = [
    ("loglikelihood", ("Is water wet?", " yes"), (-11.529801, True)),
    ("loglikelihood", ("Is water wet?", " no"), (-7.25, False)),
    ("loglikelihood_rolling", ("a text",), -1234.5678901234567),
    ("loglikelihood_rolling", ("", "a text"), (-0.1 - 0.2, False)),
    ("generate_until", ("a prompt", GREEDY), " 25320.\ud800 \u2028\u00e9"),
    ("generate_until", ("another", GREEDY), ""),
]

# for what is done to every byte of a file
FEW = ANSWERS[1:3]

Asked = list[tuple[str, tuple[Any, ...], Any]]


def kept(folder: Path, asked: Asked = ANSWERS) -> Path:
    """A folder with these answers, and its file."""
    folder.mkdir(exist_ok=True)
    with Answers(folder) as answers:
        for method, arguments, answer in asked:
            assert answers.get(method, arguments) is None
            answers.add(method, arguments, answer)
    return folder / "answers_rank0.txt"


def found(folder: Path, asked: Asked = ANSWERS) -> list[Any]:
    with Answers(folder) as answers:
        return [answers.get(method, arguments) for method, arguments, _ in asked]


def test_answers_are_found_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept(tmp_path)
    again = found(tmp_path)
    assert again == [answer for _, _, answer in ANSWERS]
    assert [type(answer) for answer in again] == [type(answer) for _, _, answer in ANSWERS]
    assert capsys.readouterr().err == ""
    # and nothing of another method or request
    with Answers(tmp_path) as answers:
        assert len(answers) == len(ANSWERS)
        assert answers.get("loglikelihood", ("a text",)) is None
        assert answers.get("generate_until", ("a prompt", {**GREEDY, "max_gen_toks": 3})) is None


def test_a_flipped_bit_costs_no_more_than_the_answers_it_is_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = kept(tmp_path, FEW)
    content = path.read_bytes()
    expected = [answer for _, _, answer in FEW]
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        answers = found(tmp_path, FEW)
        wrong = [pair for pair in zip(answers, expected, strict=True) if pair[0] != pair[1]]
        # a flipped line end is in two
        assert 1 <= len(wrong) <= 2 and all(answer is None for answer, _ in wrong)
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "kept answers are damaged and computed again" in said
        # it is sound again, and stays so
        assert found(tmp_path, FEW) == answers
        assert capsys.readouterr().err == ""


def test_a_file_cut_anywhere_goes_on(tmp_path: Path) -> None:
    path = kept(tmp_path, FEW)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        num_whole = content[:length].count(b"\n")
        answers = found(tmp_path, FEW)
        assert answers == [
            answer if number < num_whole else None for number, (_, _, answer) in enumerate(FEW)
        ]
        # what is added next does not run into what was cut
        with Answers(tmp_path) as store:
            store.add(*FEW[-1])
        assert found(tmp_path, FEW)[-1] == FEW[-1][-1]


def forged(*content: Any) -> bytes:
    text = json.dumps(list(content)).encode()
    return hashlib.sha256(text).hexdigest().encode() + b" " + text + b"\n"


@pytest.mark.parametrize(
    "line",
    [
        forged("a" * 64, "loglikelihood", "a string"),
        forged("a" * 64, "loglikelihood", [float("nan"), False]),
        forged("a" * 64, "loglikelihood", [-1.0, 0]),
        forged("a" * 64, "loglikelihood", [-1.0, True, True]),
        forged("a" * 64, "loglikelihood_rolling", 10**400),
        forged("a" * 64, "loglikelihood_rolling", float("inf")),
        forged("a" * 64, "generate_until", [" text"]),
        forged("a" * 64, "generate_until", None),
        forged("a" * 64, "tok_encode", "text"),
        forged(["a"], "generate_until", "text"),
        forged({"a": 1}, ["generate_until"], "text"),
        forged(),
        hashlib.sha256(b"[" * 100_000).hexdigest().encode() + b" " + b"[" * 100_000 + b"\n",
        b"\x80\x04\x95cposix system\n",
        b"\n",
        b"x" * 100_000,
    ],
)
def test_what_nobody_answered_is_no_answer(
    line: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = kept(tmp_path)
    content = path.read_bytes()
    path.write_bytes(line + b"\n" * (not line.endswith(b"\n")) + content)
    assert found(tmp_path) == [answer for _, _, answer in ANSWERS]
    message = f"{path}: 1 of 7 kept answers are damaged and computed again\n"
    assert capsys.readouterr().err == message
    assert path.read_bytes() == content


def test_not_kept_is_what_has_no_score_and_what_is_drawn(tmp_path: Path) -> None:
    with Answers(tmp_path) as answers:
        for method, arguments, answer in [
            ("loglikelihood", ("a", " b"), (float("nan"), False)),
            ("loglikelihood", ("a", " b"), (float("-inf"), False)),
            ("loglikelihood_rolling", ("a",), float("nan")),
            ("generate_until", ("a", GREEDY), NotMeasured("its logits are not finite")),
            ("generate_until", ("a", {"do_sample": True, "temperature": 1.0}), "drawn"),
            ("generate_until", ("a", {"temperature": 0.7}), "drawn"),
        ]:
            answers.add(method, arguments, answer)
            assert answers.get(method, arguments) is None
        assert len(answers) == 0
    assert (tmp_path / "answers_rank0.txt").read_bytes() == b""


def test_every_rank_knows_all_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for rank, (method, arguments, answer) in enumerate(ANSWERS):
        with Answers(tmp_path, rank=rank) as answers:
            answers.add(method, arguments, answer)
    # another rank is in the middle of a line
    with (tmp_path / "answers_rank5.txt").open("ab") as file:
        file.write(b"0123")
    assert found(tmp_path) == [answer for _, _, answer in ANSWERS]
    assert capsys.readouterr().err == ""
    assert len((tmp_path / "answers_rank0.txt").read_bytes().splitlines()) == 1


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "loop"])
def test_only_a_file_of_its_own_is_read_and_written(kind: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine\n")
    (tmp_path / "folder").mkdir()
    for rank in range(2):
        path = tmp_path / "folder" / f"answers_rank{rank}.txt"
        match kind:
            case "link":
                path.symlink_to(other)
            case "pipe":
                os.mkfifo(path)
            case "folder":
                path.mkdir()
            case _:
                path.symlink_to(path)
    with Answers(tmp_path / "folder") as answers:
        answers.add(*ANSWERS[0])
    assert other.read_text() == "mine\n"
    assert found(tmp_path / "folder")[:2] == [ANSWERS[0][-1], None]


def test_a_full_disk_is_said_and_what_is_there_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = os.write

    def write(file: int, content: bytes) -> int:
        if os.fstat(file).st_size > 200:
            raise OSError(28, "No space left on device")
        # as a disk does that has room for some of it
        return written(file, content[:150])

    kept_line = ANSWERS[0]
    with Answers(tmp_path) as answers:
        answers.add(*kept_line)
        monkeypatch.setattr("os.write", write)
        message = "answers_rank0.txt cannot be written: No space left on device; the 1 answers unt"
        with pytest.raises(OSError, match=message):
            answers.add(*ANSWERS[4])
        monkeypatch.undo()
    assert found(tmp_path)[:2] == [kept_line[-1], None]
    with Answers(tmp_path) as answers:
        answers.add(*ANSWERS[4])
    assert found(tmp_path)[4] == ANSWERS[4][-1]
