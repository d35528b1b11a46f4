"""Tokenizer files read without trust: none runs code, blocks, or fails in a way of its own."""

from __future__ import annotations

import base64
import json
import logging
import math
import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.shown import shown

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Definition
    from transformers import PreTrainedTokenizerBase

CONFIG_NAME, DEFINITION_NAME = "tokenizer_config.json", "tokenizer.json"
# the largest tokenizer.json that is about has 35 MB
_MAX_BYTES = 1 << 28
# what replacements may make of one character, all in a row: far more than any tokenizer's
_MAX_GROWTH = 10_000
# far more than any vocabulary has; the library makes room for every id up to the largest
_MAX_ID = 4_000_000
# what transformers reads of a tokenizer's folder, besides files with these endings
_NAMES = {
    CONFIG_NAME,
    DEFINITION_NAME,
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
}
_SUFFIXES = (".model", ".jinja", ".tiktoken", ".spm")
# keys of tokenizer_config.json that name code, or files anywhere
_UNSAFE_KEYS = {"auto_map", "init_inputs", "name_or_path", "tokenizer_object"}
_UNSAFE_ENDINGS = ("_file", "_files")


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ValueError: If the file is not a regular one, too large, or holds something else.
    """
    require_regular(file)
    try:
        fields = json.loads(file.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is no JSON file ({one_line(error)}): make it again") from error
    if not isinstance(fields, dict):
        raise ValueError(f"{file} holds no JSON object: make it again")
    return fields


def require_regular(file: Path) -> None:
    """Raises ValueError if what is to be read is no regular file, or larger than any tokenizer."""
    try:
        status = file.stat()
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror}): check the path") from error
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{file} is no regular file: name one that is")
    if status.st_size > _MAX_BYTES:
        raise ValueError(
            f"{file} has {status.st_size:,} bytes, more than any tokenizer: name another"
        )


def _require_bounded(file: Path, fields: Mapping[str, Any]) -> None:
    """Raises ValueError if a tokenizer.json may make a text so long that memory ends: the library
    ends the whole process then."""
    if _has_cut_charsmap(fields.get("normalizer")):
        raise ValueError(
            f"{file}: its normalizer's table (precompiled_charsmap) is cut: copy it again"
        )
    if _largest_id(fields) > _MAX_ID:
        raise ValueError(
            f"{file}: its largest id is {shown(_largest_id(fields))}, and at most {_MAX_ID:,} is "
            "allowed: copy it again"
        )
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        if _growth(fields.get(part)) > _MAX_GROWTH:
            raise ValueError(
                f"{file}: its {part} makes a text more than {_MAX_GROWTH:,} times as long: use the "
                "tokenizer that the model was trained with"
            )


def _largest_id(fields: Mapping[str, Any]) -> int | float:
    """The largest id of the vocabulary and of the added tokens: the library makes room up to it."""
    model, added = fields.get("model"), fields.get("added_tokens")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    ids = list(vocab.values()) if isinstance(vocab, dict) else []
    tokens = added if isinstance(added, list) else []
    ids += [token.get("id") for token in tokens if isinstance(token, dict)]
    return max((number for number in ids if isinstance(number, int | float)), default=0)


def _has_cut_charsmap(step: Any) -> bool:
    """Whether a normalizer's precompiled table states more bytes than it has: the library would
    allocate them."""
    if isinstance(step, dict) and step.get("type") == "Precompiled":
        try:
            table = base64.b64decode(step.get("precompiled_charsmap") or "")
        except (ValueError, TypeError):
            return True
        return len(table) < 4 + int.from_bytes(table[:4], "little")
    inner = step.values() if isinstance(step, dict) else step if isinstance(step, list) else ()
    return any(map(_has_cut_charsmap, inner))


def _growth(step: Any) -> float:
    """How many times as long a text may become by the replacements in a step and those within."""
    if isinstance(step, list):
        return math.prod(map(_growth, step))
    if not isinstance(step, dict):
        return 1.0
    inner = [value for value in step.values() if isinstance(value, list)]
    factor = math.prod(map(_growth, inner))
    if step.get("type") == "Replace" and isinstance(step.get("content"), str):
        pattern = step.get("pattern")
        # a regular expression may match nothing, between any two characters
        replaced = pattern.get("String") if isinstance(pattern, dict) else None
        size = len(step["content"])
        return factor * max(1.0, size / len(replaced) if replaced else 1.0 + size)
    return factor


def one_line(error: BaseException) -> str:
    """What an exception says, fit for one line of a terminal."""
    text = str(error).strip().partition("\n")[0] or type(error).__name__
    return "".join(char if char.isprintable() else "\ufffd" for char in text[:200])


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Whatever a tokenizer library raises about its files comes out as ValueError.

    Raises:
        ValueError: Naming the tokenizer, and the reason.
    """
    try:
        with _quiet_panics():
            yield
    # Libraries raise what they will about a broken file, `tokenizers` a bare Exception; and a
    # panic of its Rust code is none at all.
    except BaseException as error:
        is_said = isinstance(error, ValueError) and str(error).startswith(
            (f"tokenizer {name!r}", name)
        )
        is_ours = isinstance(error, ImportError) or is_said
        if is_ours or not (isinstance(error, Exception) or _is_panic(error)):
            raise
        raise ValueError(
            f"tokenizer {name!r} cannot be loaded ({one_line(error)}): name a folder with "
            "tokenizer files, a tokenizer.json, cl100k_base or a model on the Hugging Face hub"
        ) from error


