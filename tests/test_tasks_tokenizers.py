"""Text to ids, BOS, and where tokens lie in the text."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import tasks_samples
import tiktoken
import transformers
from tasks_samples import TEXTS, TOKENIZERS

from tasks.tokenizers import OfficialTokenizer, Tokenizer, load_tokenizer

MIXED = "Où? 🙂 'tis 12345 老人.\n\n  <s> end"


def byte_pairs() -> OfficialTokenizer:
    """The official scheme over 256 bytes and two merges, in place of cl100k's file."""
    ranks = {bytes([value]): value for value in range(256)}
    ranks |= {b"th": 256, b"the": 257}
    encoding = tiktoken.Encoding(
        "small",
        pat_str=r" ?\p{L}+|\s+|[^\s\p{L}]+",
        mergeable_ranks=ranks,
        special_tokens={"<|endoftext|>": 258},
    )
    return OfficialTokenizer("small", encoding)


@pytest.fixture(params=[*TOKENIZERS, "official"])
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> Tokenizer:
    if request.param == "official":
        return byte_pairs()
    return tasks_samples.tokenizer(request.param, tmp_path)


@pytest.mark.parametrize("text", [*TEXTS.values(), "", "a", "老", "the the"])
def test_char_starts_are_those_of_the_ids(tokenizer: Tokenizer, text: str) -> None:
    ids, starts = tokenizer.char_starts(text)
    assert ids.dtype == "int32" and starts.dtype == "int64"
    assert ids.tolist() == tokenizer.encode(text, add_special_tokens=False)
    assert len(ids) == len(starts)
    assert (starts[1:] >= starts[:-1]).all()
    assert not len(starts) or (starts[0] == 0 and starts[-1] < len(text))


def test_starts_point_at_the_token_text(tokenizer: Tokenizer) -> None:
    text = TEXTS["code"]
    ids, starts = tokenizer.char_starts(text)
    for start, stop, token in zip(starts[50:], starts[51:], ids[50:].tolist(), strict=False):
        if start < stop:
            assert tokenizer.decode([token]).strip() == text[start:stop].strip()


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [("digits", [0], []), ("gpt2", [], []), ("unsplit", [1], []), ("unigram", [1], [])],
)
def test_bos_is_added_once(name: str, before: list[int], after: list[int], tmp_path: Path) -> None:
    tokenizer = tasks_samples.tokenizer(name, tmp_path)
    bare = tokenizer.encode("the day", add_special_tokens=False)
    assert tokenizer.encode("the day") == [*before, *bare, *after]
    assert tokenizer.special_counts == (len(before), len(after))
    if before:
        assert (tokenizer.bos_token, tokenizer.bos_token_id) == ("<s>", before[0])
        assert tokenizer.encode("<s>the day").count(before[0]) == 1
        assert tokenizer.encode("<s>the day")[0] == before[0]


def test_decode_gives_the_text_back(tmp_path: Path) -> None:
    for name in ("digits", "gpt2"):
        tokenizer = tasks_samples.tokenizer(name, tmp_path)
        for text in TEXTS.values():
            assert tokenizer.decode(tokenizer.encode(text)) == text
    digits = tasks_samples.tokenizer("digits", tmp_path)
    assert digits.decode([0, *digits.encode("x y .")[1:], 1]) == "x y ."
    assert digits.decode([0], skip_special_tokens=False) == "<s>"


def test_bare_folder_is_as_the_bare_file(tmp_path: Path) -> None:
    tasks_samples.definition("digits").save(str(tmp_path / "tokenizer.json"))
    by_folder, by_file = load_tokenizer(tmp_path), load_tokenizer(tmp_path / "tokenizer.json")
    assert by_folder == by_file and hash(by_folder) == hash(by_file)
    assert by_folder != tasks_samples.tokenizer("gpt2", tmp_path)
    assert by_folder.eos_token_id == 1 and by_folder.pad_token_id == 2
    assert by_folder.vocab_size == tasks_samples.definition("digits").get_vocab_size()
    assert isinstance(by_folder.hf, transformers.PreTrainedTokenizerBase)


@pytest.mark.parametrize("marked", [True, False])
def test_configured_folder_adds_bos_where_marked(marked: bool, tmp_path: Path) -> None:
    tasks_samples.definition("digits").save(str(tmp_path / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>"}
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({**config, "add_bos_token": marked, "chat_template": "{{ messages }}"})
    )
    tokenizer = load_tokenizer(tmp_path)
    assert (tokenizer.encode("the day")[0] == 0) == marked
    assert tokenizer.hf is not None and tokenizer.hf.chat_template == "{{ messages }}"
    # the rule is part of the definition
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({**config, "add_bos_token": not marked})
    )
    assert load_tokenizer(tmp_path) != tokenizer


def test_official_scheme() -> None:
    tokenizer = byte_pairs()
    assert tokenizer.encode("the") == [0, 257 + 4]
    assert tokenizer.encode("the", add_special_tokens=False) == [261]
    assert tokenizer.encode("<s>the") == [0, 261]
    # as ordinary text, not as a special token
    assert tokenizer.decode(tokenizer.encode("<|endoftext|>")) == "<|endoftext|>"
    assert tokenizer.decode(tokenizer.encode(MIXED)) == MIXED
    assert tokenizer.decode([0, 261, 2]) == "the"
    assert tokenizer.decode([0, 261, 2], skip_special_tokens=False) == "<s>the</s>"
    for token in range(100_288):
        tokenizer.decode([token])
    assert tokenizer.vocab_size == 100_288 and tokenizer.hf is None
    assert (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 1, 2)


def test_official_folder_without_tokenizer_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.json").write_text("{}")
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: byte_pairs()._encoding)
    assert load_tokenizer(tmp_path) == load_tokenizer("cl100k_base") == byte_pairs()


def test_tiktoken_missing_or_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str) -> None:
        raise ConnectionError(name)

    monkeypatch.setattr(tiktoken, "get_encoding", offline)
    with pytest.raises(ValueError, match="set TIKTOKEN_CACHE_DIR"):
        load_tokenizer("cl100k_base")
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    with pytest.raises(ImportError, match="pip install tiktoken"):
        load_tokenizer("cl100k_base")


def test_what_is_no_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"holds no tokenizer: put a tokenizer\.json there"):
        load_tokenizer(tmp_path)
    (tmp_path / "model.json").write_text('{"a": 1}')
    with pytest.raises(ValueError, match=r"model\.json is not a tokenizer\.json"):
        load_tokenizer(tmp_path / "model.json")

    def not_found(name: str) -> None:
        raise OSError(f"{name} is not there.\nCheck the name.")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", not_found)
    with pytest.raises(ValueError, match="tokenizer 'no/such-model' cannot be loaded") as caught:
        load_tokenizer("no/such-model")
    assert "\n" not in str(caught.value)
