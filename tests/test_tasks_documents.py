"""Which documents a spec names, and that each is read exactly as it lies there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.documents import find_documents
from tasks.haystacks import load_haystack
from tasks.plans import sha256_of


def texts(spec: str, limit: int | None = None) -> list[tuple[str, str]]:
    return [(each.name, each.load().text) for each in find_documents(spec, limit)]


def test_files_are_documents_of_their_own(tmp_path: Path) -> None:
    # a name that a pattern would take for something else, no line end, a blank file
    for name, text in (("b[1].txt", "second"), ("a.txt", " first\n\n"), ("c.txt", "\n \n")):
        (tmp_path / name).write_text(text)
    (tmp_path / "d.txt").touch()
    assert texts(f"files:{tmp_path}/*") == [("a.txt", " first\n\n"), ("b[1].txt", "second")]
    assert texts(f"files:{tmp_path}/*", 1) == [("a.txt", " first\n\n")]
    (document,) = find_documents(f"files:{tmp_path}/a.txt")
    assert document.load().sha256 == sha256_of(" first\n\n")
    # negative control: as a haystack the files are one text
    assert load_haystack(f"files:{tmp_path}/*.txt").text == " first\n\nsecond\n\n \n"


def test_a_copy_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, text in (("a.txt", "one\r\n"), ("b.txt", "one\r\n"), ("c.txt", "one\n")):
        (tmp_path / name).write_bytes(text.encode())
    assert texts(f"files:{tmp_path}/*") == [("a.txt", "one\r\n"), ("c.txt", "one\n")]
    assert caplog.messages == ["document b.txt is left out: a copy of a.txt"]


def test_rows_of_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    rows = [{"text": text} for text in ("one", "", "two\n", None, "three")]
    (folder / "test.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    spec = f"hf:{folder}::test"
    assert texts(spec) == [("set#0", "one"), ("set#2", "two\n"), ("set#4", "three")]
    assert texts(spec, 2) == [("set#0", "one"), ("set#2", "two\n")]
    with pytest.raises(ValueError, match=r"has no row 5: its 5 rows count from 0"):
        load_haystack(f"row:5:{folder}::test")


def test_the_standard_library_is_one_document() -> None:
    (document,) = find_documents("stdlib")
    assert document.load() is load_haystack("stdlib")


@pytest.mark.parametrize("spec", ["", "book", "files:", "noise", "needles", "hf:", "stdlib:x"])
def test_unknown_spec(spec: str) -> None:
    with pytest.raises(ValueError, match="are unknown: use stdlib, files:GLOB"):
        find_documents(spec)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'files:.*nothing\*' matches no file"):
        find_documents(f"files:{tmp_path}/nothing*")
    (tmp_path / "blank.txt").write_text("\n\n")
    with pytest.raises(ValueError, match="hold no text"):
        find_documents(f"files:{tmp_path}/blank.txt")
