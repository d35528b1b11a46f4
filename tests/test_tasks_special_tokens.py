"""What stands around a text, from the tokenizer's rule, its config and the checkpoint's ids."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tasks_samples
from tokenizers import processors

from tasks.pieces import PiecedText, literal
from tasks.special_tokens import CheckpointIds, checkpoint_ids
from tasks.tokenizers import Tokenizer, load_tokenizer

BOS, EOS, PAD = ("<s>", 0), ("</s>", 1), ("<pad>", 2)
LLAMA = {"<s>": "<|begin_of_text|>", "</s>": "<|end_of_text|>", "<pad>": "<|eot_id|>"}


def loaded(
    folder: Path,
    *,
    rule: str | None = None,
    config: dict[str, Any] | None = None,
    names: dict[str, str] | None = None,
) -> Tokenizer:
    """The sample "digits" (<s> 0, </s> 1, <pad> 2) with files of these contents."""
    definition = copy.deepcopy(tasks_samples.definition("digits"))
    if rule:
        definition.post_processor = processors.TemplateProcessing(
            single=rule, special_tokens=[BOS, EOS, PAD]
        )
    text = definition.to_str()
    for old, new in (names or {}).items():
        text = text.replace(json.dumps(old), json.dumps(new))
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    if config is not None:
        config = {"tokenizer_class": "PreTrainedTokenizerFast", **config}
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return load_tokenizer(folder)


NAMED = {"bos_token": "<s>", "eos_token": "</s>"}


@pytest.mark.parametrize(
    ("rule", "config", "before"),
    [
        ("<s> $A", NAMED, [0]),
        ("<s> $A </s>", NAMED, [0]),
        ("<s> <s> $A </s> </s>", NAMED, [0]),
        ("$A </s>", NAMED, []),
        # a rule that adds EOS alone is no rule about the beginning
        ("$A </s>", {**NAMED, "add_bos_token": True}, [0]),
        ("$A </s>", None, [0]),
        (None, {**NAMED, "add_bos_token": True}, [0]),
        (None, NAMED, []),
        (None, {**NAMED, "add_bos_token": False}, []),
        ("<s> $A", {**NAMED, "add_bos_token": False}, [0]),
        ("<pad> <s> $A", NAMED, [2, 0]),
        ("<s> $A", None, [0]),
        # the rule says what BOS is
        ("<pad> $A", NAMED, [2]),
    ],
)
def test_what_stands_before_a_text(
    rule: str | None, config: dict[str, Any] | None, before: list[int], tmp_path: Path
) -> None:
    tokenizer = loaded(tmp_path, rule=rule, config=config)
    bare = tokenizer.encode("the day", add_special_tokens=False)
    assert tokenizer.encode("the day") == [*before, *bare]
    assert tokenizer.special_counts == (len(before), 0)
    assert 1 not in tokenizer.encode("the day")


def test_an_end_that_is_left_out_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    loaded(tmp_path, rule="<s> $A </s>", config=NAMED)
    load_tokenizer(tmp_path)
    assert caplog.text.count("ends every text with special tokens (1): they are left out") == 1
    # another backend reads it
    other = load_tokenizer(tmp_path, for_others=True)
    assert other.encode("a") == [0, *other.encode("a", add_special_tokens=False), 1]
    assert other.special_counts == (1, 1)


@pytest.mark.parametrize("config", [None, {}])
def test_the_checkpoint_s_ids_count_where_the_tokenizer_is_silent(
    config: dict[str, Any] | None, tmp_path: Path
) -> None:
    names = {"<s>": "[first]", "</s>": "[last]"}
    stated = {"bos_token_id": 0, "eos_token_id": [1, 2]}
    tokenizer = loaded(tmp_path, names=names, config=config)
    assert tokenizer.encode("a")[0] != 0 and tokenizer.end_ids == ()
    (tmp_path / "config.json").write_text(json.dumps(stated))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.encode("a")[0] == 0 and tokenizer.end_ids == (1, 2)
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("[first]", "[last]")
    # the ids of the checkpoint that another folder's tokenizer is used with
    (tmp_path / "config.json").unlink()
    given = load_tokenizer(tmp_path, checkpoint=CheckpointIds(bos=0, ends=(1, 2)))
    assert given == tokenizer and given.hash == tokenizer.hash


def test_a_config_that_says_none_is_not_overruled(tmp_path: Path) -> None:
    config = {"bos_token": None, "eos_token": "</s>"}
    tokenizer = loaded(tmp_path, config=config)
    assert tokenizer.bos_token_id is None
    (tmp_path / "config.json").write_text(json.dumps({"bos_token_id": 0, "eos_token_id": 2}))
    tokenizer = load_tokenizer(tmp_path)
    assert (tokenizer.bos_token_id, tokenizer.before) == (None, ())
    assert (tokenizer.eos_token_id, tokenizer.end_ids) == (1, (1, 2))


def test_usual_names_and_defaults_that_nobody_set(tmp_path: Path) -> None:
    tokenizer = loaded(tmp_path, names=LLAMA)
    assert tokenizer.encode("a")[0] == 0 and tokenizer.eos_token_id == 1
    # fla's configs say 1 and 2 for any tokenizer; here these are </s> and <pad>
    (tmp_path / "config.json").write_text('{"bos_token_id": 1, "eos_token_id": 2}')
    tokenizer = loaded(tmp_path)
    assert tokenizer.before == (0,) and tokenizer.end_ids == (1, 2)


def test_disagreement_about_the_beginning_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stated = {"bos_token_id": 2}
    tokenizer = loaded(tmp_path, rule="<s> $A", config=NAMED)
    (tmp_path / "config.json").write_text(json.dumps(stated))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.before == (0,)
    assert "names BOS 2 ('<pad>'), but tokenizer" in caplog.text


def test_ids_are_read_as_one_several_or_none(tmp_path: Path) -> None:
    assert checkpoint_ids(tmp_path) == CheckpointIds()
    (tmp_path / "config.json").write_text('{"bos_token_id": 3, "eos_token_id": 4}')
    (tmp_path / "generation_config.json").write_text(
        '{"eos_token_id": [5, 4], "bos_token_id": null}'
    )
    assert checkpoint_ids(tmp_path) == CheckpointIds(bos=3, ends=(5, 4))
    for value in ('"4"', "1.5", "true", "[[1]]", "-1", "1" * 400):
        (tmp_path / "generation_config.json").write_text(f'{{"eos_token_id": {value}}}')
        with pytest.raises(ValueError, match="it must be an id, a list of ids or null"):
            checkpoint_ids(tmp_path)


def test_the_hash_has_what_stands_around_a_text(tmp_path: Path) -> None:
    configs = [
        NAMED,
        {**NAMED, "add_bos_token": True},
        {**NAMED, "bos_token": "<pad>"},
        {**NAMED, "eos_token": "<pad>"},
    ]
    assert len({loaded(tmp_path, config=config).hash for config in configs}) == 4


@pytest.mark.parametrize("name", tasks_samples.TOKENIZERS)
def test_names_of_special_tokens_are_text_where_it_is_literal(name: str, tmp_path: Path) -> None:
    tokenizer = tasks_samples.tokenizer(name, tmp_path)
    hf = tokenizer.hf
    assert hf is not None
    special = sorted(set(hf.all_special_tokens) - {"<unk>"})
    named = set(np.ravel([hf.convert_tokens_to_ids(each) for each in special]).tolist())
    for text in ("".join(special), *(f"{each}one {each} two{each}\n{each}" for each in special)):
        as_text = tokenizer.encode(literal(text), add_special_tokens=False)
        assert not named & set(as_text)
        assert as_text == tokenizer.char_starts(text)[0].tolist()
        # somebody's text means them, as transformers takes it
        meant = tokenizer.encode(text, add_special_tokens=False)
        assert meant == hf(text, add_special_tokens=False)["input_ids"] != as_text
        # around a haystack that says the same
        mixed = PiecedText([(f"{text} So: ", False), (text, True), (text, False)])
        ids = tokenizer.encode(mixed, add_special_tokens=False)
        special_ids = [token for token in ids if token in named]
        assert special_ids == [token for token in meant * 2 if token in named]
        assert len(meant) < len(ids) and ids[: len(meant)] == meant
        assert ids == tokenizer.char_starts(tokenizer.written(mixed))[0].tolist()


def test_only_a_bos_that_somebody_wrote_stands_for_bos(tmp_path: Path) -> None:
    tokenizer = loaded(tmp_path, rule="<s> $A", config=NAMED)
    bare = tokenizer.encode("the", add_special_tokens=False)
    assert tokenizer.encode("<s>the") == [0, *bare]
    named = tokenizer.char_starts("<s>")[0].tolist()
    assert tokenizer.encode(literal("<s>")) == [0, *named] and len(named) > 1
    assert tokenizer.encode(PiecedText([("<s>", False), ("<s>", True)])) == [0, *named]
    other = load_tokenizer(tmp_path, for_others=True)
    assert other.encode(literal("<s>the")) == [0, *bare]
