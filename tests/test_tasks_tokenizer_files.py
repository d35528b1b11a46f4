"""Tokenizer files of strangers: no code of theirs runs, and whatever is wrong is one line."""

from __future__ import annotations

import copy
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
import tasks_samples

from tasks.tokenizers import load_tokenizer

DEFINITION: dict[str, Any] = json.loads(tasks_samples.definition("digits").to_str())
CONFIG = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
GROWS = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
NO_SUCH_TOKEN = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "nope", "type_id": 0}}],
    "pair": [],
    "special_tokens": {},
}


def changed(**parts: Any) -> str:
    return json.dumps({**copy.deepcopy(DEFINITION), **parts})


def write(folder: Path, definition: str | bytes, config: str | None = None) -> None:
    content = definition.encode() if isinstance(definition, str) else definition
    (folder / "tokenizer.json").write_bytes(content)
    if config is not None:
        (folder / "tokenizer_config.json").write_text(config)


@pytest.mark.parametrize(
    ("tokenizer_config", "config"),
    [
        ({"tokenizer_class": "T", "auto_map": {"AutoTokenizer": ["tok.T", "tok.T"]}}, {}),
        ({**CONFIG, "auto_map": {"AutoTokenizer": ["tok.T", "tok.T"]}}, {}),
        ({"bos_token": "<s>"}, {"auto_map": {"AutoConfig": "tok.T", "AutoTokenizer": "tok.T"}}),
        ({"auto_map": "tok.T"}, {"model_type": "t"}),
    ],
)
def test_code_beside_a_tokenizer_does_not_run(
    tokenizer_config: dict[str, Any],
    config: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "tok.py").write_text(f"open({str(ran)!r}, 'w')\nclass T: pass\n")
    write(tmp_path, changed(), json.dumps(tokenizer_config))
    (tmp_path / "config.json").write_text(json.dumps(config))
    answers = io.StringIO("y\n" * 9)
    monkeypatch.setattr("sys.stdin", answers)
    try:
        tokenizer = load_tokenizer(tmp_path)
    except ValueError as error:
        assert "names Python code of its own (auto_map), which is not run" in str(error)
    else:
        assert len(tokenizer.encode("the day")) > 1
    assert not ran.exists() and answers.tell() == 0


@pytest.mark.parametrize("config", [None, json.dumps(CONFIG)])
@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ("[" * 100_000, r"is not a tokenizer\.json|is no JSON file"),
        (bytes(range(256)), r"is not a tokenizer\.json|is no JSON file"),
        (changed()[:5000], r"is not a tokenizer\.json|is no JSON file"),
        (
            changed().replace('"id": 1,', f'"id": {"9" * 400},'),
            "its largest id is a number of 1,329 bits",
        ),
        (changed(model=5), "cannot be loaded"),
        (changed(added_tokens=None), "cannot be loaded"),
        # a panic of the library, which is no Exception
        (changed(post_processor=NO_SUCH_TOKEN), "no entry found for key"),
        # these would end the process
        (changed(normalizer={"type": "Sequence", "normalizers": [GROWS] * 60}), "10,000 times as"),
        (changed(decoder={"type": "Sequence", "decoders": [GROWS] * 60}), "10,000 times as long"),
        (changed(normalizer={"type": "Precompiled", "precompiled_charsmap": "/////w=="}), "is cut"),
    ],
)
def test_broken_definitions_are_one_line(
    definition: str | bytes,
    config: str | None,
    said: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    write(tmp_path, definition, config)
    with pytest.raises(ValueError, match=said) as caught:
        load_tokenizer(tmp_path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400 + 2 * len(str(tmp_path))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "change",
    [
        {"tokenizer_class": 5},
        {"bos_token": 5},
        {"bos_token": ["<s>"]},
        {"added_tokens_decoder": {"x": 1}},
        {"extra_special_tokens": 5},
        {"padding_side": "\x1b[31m\u202e"},
    ],
)
def test_broken_configs_are_one_line(change: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, changed(), json.dumps({**CONFIG, **change}))
    with pytest.raises(ValueError, match="cannot be loaded") as caught:
        load_tokenizer(tmp_path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "tokenizer.model"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_not_read(name: str, kind: str, tmp_path: Path) -> None:
    write(tmp_path, changed(), json.dumps(CONFIG))
    (tmp_path / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(tmp_path / name)
    elif kind == "device":
        (tmp_path / name).symlink_to("/dev/zero")
    else:
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match="is no regular file"):
        load_tokenizer(tmp_path)


def test_a_config_does_not_name_files_elsewhere(tmp_path: Path) -> None:
    elsewhere = {"tokenizer_file": "/dev/zero", "vocab_file": "/dev/zero", "name_or_path": "/dev"}
    write(tmp_path, changed(), json.dumps({**CONFIG, **elsewhere}))
    tokenizer = load_tokenizer(tmp_path)
    assert len(tokenizer.encode("the day")) > 1
    assert tokenizer.hf is not None and tokenizer.hf.name_or_path == str(tmp_path)


def test_larger_than_any_tokenizer(tmp_path: Path) -> None:
    with (tmp_path / "tokenizer.json").open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(ValueError, match=r"has 8,589,934,592 bytes, more than any tokenizer"):
        load_tokenizer(tmp_path)


def test_an_id_that_the_library_would_make_room_for_is_refused(tmp_path: Path) -> None:
    vocab = {**DEFINITION["model"]["vocab"], "far": 10**9}
    write(tmp_path, changed(model={**DEFINITION["model"], "vocab": vocab}), json.dumps(CONFIG))
    with pytest.raises(ValueError, match=r"its largest id is 1000000000, and at most 4,000,000 is"):
        load_tokenizer(tmp_path)


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^tokenizer 'n+\.\.\.n+' is too long a name"):
        load_tokenizer("n" * 10_000)
