"""Settings, cells and sample documents."""

from __future__ import annotations

import json
import logging
import weakref
from pathlib import Path
from typing import Any

import pytest
import tasks_samples

from tasks import handles
from tasks.grids import NeedleDocs, build_doc, docs_from_metadata
from tasks.haystacks import Haystack, load_haystack
from tasks.needle_settings import Cell, NeedleSettings, cells
from tasks.plans import Plan, render
from tasks.tokenizers import Tokenizer, load_tokenizer

SHARED = Path(__file__).parents[2] / "shared"

DOC_FIELDS = (
    "length_tokens prompt_tokens generation_tokens depth_frac depth_frac_achieved trial "
    "num_needles ask keys values asked needle_offsets_tokens haystack haystack_sha256 "
    "haystack_repeats seed tokenizer tokenizer_sha256 prompt_sha256 plan"
)


@pytest.fixture
def book(tmp_path: Path) -> str:
    (tmp_path / "book.txt").write_text("".join(tasks_samples.TEXTS.values()))
    return f"files:{tmp_path}/book.txt"


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    return tasks_samples.tokenizer("digits", tmp_path)


def docs_of(tokenizer: Tokenizer, **metadata: Any) -> list[dict[str, Any]]:
    return list(NeedleDocs(NeedleSettings.from_metadata(metadata), tokenizer))