@contextmanager
def _quiet_panics() -> Iterator[None]:
    """Holds back what is written to standard error meanwhile, and drops it after a panic, which
    writes a backtrace past Python's own streams."""
    with tempfile.TemporaryFile() as held:
        try:
            kept = os.dup(2)
            os.dup2(held.fileno(), 2)
        except OSError:
            # there is no standard error
            yield
            return
        has_panicked = False
        try:
            yield
        except BaseException as error:
            has_panicked = _is_panic(error)
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            if not has_panicked and (text := held.read()):
                os.write(2, text)


def _is_panic(error: BaseException) -> bool:
    return type(error).__name__ == "PanicException"


def read_definition(name: str, file: Path) -> Definition:
    """The tokenizer that a tokenizer.json defines.

    Raises:
        ValueError: If the file is none.
    """
    from tokenizers import Tokenizer as Definition

    require_regular(file)
    try:
        fields = read_json(file)
    except ValueError:
        fields = {}
    if "model" not in fields:
        raise ValueError(f"{file} is not a tokenizer.json: name a folder or a file that is one")
    _require_bounded(file, fields)
    with refusing(name):
        return Definition.from_file(str(file))


def read_folder(name: str) -> tuple[PreTrainedTokenizerBase, Mapping[str, Any]]:
    """The tokenizer of a checkpoint's folder, and its tokenizer_config.json.

    Raises:
        ValueError: If it cannot be loaded.
    """
    from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerFast

    with refusing(name), _tokenizer_files_alone(Path(name)) as folder:
        file = folder / CONFIG_NAME
        config = read_json(file) if file.exists() else {}
        options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
        if config.get("tokenizer_class") or not (folder / DEFINITION_NAME).exists():
            options["config"] = PreTrainedConfig()
            hf = AutoTokenizer.from_pretrained(str(folder), **options)
        else:
            hf = PreTrainedTokenizerFast.from_pretrained(str(folder), **options)
        hf.name_or_path = name
        return hf, config


def read_as_transformers(name: str) -> tuple[PreTrainedTokenizerBase, Mapping[str, Any]]:
    """The same of a folder or of a name on the hub, as transformers itself makes it.

    Raises:
        ValueError: If it cannot be loaded.
    """
    from transformers import AutoTokenizer
    from transformers.models.auto.tokenization_auto import get_tokenizer_config

    with refusing(name), _no_remarks_on_the_model():
        hf = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        return hf, get_tokenizer_config(name)


def _is_known(tokenizer_class: str) -> bool:
    """Whether transformers has a class of this name itself."""
    from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

    return tokenizer_class_from_name(tokenizer_class.removesuffix("Fast")) is not None or (
        tokenizer_class_from_name(tokenizer_class) is not None
    )


@contextmanager
def _tokenizer_files_alone(folder: Path) -> Iterator[Path]:
    """A folder with the tokenizer's files of a checkpoint and no other.

    transformers would read a config.json beside them, and whatever files and code they name.

    Raises:
        ValueError: If one of them is no regular file, or names code that is needed.
    """
    with tempfile.TemporaryDirectory(prefix="yoco-tokenizer-") as made:
        alone = Path(made)
        for file in sorted(folder.iterdir()):
            if file.name not in _NAMES and file.suffix not in _SUFFIXES:
                continue
            require_regular(file)
            if file.name == CONFIG_NAME:
                (alone / CONFIG_NAME).write_text(json.dumps(_safe_config(file)), encoding="utf-8")
                continue
            if file.suffix == ".json":
                fields = read_json(file)
                if file.name == DEFINITION_NAME:
                    _require_bounded(file, fields)
            (alone / file.name).symlink_to(file.resolve())
        templates = "additional_chat_templates"
        if (folder / templates).is_dir():
            (alone / templates).mkdir()
            for file in sorted((folder / templates).iterdir()):
                require_regular(file)
                (alone / templates / file.name).symlink_to(file.resolve())
        yield alone


def _safe_config(file: Path) -> dict[str, Any]:
    """A tokenizer_config.json without what names code, or files elsewhere."""
    config = read_json(file)
    if "auto_map" in config and not _is_known(str(config.get("tokenizer_class"))):
        raise ValueError(f"{file.name} names Python code of its own (auto_map), which is not run")
    return {
        key: value
        for key, value in config.items()
        if key not in _UNSAFE_KEYS and not key.endswith(_UNSAFE_ENDINGS)
    }


@contextmanager
def _no_remarks_on_the_model() -> Iterator[None]:
    """transformers warns that it does not know YOCO's config."""
    logger = logging.getLogger("transformers.configuration_utils")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
