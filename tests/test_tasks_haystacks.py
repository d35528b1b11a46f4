"""Haystacks by their specs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tasks.haystacks import Haystack, load_haystack


def test_slice_reads_cyclically() -> None:
    haystack = Haystack("x", "abcde", "")
    reference = "abcde" * 9
    for start in range(-12, 13):
        for stop in range(start, start + 14):
            assert haystack.slice(start, stop) == reference[start + 20 : stop + 20]


def test_stdlib_is_the_library_without_tests_and_packages() -> None:
    haystack = load_haystack("stdlib")
    assert "class ArgumentParser" in haystack.text
    assert "class TestCase(object)" in haystack.text  # unittest is part of it
    assert "import pytest" not in haystack.text
    assert len(haystack.text) > 5_000_000
    assert haystack.sha256 == hashlib.sha256(haystack.text.encode()).hexdigest()
    assert load_haystack("stdlib") is haystack


def test_files_are_sorted_joined_by_lines_and_read_again_when_changed(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "b.txt").write_text("second")
    (tmp_path / "a.txt").write_text("first\n")
    (tmp_path / "deep" / "c.txt").write_text("Größe")
    spec = f"files:{tmp_path}/**/*.txt"
    assert load_haystack(spec).text == "first\nsecond\nGröße\n"
    assert load_haystack(spec) is load_haystack(spec)
    (tmp_path / "b.txt").write_text("another")
    assert load_haystack(spec).text == "first\nanother\nGröße\n"


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'files:.*nothing\*' matches no file"):
        load_haystack(f"files:{tmp_path}/nothing*")


def test_files_that_are_not_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"abc\xff")
    with pytest.raises(ValueError, match=r"a\.txt is not UTF-8 at byte 3"):
        load_haystack(f"files:{tmp_path}/a.txt")


def test_empty_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n\n")
    with pytest.raises(ValueError, match="holds no text"):
        load_haystack(f"files:{tmp_path}/a.txt")


def test_made_haystacks() -> None:
    noise = load_haystack("noise").text
    assert len(noise) > 1 << 20 and len(set(noise.splitlines())) == 1
    assert load_haystack("needles").sha256 == load_haystack("needles:0").sha256
    assert load_haystack("needles").sha256 != load_haystack("needles:1").sha256


@pytest.mark.parametrize("spec", ["", "book", "files:", "noise:3", "needles:x", "stdlib:x", "hf:"])
def test_unknown_spec(spec: str) -> None:
    with pytest.raises(ValueError, match="is unknown: use stdlib, files:GLOB"):
        load_haystack(spec)


def test_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    rows = [{"number": 1, "title": "T", "text": "one"}, {"number": 2, "title": "U", "text": "two"}]
    for split, text in (("train", rows), ("test", rows[:1])):
        (folder / f"{split}.jsonl").write_text("\n".join(json.dumps(row) for row in text))
    assert load_haystack(f"hf:{folder}").text == "one\ntwo\n"
    assert load_haystack(f"hf:{folder}::test").text == "one\n"
    for file in folder.iterdir():
        file.unlink()
    (folder / "train.jsonl").write_text(json.dumps({"number": 1}))
    with pytest.raises(ValueError, match=r"no column of strings, only \['number'\]"):
        load_haystack(f"hf:{folder}::train")
