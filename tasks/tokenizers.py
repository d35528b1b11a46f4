"""Where text becomes token ids: one interface over Hugging Face and tiktoken tokenizers."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tiktoken
    from transformers import PreTrainedTokenizerBase

OFFICIAL_NAME = "cl100k_base"
_OFFICIAL_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
_OFFICIAL_VOCAB_SIZE = 100_288

_BARE_BOS = ("<s>",)
_BARE_EOS = ("</s>", "<|endoftext|>")
_BARE_PAD = ("<pad>",)


class Tokenizer(ABC):
    """Text to ids and back.

    Two tokenizers are equal if their definitions are.

    Attributes:
        name: What it was loaded from.
        vocab_size: One more than the largest id.
        bos_token, eos_token, pad_token: As text, None if not defined.
        bos_token_id, eos_token_id, pad_token_id: As ids, None if not defined.
        hf: The transformers tokenizer (chat templates), None for tiktoken.
        hash: Hex SHA-256 of its definition.
    """

    name: str
    vocab_size: int
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    bos_token_id: int | None
    eos_token_id: int | None
    pad_token_id: int | None
    hf: PreTrainedTokenizerBase | None
    hash: str

    @abstractmethod
    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """The ids of a text.

        With special tokens, the ids begin with BOS exactly once if the tokenizer's own rule adds
        it, or if it has no such rule but is marked to begin with BOS; a text that already begins
        with the BOS token's text keeps that one.
        """

    @abstractmethod
    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """The text of the ids."""

    @abstractmethod
    def char_starts(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """The ids of a text without special tokens, and where each begins in it.

        Returns:
            ids (T,) int32 and character offsets (T,) int64, which never decrease; tokens that
            share a character share its offset.
        """

    @functools.cached_property
    def special_counts(self) -> tuple[int, int]:
        """How many special tokens `encode` puts before and after a text."""
        bare = self.encode("a", add_special_tokens=False)
        whole = self.encode("a")
        for before in range(len(whole) - len(bare) + 1):
            if whole[before : before + len(bare)] == bare:
                return before, len(whole) - before - len(bare)
        raise ValueError(
            f"tokenizer {self.name!r} changes the text's own tokens when it adds special ones: "
            "use a tokenizer that only puts them before or after"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and self.hash == other.hash

    def __hash__(self) -> int:
        return hash(self.hash)


class HuggingFaceTokenizer(Tokenizer):
    """A transformers tokenizer."""

    def __init__(self, name: str, hf: PreTrainedTokenizerBase, *, marked_bos: bool) -> None:
        """Wraps a transformers tokenizer.

        Args:
            name: What it was loaded from.
            hf: The tokenizer.
            marked_bos: Whether BOS is to be added if the tokenizer's own rule adds nothing.
        """
        self.name, self.hf, self._hf = name, hf, hf
        self.vocab_size = max(hf.get_vocab().values()) + 1
        self.bos_token, self.bos_token_id = _special(hf, "bos_token")
        self.eos_token, self.eos_token_id = _special(hf, "eos_token")
        self.pad_token, self.pad_token_id = _special(hf, "pad_token")
        self._prefix = (
            [self.bos_token_id]
            if marked_bos and self.bos_token_id is not None and not hf.num_special_tokens_to_add()
            else []
        )

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        has_bos = self.bos_token is not None and text.startswith(self.bos_token)
        add = add_special_tokens and not has_bos
        ids = self._call(text, add_special_tokens=add)["input_ids"]
        return self._prefix + ids if add else ids

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        text = self._hf.decode(
            list(ids),
            skip_special_tokens=skip_special_tokens,
            clean_up_tokenization_spaces=False,
        )
        return str(text)

    def char_starts(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        if not getattr(self._hf, "is_fast", False):
            raise ValueError(
                f"tokenizer {self.name!r} cannot say where its tokens lie in the text: needle "
                "tasks need one with a tokenizer.json"
            )
        coded = self._call(text, add_special_tokens=False, return_offsets_mapping=True)
        starts = np.array([start for start, _ in coded["offset_mapping"]], dtype=np.int64)
        return np.array(coded["input_ids"], dtype=np.int32), starts

    @functools.cached_property
    def hash(self) -> str:
        backend = getattr(self._hf, "backend_tokenizer", None)
        definition = backend.to_str() if backend else json.dumps(self._hf.get_vocab())
        return _sha256(definition, str(self._prefix))

    def _call(self, text: str, **options: Any) -> Any:
        # verbose=False: the length limit of the model is checked by who knows it
        return self._hf(text, return_attention_mask=False, verbose=False, **options)


class OfficialTokenizer(Tokenizer):
    """YOCO's official scheme: tiktoken's ids moved up by four, text taken as ordinary text."""

    def __init__(self, name: str, encoding: tiktoken.Encoding) -> None:
        self.name, self.hf = name, None
        self.vocab_size = _OFFICIAL_VOCAB_SIZE
        self.bos_token, self.bos_token_id = "<s>", 0
        self.pad_token, self.pad_token_id = "<pad>", 1
        self.eos_token, self.eos_token_id = "</s>", 2
        self._encoding = encoding

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        bos = _OFFICIAL_SPECIALS[0]
        own_bos = text.startswith(bos)
        coded = self._encoding.encode_ordinary(text.removeprefix(bos))
        ids = [token + len(_OFFICIAL_SPECIALS) for token in coded]
        return [0, *ids] if add_special_tokens or own_bos else ids

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        named = {} if skip_special_tokens else dict(enumerate(_OFFICIAL_SPECIALS))
        first = len(_OFFICIAL_SPECIALS)
        pieces = (
            self._token_bytes.get(token - first, b"")
            if token >= first
            else named.get(token, "").encode()
            for token in ids
        )
        return b"".join(pieces).decode(errors="replace")

    def char_starts(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        coded = self._encoding.encode_ordinary(text)
        sizes = np.array([len(self._token_bytes[token]) for token in coded], dtype=np.int64)
        byte_starts = np.cumsum(sizes) - sizes
        units = np.frombuffer(text.encode(), dtype=np.uint8)
        # a byte 10xxxxxx goes on with the character that began before it
        chars = np.cumsum((units & 0xC0) != 0x80, dtype=np.int64) - 1
        ids = np.array(coded, dtype=np.int32) + np.int32(len(_OFFICIAL_SPECIALS))
        return ids, chars[byte_starts] if coded else byte_starts

    @functools.cached_property
    def hash(self) -> str:
        ranks = b"".join(piece + b"\0" for piece in self._token_bytes.values())
        return _sha256(self._encoding.name, hashlib.sha256(ranks).hexdigest())

    @functools.cached_property
    def _token_bytes(self) -> dict[int, bytes]:
        """What each id of plain text stands for; special and unused ids are not in it."""
        found = {}
        for token in range(self._encoding.max_token_value + 1):
            if not self._encoding.is_special_token(token):
                try:
                    found[token] = self._encoding.decode_single_token_bytes(token)
                except KeyError:
                    continue
        return found


def load_tokenizer(path_or_name: str | Path) -> Tokenizer:
    """The tokenizer at a path, or of a name.

    Args:
        path_or_name: A folder with Hugging Face tokenizer files or a tokenizer.json alone, a path
            to a tokenizer.json, an official checkpoint's folder (params.json and no tokenizer),
            "cl100k_base" for the official scheme, or a name on the Hugging Face hub.

    Raises:
        ValueError: If nothing there is a tokenizer.
        ImportError: If tiktoken is needed and not installed.
    """
    name, path = str(path_or_name), Path(path_or_name)
    if name == OFFICIAL_NAME:
        return _official(name)
    if path.is_file():
        return _bare(name, path)
    if path.is_dir():
        if (path / "tokenizer_config.json").is_file():
            return _configured(name)
        if (path / "tokenizer.json").is_file():
            return _bare(name, path / "tokenizer.json")
        if (path / "tokenizer.model").is_file():
            return _configured(name)
        if (path / "params.json").is_file():
            return _official(name)
        raise ValueError(
            f"folder {name} holds no tokenizer: put a tokenizer.json there, or pass tokenizer="
        )
    return _configured(name)


def _bare(name: str, file: Path) -> Tokenizer:
    from tokenizers import Tokenizer as Definition
    from transformers import PreTrainedTokenizerFast

    try:
        is_definition = "model" in json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        is_definition = False
    if not is_definition:
        raise ValueError(f"{file} is not a tokenizer.json: name a folder or a file that is one")
    definition = Definition.from_file(str(file))

    def first_defined(names: tuple[str, ...]) -> str | None:
        return next((each for each in names if definition.token_to_id(each) is not None), None)

    hf = PreTrainedTokenizerFast(
        tokenizer_object=definition,
        bos_token=first_defined(_BARE_BOS),
        eos_token=first_defined(_BARE_EOS),
        pad_token=first_defined(_BARE_PAD),
    )
    return HuggingFaceTokenizer(name, hf, marked_bos=True)


def _configured(name: str) -> Tokenizer:
    from transformers import AutoTokenizer
    from transformers.models.auto.tokenization_auto import get_tokenizer_config

    try:
        with _no_remarks_on_the_model():
            hf = AutoTokenizer.from_pretrained(name)
        # transformers 5 drops this mark when the tokenizer.json has no rule of its own
        marked_bos = bool(get_tokenizer_config(name).get("add_bos_token"))
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"tokenizer {name!r} cannot be loaded ({reason}): name a folder with tokenizer files, "
            "a tokenizer.json, cl100k_base or a model on the Hugging Face hub"
        ) from error
    return HuggingFaceTokenizer(name, hf, marked_bos=marked_bos)


@contextmanager
def _no_remarks_on_the_model() -> Iterator[None]:
    """transformers reads config.json beside a tokenizer, and warns that it does not know YOCO."""
    logger = logging.getLogger("transformers.configuration_utils")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _official(name: str) -> Tokenizer:
    try:
        import tiktoken
    except ImportError as error:
        raise ImportError(
            f"tokenizer {name!r} is the official scheme, which needs tiktoken: pip install tiktoken"
        ) from error
    try:
        return OfficialTokenizer(name, tiktoken.get_encoding(OFFICIAL_NAME))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"tokenizer {name!r} needs tiktoken's file for {OFFICIAL_NAME}, which cannot be had "
            "here: on an offline machine set TIKTOKEN_CACHE_DIR to a folder that holds it"
        ) from error


def _special(hf: PreTrainedTokenizerBase, name: str) -> tuple[str, int] | tuple[None, None]:
    text = getattr(hf, name)
    return (None, None) if text is None else (str(text), int(getattr(hf, name + "_id")))


def _sha256(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
