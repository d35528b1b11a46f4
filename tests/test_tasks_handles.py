"""Handles stand for the very same prompt, and only for a backend that expands them."""

from __future__ import annotations

import gc
import os
import weakref
from pathlib import Path

import pytest
import tasks_samples

from tasks import handles
from tasks.grids import NeedleDocs, docs_from_metadata
from tasks.needle import doc_to_text
from tasks.plans import Plan, render, sha256_of


class Owner:
    """Stands for a backend object."""

    itself: object = None


@pytest.fixture
def metadata(tmp_path: Path) -> dict[str, object]:
    tasks_samples.definition("digits").save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "book.txt").write_text(tasks_samples.PROSE + tasks_samples.CHINESE)
    return {
        "pretrained": str(tmp_path),
        "max_length": 2000,
        "lengths": [600, 1500],
        "depths": [0, 0.5, 1],
        "needles": 3,
        "haystack": f"files:{tmp_path}/book.txt",
    }


@pytest.fixture
def docs(metadata: dict[str, object]) -> NeedleDocs:
    return docs_from_metadata(metadata)


def test_a_handle_expands_to_the_full_text_byte_for_byte(docs: NeedleDocs) -> None:
    for doc in docs:
        plan = Plan.from_dict(doc["plan"])
        handle, text = handles.to_handle(plan), render(plan)
        assert len(handle) < 1000 < len(text)
        assert handles.expand(handle).encode() == text.encode()
        assert sha256_of(text) == doc["prompt_sha256"]
        around = f"User: {handle}\n{handle} Assistant:"
        assert handles.expand(around) == f"User: {text}\n{text} Assistant:"
        assert handles.expanded_chars(around) == len(handles.expand(around))
    assert handles.expand("no handle <|x|>") == "no handle <|x|>"
    assert handles.expanded_chars("no handle") == 9


def test_the_pieces_of_a_text_say_which_of_them_a_handle_stood_for(docs: NeedleDocs) -> None:
    handle = handles.to_handle(Plan.from_dict(docs[0]["plan"]))
    text = handles.expand(handle)
    found = handles.expanded_pieces(f"User: {handle}{handle}\n{handle}")
    assert found == [("User: ", False), (text + text, True), ("\n", False), (text, True)]
    assert handles.expanded_pieces("no handle") == [("no handle", False)]
    assert handles.expanded_pieces("") == []