def test_settings_from_metadata_with_model_arguments() -> None:
    settings = NeedleSettings.from_metadata(
        {
            "lengths": ["4K", 131072, "1M"],
            "depths": 3,
            "trials": 5,
            "tokenizer": None,
            "pretrained": "x",
            "dtype": "bfloat16",
            "device": "cpu",
            "max_length": 4096,
            "max_gen_toks": 20,
            "chunk_size": 512,
            "batch_size": 1,
            "rope_precision": "reference",
            "truncation": "left",
            "backend": "auto",
            "trust_remote_code": True,
            "tensor_parallel_size": 1,
            "version": 1.0,
            "config": "x",
            "config_source": "y",
        }
    )
    assert settings == NeedleSettings(
        lengths=(4096, 131072, 1048576), depths=(0.0, 0.5, 1.0), trials=5
    )
    assert NeedleSettings.from_metadata({}) == NeedleSettings()
    assert len(cells(NeedleSettings())) == 6 * 11


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("length", "lengths"),
        ("depth", "depths"),
        ("trails", "trials"),
        ("needle", "needles"),
        ("haystacks", "haystack"),
        ("seeds", "seed"),
        ("depth-spacing", "depth_spacing"),
        ("tokeniser", "tokenizer"),
        ("generation_token", "generation_tokens"),
    ],
)
def test_a_misspelt_setting_names_its_near_match(key: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"unknown setting '{key}': did you mean '{near}'"):
        NeedleSettings.from_metadata({key: 1})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trials": 10**9}, "trials=1000000000 is too many: at most 1,000,000 are allowed"),
        ({"trials": 10**400}, "trials=a number of 1,329 bits is too many"),
        ({"depths": 10_000, "trials": 1000}, "lengths x depths x trials=60000000 is too many"),
        ({"needles": 10**9}, "needles=1000000000 is too many: at most 10,000"),
        ({"trials": 0}, "trials=0 is not a whole number of at least 1"),
        ({"trials": "many"}, "trials='many' is not a whole number"),
        ({"needles": 1.5}, "needles=1.5 is not a whole number"),
        ({"seed": -1}, "seed=-1 is not a whole number of at least 0"),
        ({"ask": "some"}, "ask='some' is unknown"),
        ({"ask": "all", "needles": 9}, "needles=9 with ask='all' is too many"),
        ({"repeat": "no"}, "repeat='no' is neither true nor false"),
        ({"haystack": True}, "haystack=True is no text: write for example 'stdlib'"),
        ({"depth_spacing": "log"}, "depth_spacing 'log' is unknown"),
        ({"lengths": "4X"}, "length '4X' is not"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        NeedleSettings.from_metadata(settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ask", ["one", "all"])
def test_documents_say_what_the_prompts_hold(book: str, tokenizer: Tokenizer, ask: str) -> None:
    docs = docs_of(
        tokenizer, haystack=book, lengths=[700, 2000], depths=5, trials=2, needles=4, ask=ask
    )
    assert len(docs) == 20
    for doc in docs:
        assert list(doc) == DOC_FIELDS.split()
        assert json.loads(json.dumps(doc)) == doc
        text = render(Plan.from_dict(doc["plan"]))
        assert len(json.dumps(doc)) < 2500
        assert len(tokenizer.encode(text)) == doc["prompt_tokens"]
        assert doc["prompt_tokens"] + doc["generation_tokens"] == doc["length_tokens"]
        assert doc["depth_frac_achieved"] == pytest.approx(doc["depth_frac"], abs=0.06)
        assert doc["asked"] == ([0] if ask == "one" else [0, 1, 2, 3])
        ids = tokenizer.encode(text)
        for key, value, offset in zip(
            doc["keys"], doc["values"], doc["needle_offsets_tokens"], strict=True
        ):
            sentence = f" The special magic {key} number is {value}."
            assert text.count(sentence) == 1
            assert tokenizer.decode(ids[offset:]).startswith(sentence)
        question = text[text.rindex("\n") :]
        for number, key in enumerate(doc["keys"]):
            assert (key in question) == (number in doc["asked"])


def test_a_control_asks_for_what_is_not_there(book: str, tokenizer: Tokenizer) -> None:
    docs = docs_of(tokenizer, haystack=book, lengths=[700], depths=3, needles=0)
    for doc in docs:
        text = render(Plan.from_dict(doc["plan"]))
        assert len(tokenizer.encode(text)) == doc["prompt_tokens"] == 680
        assert (doc["num_needles"], doc["asked"], len(doc["keys"])) == (0, [0], 1)
        assert f"What is the special magic {doc['keys'][0]} number?" in text
        assert doc["values"][0] not in text and " number is " not in text
        assert doc["needle_offsets_tokens"] == [] and doc["depth_frac_achieved"] is None
    assert [doc["depth_frac"] for doc in docs] == [0, 0.5, 1]


def test_adding_to_a_grid_changes_no_other_sample(book: str, tokenizer: Tokenizer) -> None:
    options: dict[str, Any] = {"haystack": book, "needles": 2}
    small = docs_of(tokenizer, lengths=[700, 900], depths=[0.5], **options)
    large = docs_of(
        tokenizer, lengths=[600, 700, 800, 900], depths=[0.1, 0.5, 0.9], trials=3, **options
    )
    assert all(doc in large for doc in small)
    prompts = {doc["prompt_sha256"] for doc in large}
    assert len(prompts) == len(large) == 36
    other = docs_of(tokenizer, lengths=[700, 900], depths=[0.5], seed=1, **options)
    assert prompts.isdisjoint(doc["prompt_sha256"] for doc in other)


def test_trials_start_elsewhere_and_cells_of_a_trial_do_not(
    book: str, tokenizer: Tokenizer
) -> None:
    docs = docs_of(tokenizer, haystack=book, lengths=[700, 900], depths=3, trials=4)
    starts = {(doc["trial"], doc["plan"]["start"]) for doc in docs}
    assert len(starts) == 4
    text = load_haystack(book).text
    assert all(start == 0 or text[start - 1] == "\n" for _, start in starts)
    assert len({doc["keys"][0] for doc in docs}) > 10


def test_documents_are_built_when_asked_for(book: str, tokenizer: Tokenizer) -> None:
    docs = NeedleDocs(
        NeedleSettings(lengths=(10, 800, 900), depths=(0.5,), haystack=book), tokenizer
    )
    assert len(docs) == 3
    assert docs[-1]["length_tokens"] == 900
    assert docs[1] is docs[1]
    assert [doc["length_tokens"] for doc in docs[1:]] == [800, 900]
    # the others are there all the same
    assert docs[0]["not_built"].startswith("a prompt of -10 tokens is too short for needles")
    assert set(docs[0]) == {*DOC_FIELDS.split(), "not_built"}
    place = [docs[0][name] for name in ("length_tokens", "depth_frac", "trial", "plan")]
    assert place == [10, 0.5, 0, None]
    assert "not_built" not in docs[1]
    with pytest.raises(IndexError):
        docs[3]


def test_each_needle_occurs_once_though_the_haystack_speaks_of_others(
    tokenizer: Tokenizer,
) -> None:
    for doc in docs_of(tokenizer, haystack="needles", lengths=[3000], depths=3, needles=8):
        text = render(Plan.from_dict(doc["plan"]))
        assert text.count("special magic") > 50
        for number, key in enumerate(doc["keys"]):
            asked = 2 if number in doc["asked"] else 0
            assert text.count(f"special magic {key} number") == 1 + asked


def test_made_haystacks_of_exact_length(tokenizer: Tokenizer) -> None:
    for doc in docs_of(tokenizer, haystack="noise", lengths=[500, 3000], depths=3, repeat=False):
        text = render(Plan.from_dict(doc["plan"]))
        assert len(tokenizer.encode(text)) == doc["prompt_tokens"]
        assert doc["haystack_repeats"] == 1


def test_a_short_haystack(book: str, tokenizer: Tokenizer) -> None:
    assert docs_of(tokenizer, haystack=book, lengths="60K", depths=1)[0]["haystack_repeats"] > 1
    doc = docs_of(tokenizer, haystack=book, lengths="60K", depths=1, repeat=False)[0]
    assert "is too short for a prompt of" in doc["not_built"]


def test_another_tokenizer_without_local_tokens_falls_back_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    haystack = Haystack("odd", tasks_samples.PROSE * 3 + "..", "odd")
    slow = tasks_samples.PairsFromTheEnd()
    settings = NeedleSettings(lengths=(1500, 1501), depths=(0.3, 0.6))
    with caplog.at_level(logging.WARNING):
        for cell in cells(settings):
            doc = build_doc(settings, cell, haystack, slow)
            assert doc["prompt_tokens"] == cell.length_tokens - 20
    assert "encoded as a whole (slow)" in caplog.text


def test_what_a_run_needs(book: str, tmp_path: Path) -> None:
    metadata = {"haystack": book, "lengths": [800, "1M"], "depths": 1}
    with pytest.raises(ValueError, match="nobody says how many tokens this model takes"):
        docs_from_metadata({**metadata, "tokenizer": str(tmp_path)})
    metadata["max_length"] = "1M"
    with pytest.raises(ValueError, match="no tokenizer to measure lengths with"):
        docs_from_metadata(metadata)
    tasks_samples.definition("gpt2").save(str(tmp_path / "tokenizer.json"))
    for name in ("tokenizer", "pretrained"):
        docs = docs_from_metadata({**metadata, name: str(tmp_path)})
        assert docs[0]["tokenizer_sha256"] == load_tokenizer(tmp_path).hash
    with pytest.raises(ValueError, match="lengths 1048576 are beyond the model's max_length of 4"):
        docs_from_metadata({**metadata, "tokenizer": str(tmp_path), "max_length": "4K"})


def test_a_run_that_names_no_model_is_of_the_only_one_that_is_loaded(
    book: str, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Owner:
        pass

    monkeypatch.setattr(handles, "_backends", weakref.WeakKeyDictionary())
    metadata = {"haystack": book, "lengths": [800], "depths": 1}
    first, second = Owner(), Owner()
    handles.announce(first, pretrained="a", tokenizer=tokenizer, max_length=900)
    doc = docs_from_metadata(metadata)[0]
    assert doc.pretrained == "a" and doc["tokenizer_sha256"] == tokenizer.hash
    with pytest.raises(ValueError, match="lengths 1000 are beyond the model's max_length of 900"):
        docs_from_metadata({**metadata, "lengths": 1000})
    # another model's run is named by its tokenizer
    other = {**metadata, "tokenizer": str(tmp_path / "digits.json"), "max_length": 900}
    assert docs_from_metadata(other)[0].pretrained is None
    handles.announce(second, pretrained="b", tokenizer=tokenizer)
    with pytest.raises(ValueError, match=r"several models are loaded \(a, b\) and nobody says"):
        docs_from_metadata(metadata)
    assert docs_from_metadata({**metadata, "pretrained": "b"})[0].pretrained == "b"


@pytest.mark.skipif(not (SHARED / "data/books").is_dir(), reason="no books beside the repository")
@pytest.mark.parametrize("name", ["prototype", *tasks_samples.TOKENIZERS])
@pytest.mark.parametrize("haystack", ["books", "stdlib"])
def test_real_text_at_real_lengths(name: str, haystack: str, tmp_path: Path) -> None:
    tokenizer = (
        load_tokenizer(SHARED / "prototype")
        if name == "prototype"
        else tasks_samples.tokenizer(name, tmp_path)
    )
    spec = f"files:{SHARED}/data/books/*.txt" if haystack == "books" else haystack
    settings = NeedleSettings(needles=4, ask="all", haystack=spec)
    text = load_haystack(spec)
    for length, depth in ((512, 0.0), (4096, 1.0), (40961, 0.3)):
        for trial in range(2):
            cell = Cell(length_tokens=length, depth_frac=depth, trial=trial)
            doc = build_doc(settings, cell, text, tokenizer)
            prompt = render(Plan.from_dict(doc["plan"]))
            ids = tokenizer.encode(prompt)
            assert len(ids) == length - 20
            starts = tokenizer.char_starts(prompt)[1]
            for key, offset in zip(doc["keys"], doc["needle_offsets_tokens"], strict=True):
                letter = prompt.index(f"The special magic {key}")
                token = offset - tokenizer.special_counts[0]
                assert starts[token] <= letter < starts[token + 1]
