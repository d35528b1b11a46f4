"""Tokenizer files read without trust: none runs code, blocks, or fails in a way of its own."""

from __future__ import annotations

import json
import logging
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Definition
    from transformers import PreTrainedTokenizerBase

CONFIG_NAME, DEFINITION_NAME = "tokenizer_config.json", "tokenizer.json"
# the largest tokenizer.json that is about has 35 MB
_MAX_BYTES = 1 << 28
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
        yield
    # Libraries raise what they will about a broken file, `tokenizers` a bare Exception; and a
    # panic of its Rust code is none at all.
    except BaseException as error:
        is_panic = type(error).__name__ == "PanicException"
        if isinstance(error, ImportError) or not (isinstance(error, Exception) or is_panic):
            raise
        raise ValueError(
            f"tokenizer {name!r} cannot be loaded ({one_line(error)}): name a folder with "
            "tokenizer files, a tokenizer.json, cl100k_base or a model on the Hugging Face hub"
        ) from error


def read_definition(name: str, file: Path) -> Definition:
    """The tokenizer that a tokenizer.json defines.

    Raises:
        ValueError: If the file is none.
    """
    from tokenizers import Tokenizer as Definition

    require_regular(file)
    try:
        is_definition = "model" in read_json(file)
    except ValueError:
        is_definition = False
    if not is_definition:
        raise ValueError(f"{file} is not a tokenizer.json: name a folder or a file that is one")
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
                read_json(file)
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