def test_only_handles_that_this_process_made_are_expanded(
    docs: NeedleDocs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("a secret\n")
    os.mkfifo(tmp_path / "pipe.txt")
    plan = Plan.from_dict(docs[0]["plan"])
    made, content = handles.to_handle(plan), handles.to_handle(plan)[14:-2]
    monkeypatch.setattr(handles, "_made", set(handles._made))
    forged = [
        made.replace('"start": ', '"start": 1'),
        made.replace("book.txt", "secret.txt"),
        made.replace("files:", "file:").replace("book.txt", "pipe.txt"),
        made.replace(plan.haystack, "file:/dev/zero"),
        "<|yoco:prompt hello|>",
        f"<|yoco:prompt {content}",
        f"<|yoco:prompt {'[' * 100_000}|>",
        "<|yoco:prompt " * 1000 + "|>" * 1000,
        "<|yoco:prompt \udc80|>",
    ]
    for text in forged:
        assert handles.expanded_pieces(text) == [(text, False)]
        assert handles.expanded_beginning(text, 30) == text[:30]
        assert handles.expanded_chars(text) == len(text)
        assert handles.plans_in(text) == []
        # one of somebody's data takes none of ours with it
        prompt = render(plan)
        assert handles.expanded_pieces(f"{text}{made}|>")[-2:] == [(prompt, True), ("|>", False)]
        assert handles.plans_in(text + made) == [plan]
    # in another process the same handle is text until its own tasks have made it
    monkeypatch.setattr(handles, "_made", set())
    assert handles.expanded_pieces(made) == [(made, False)]
    assert handles.to_handle(plan) == made
    assert handles.expanded_pieces(made) == [(prompt, True)]


def test_a_handle_survives_the_marks_of_another(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("some text\n")
    inner = "<|yoco:prompt {}|>"
    plan = Plan(
        haystack=f"files:{tmp_path}/a.txt",
        haystack_sha256=sha256_of("some text\n"),
        start=0,
        stop=10,
        insertions=((4, inner),),
        suffix=inner,
        prompt_sha256=sha256_of(text := f"some{inner} text\n{inner}"),
    )
    assert handles.expanded_pieces(handles.to_handle(plan)) == [(text, True)]


def test_the_only_living_backend_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handles, "_backends", weakref.WeakKeyDictionary())
    assert handles.only_announced() is None
    digits, gpt2 = (tasks_samples.tokenizer(name, tmp_path) for name in ("digits", "gpt2"))
    first, again, second = Owner(), Owner(), Owner()
    handles.announce(first, pretrained="a", tokenizer=digits)
    handles.announce(again, pretrained="a", tokenizer=digits)
    found = handles.only_announced()
    assert found is not None and found.pretrained == "a"
    handles.announce(second, pretrained="b", tokenizer=gpt2)
    second.itself = second  # only the garbage collector finds such a one
    with pytest.raises(ValueError, match=r"several models are loaded \(a, b\)"):
        handles.only_announced()
    del second
    assert handles.only_announced() == found


def test_a_handle_survives_its_own_closing_mark(tmp_path: Path) -> None:
    (tmp_path / "a|>.txt").write_text("some text\n")
    text = "some text\n|>"
    plan = Plan(
        haystack=f"files:{tmp_path}/a|>.txt",
        haystack_sha256=sha256_of("some text\n"),
        start=0,
        stop=10,
        insertions=(),
        suffix="|>",
        prompt_sha256=sha256_of(text),
    )
    assert handles.expand(handles.to_handle(plan) + "|>") == text + "|>"


def test_only_a_living_backend_of_this_run_gets_handles(
    metadata: dict[str, object], tmp_path: Path
) -> None:
    tokenizer = tasks_samples.tokenizer("digits", tmp_path)
    doc = docs_from_metadata(metadata)[0]
    full = doc_to_text(doc)
    assert "<|yoco:" not in full
    owner = Owner()
    handles.announce(owner, pretrained=str(tmp_path), tokenizer=tokenizer)
    handle = doc_to_text(doc)
    assert handle != full == handles.expand(handle)
    # another backend in the same process, and a document without a run
    other = docs_from_metadata({**metadata, "pretrained": str(tmp_path / "tokenizer.json")})[0]
    assert doc_to_text(other) == full
    assert doc_to_text(dict(doc)) == full
    del owner
    gc.collect()
    assert doc_to_text(doc) == full


def test_documents_do_not_depend_on_who_renders_them(
    metadata: dict[str, object], docs: NeedleDocs, tmp_path: Path
) -> None:
    owner = Owner()
    tokenizer = tasks_samples.tokenizer("digits", tmp_path)
    tokenizer.name = str(tmp_path)
    handles.announce(owner, pretrained=str(tmp_path), tokenizer=tokenizer)
    assert list(docs_from_metadata(metadata)) == list(docs)


def test_the_backend_s_tokenizer_and_limit_hold(
    metadata: dict[str, object], tmp_path: Path
) -> None:
    owner = Owner()
    gpt2 = tasks_samples.tokenizer("gpt2", tmp_path)
    handles.announce(owner, pretrained=str(tmp_path), tokenizer=gpt2, max_length=1499)
    with pytest.raises(ValueError, match="lengths 1500 are beyond the model's max_length of 1499"):
        docs_from_metadata(metadata)
    doc = docs_from_metadata({**metadata, "lengths": 1499})[0]
    assert doc["tokenizer_sha256"] == gpt2.hash
    assert len(gpt2.encode(handles.expand(doc_to_text(doc)))) == 1479


def test_what_changed_is_noticed(docs: NeedleDocs, tmp_path: Path) -> None:
    handle = handles.to_handle(Plan.from_dict(docs[1]["plan"]))
    with pytest.raises(ValueError, match="comes out as another text"):
        handles.expand(handle.replace('"start": ', '"start": 1'))
    with pytest.raises(ValueError, match="version 2, this is version 1"):
        handles.expand(handle.replace('"version": 1', '"version": 2'))
    with pytest.raises(ValueError, match="cannot be read: it was cut or edited"):
        handles.expand(handle.replace('"stop"', '"stip"'))
    with pytest.raises(ValueError, match="cannot be read"):
        handles.expand("<|yoco:prompt hello|>")
    (tmp_path / "book.txt").write_text("Another book.\n")
    with pytest.raises(ValueError, match=r"haystack 'files:.*' has changed since"):
        handles.expand(handle)


def test_the_beginning_of_a_prompt_is_had_without_the_rest(docs: NeedleDocs) -> None:
    for doc in docs:
        handle = handles.to_handle(Plan.from_dict(doc["plan"]))
        whole = handles.expand(text := f"one {handle} two")
        for num_chars in (0, 3, 4, 100, 700):
            assert handles.expanded_beginning(text, num_chars) == whole[:num_chars]
    assert handles.expanded_beginning("plain text", 5) == "plain"
