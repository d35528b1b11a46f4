"""Haystacks by their specs."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path

import datasets
import pytest

from tasks.documents import find_documents
from tasks.haystacks import Haystack, load_haystack
from tasks.texts import dataset_texts


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


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / ".cache")


def write_rows(folder: Path, *rows: dict[str, object], name: str = "train.jsonl") -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"hf:{folder}"


@pytest.mark.usefixtures("cache")
def test_the_column_of_a_dataset_is_said_or_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = write_rows(tmp_path / "code", {"hexsha": "ab12", "content": "x = 1", "size": 5})
    with pytest.raises(ValueError, match=r"no column 'text', but strings in hexsha, content: say"):
        load_haystack(spec)
    assert load_haystack(f"{spec}#content").text == "x = 1\n"
    assert load_haystack(f"{spec}::train#content").text == "x = 1\n"
    assert load_haystack(f"row:0:{spec[3:]}#content").text == "x = 1"
    with pytest.raises(ValueError, match=r"no column 'body', only hexsha, content, size: name one"):
        load_haystack(f"{spec}#body")
    with pytest.raises(ValueError, match=r"column 'size' holds int64, not text: name another as"):
        load_haystack(f"{spec}#size")
    assert not caplog.messages
    spec = write_rows(tmp_path / "one", {"n": 1, "content": "y = 2"}, {"n": 2, "content": None})
    assert load_haystack(spec).text == "y = 2\n"
    said = "one': its text is the column 'content', the only one of strings"
    assert said in caplog.messages[0]
    assert "1 of 2 rows are null in the column 'content', and left out" in caplog.messages[1]
    spec = write_rows(tmp_path / "c#", {"text": "a folder with a mark in its name"})
    assert load_haystack(spec).text == "a folder with a mark in its name\n"


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it holds no rows"),
        (b'{"text": "a"}\n{"text": 5}\n', "its column 'text' holds .*, not text"),
        (b'{"text": "2020-01-01"}\n', r"its column 'text' holds timestamp\[s\], not text"),
        (b'{"text": "a\xe9"}\n', "(?i)utf-?8"),
        (b'{"text": "\\ud800"}\n', "surrogate"),
        (b"null", "cannot be read"),
        (b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "its reader ended in SIGSEGV"),
    ],
)
def test_files_of_a_dataset_that_cannot_be_read(
    content: bytes, message: str, tmp_path: Path
) -> None:
    spec = write_rows(tmp_path / "set")
    (tmp_path / "set" / "train.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_haystack(spec)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


@pytest.mark.usefixtures("cache")
def test_words_of_a_table_that_look_like_nothing(tmp_path: Path) -> None:
    write_rows(tmp_path / "set")
    (tmp_path / "set" / "train.jsonl").rename(tmp_path / "set" / "train.csv")
    (tmp_path / "set" / "train.csv").write_text("text,label\nNA,a\nNone,b\n")
    assert load_haystack(f"hf:{tmp_path}/set").text == "NA\nNone\n"


@pytest.mark.usefixtures("cache")
def test_a_dataset_that_was_saved(tmp_path: Path) -> None:
    one = datasets.Dataset.from_dict({"text": ["one"]})
    two = datasets.Dataset.from_dict({"text": ["two"]})
    one.save_to_disk(tmp_path / "single")
    datasets.DatasetDict({"test": one}).save_to_disk(tmp_path / "test")
    datasets.DatasetDict({"a": one, "b": two}).save_to_disk(tmp_path / "two")
    assert load_haystack(f"hf:{tmp_path}/single").text == "one\n"
    # the only split there is
    assert load_haystack(f"hf:{tmp_path}/test").text == "one\n"
    assert load_haystack(f"hf:{tmp_path}/two::b").text == "two\n"
    with pytest.raises(ValueError, match=r"has no split 'train', only a, b: write hf:.*::SPLIT"):
        load_haystack(f"hf:{tmp_path}/two")
    with pytest.raises(ValueError, match=r"is a dataset without splits: leave out ':test'"):
        load_haystack(f"hf:{tmp_path}/single::test")
    (part,) = (tmp_path / "single").glob("*.arrow")
    whole = part.read_bytes()
    dataset_texts.cache_clear()
    for damaged in (whole[: len(whole) // 2], whole[:-8], b""):
        part.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"arrow is cut short: save the dataset again"):
            load_haystack(f"hf:{tmp_path}/single#text")
    part.write_bytes(whole.replace(b"one", b"\xff\xff\xff"))
    with pytest.raises(ValueError, match=r"single#text' cannot be read by .*UTF8"):
        load_haystack(f"hf:{tmp_path}/single#text")
    state = tmp_path / "single" / "state.json"
    state.write_text('{"_data_files": [{"filename": "/dev/zero"}]}')
    with pytest.raises(ValueError, match=r"state.json names the file /dev/zero, which is not next"):
        load_haystack(f"hf:{tmp_path}/single#text")


@pytest.mark.usefixtures("cache")
def test_files_without_an_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = write_rows(tmp_path / "set", {"text": "a"})
    os.mkfifo(tmp_path / "set" / "test.jsonl")
    with pytest.raises(ValueError, match=r"set/test.jsonl is no ordinary file: take it out"):
        load_haystack(spec)
    (tmp_path / "set" / "test.jsonl").unlink()
    monkeypatch.setattr("tasks.dataset_reading.MAX_UNPACKED_BYTES", 1000)
    (tmp_path / "set" / "b.jsonl.gz").write_bytes(gzip.compress(b" " * 10_000))
    with pytest.raises(ValueError, match=r"b.jsonl.gz unpacks to more than 1,000 bytes: unpack"):
        load_haystack(spec)
    with pytest.raises(ValueError, match="is a file: give the folder that holds it"):
        load_haystack(f"{spec}/train.jsonl")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ValueError, match="fifo is no ordinary file: give a text file"):
        load_haystack(f"file:{tmp_path}/fifo")
    with pytest.raises(ValueError, match="/dev/zero is no ordinary file"):
        load_haystack("file:/dev/zero")
    with pytest.raises(ValueError, match="matches no file"):
        load_haystack(f"files:{tmp_path}/fi*")
    monkeypatch.setattr("tasks.texts.MAX_TEXT_BYTES", 3)
    (tmp_path / "a.txt").write_text("long")
    with pytest.raises(ValueError, match=r"a.txt is larger than 3 bytes: split it or leave it out"):
        load_haystack(f"files:{tmp_path}/a.txt")


def test_a_folder_is_its_text_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "books"
    (folder / "deep").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / "b.txt").write_text("second")
    (folder / "a").write_text("first\n")
    (folder / "deep" / "c.md").write_text("Größe")
    (folder / "deep" / "loop").symlink_to(folder)
    for name in (".hidden", ".git/config"):
        (folder / name).write_text("hidden")
    (folder / "p.png").write_bytes(b"\x89PNG\r\n\xff")
    (folder / "zeros").write_bytes(bytes(100))
    os.mkfifo(folder / "fifo")
    for spec in (f"files:{folder}", str(folder)):
        assert load_haystack(spec).text == "first\nsecond\nGröße\n"
    said = "2 of 5 files are left out, for they are not text in UTF-8: p.png, zeros"
    assert said in caplog.messages
    assert [each.name for each in find_documents(str(folder))] == ["a", "b.txt", "c.md"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no files: give one with text files"):
        load_haystack(f"{tmp_path}/empty")


def test_links_to_themselves_end(tmp_path: Path) -> None:
    """Two of them are more ways than can be walked."""
    (tmp_path / "a.txt").write_text("a")
    for name in ("one", "two", "three"):
        (tmp_path / name).symlink_to(tmp_path)
    (tmp_path / "self.txt").symlink_to("self.txt")
    assert load_haystack(f"files:{tmp_path}/**/*.txt").text == "a\n"
    assert load_haystack(f"files:{tmp_path}/**").text == "a\n"


def test_a_spec_that_nobody_types(tmp_path: Path) -> None:
    for spec in (
        "x" * 10_000,
        "needles:" + "9" * 10_000,
        "row:" + "9" * 5000 + ":x",
        "a\0b\x1b[31m",
    ):
        with pytest.raises(ValueError, match="is unknown: use stdlib") as caught:
            load_haystack(spec)
        assert len(str(caught.value)) < 400 and str(caught.value).isprintable()
    with pytest.raises(ValueError, match="matches no file"):
        load_haystack("files:a\0b")
