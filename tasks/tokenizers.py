"""Where text becomes token ids: one interface over Hugging Face and tiktoken tokenizers."""

from __future__ import annotations

import functools
import hashlib
import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.definitions import Vocabulary, named_id, special_tokens, with_marks
from tasks.pieces import Marker, pieces_of
from tasks.shown import shown
from tasks.special_tokens import CheckpointIds, checkpoint_ids, decide, rule_of, without_end
from tasks.tokenizer_files import (
    CONFIG_NAME,
    DEFINITION_NAME,
    read_as_transformers,
    read_definition,
    read_folder,
    refusing,
)

if TYPE_CHECKING:
    import tiktoken
    from transformers import PreTrainedTokenizerBase

OFFICIAL_NAME = "cl100k_base"
# of a file or a folder, as file systems have it
_MAX_NAME_CHARS = 255
_OFFICIAL_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
_OFFICIAL_VOCAB_SIZE = 100_288


class Tokenizer(ABC):
    """Text to ids and back.

    What somebody wrote for a model may name special tokens ("<s>"); what is read to it, a haystack
    or a document, is literal: such a name in it is text. `written` makes one text of both, in which
    what stands for a special token is a mark that no text can hold; where nothing is literal or
    nothing is named, it is the text itself. Two tokenizers are equal if their definitions are.

    Attributes:
        name: What it was loaded from.
        vocab_size: One more than the largest id.
        bos_token, eos_token, pad_token: As text, None if not defined.
        bos_token_id, eos_token_id, pad_token_id: As ids, None if not defined.
        unk_token_id: What stands for text that it cannot say, None if there is no such token.
        end_ids: Ids that end an answer, EOS among them.
        before, after: Ids that `encode` puts before and after a text.
        reads_names: Whether special tokens' names are special in literal text too, as another
            backend reads it.
        hf: The transformers tokenizer (chat templates), None for tiktoken.
        hash: Hex SHA-256 of its definition and of what it puts around a text.
    """

    name: str
    vocab_size: int
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    bos_token_id: int | None
    eos_token_id: int | None
    pad_token_id: int | None
    unk_token_id: int | None = None
    end_ids: tuple[int, ...] = ()
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    reads_names: bool = False
    hf: PreTrainedTokenizerBase | None
    hash: str

    @abstractmethod
    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """The ids of a text.

        With special tokens, the ids begin with those of `before`, unless the text brings its own
        BOS along.

        Args:
            text: What names special tokens means them, but for the literal parts of a `PiecedText`.
            add_special_tokens: Whether what stands around a text is added.
        """

    def written(self, text: str) -> str:
        """The text with marks for the special tokens that it names, to be read as literal text."""
        return str(text)

    def brings_bos(self, written: str) -> bool:
        """Whether a literal text, or one that `written` made, begins with BOS of its own."""
        return self.bos_token is not None and written.startswith(self.bos_token)

    @abstractmethod
    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """The text of the ids."""

    @abstractmethod
    def char_starts(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """The ids of a literal text, without what stands around it, and where each begins.

        Args:
            text: Literal, or what `written` made.

        Returns:
            ids (T,) int32 and character offsets (T,) int64, which never decrease; tokens that
            share a character share its offset.
        """

    @property
    def special_counts(self) -> tuple[int, int]:
        """How many special tokens `encode` puts before and after a text."""
        return len(self.before), len(self.after)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Tokenizer)
            and self.hash == other.hash
            and self.reads_names == other.reads_names
        )

    def __hash__(self) -> int:
        return hash(self.hash)


class HuggingFaceTokenizer(Tokenizer):
    """A transformers tokenizer."""

    def __init__(
        self,
        name: str,
        hf: PreTrainedTokenizerBase,
        *,
        config: Mapping[str, Any] | None,
        checkpoint: CheckpointIds,
        reads_names: bool = False,
    ) -> None:
        """Wraps a transformers tokenizer.

        Args:
            name: What it was loaded from.
            hf: The tokenizer.
            config: Its tokenizer_config.json, None if it has none.
            checkpoint: The special ids of the checkpoint that it is used with.
            reads_names: Whether it is to read texts as transformers does, with what its rule puts
                after them and special tokens' names in them.

        Raises:
            ValueError: If it makes no token of any text, or changes a text's own tokens when it
                adds special ones.
        """
        self.name, self.hf, self._hf, self.reads_names = name, hf, hf, reads_names
        vocabulary = Vocabulary(hf)
        special = decide(
            name,
            vocabulary=vocabulary,
            rule=rule_of(name, self._encode_by_rule),
            config=config,
            named={each: named_id(hf, each) for each in ("bos", "eos", "pad")},
            checkpoint=checkpoint,
        )
        if not reads_names:
            special = without_end(name, special)
        self.before, self.after, self.end_ids = special.before, special.after, special.ends
        self.vocab_size = max(hf.get_vocab().values()) + 1
        self.bos_token_id, self.bos_token = special.bos, vocabulary.token_of(special.bos)
        self.eos_token_id, self.eos_token = special.eos, vocabulary.token_of(special.eos)
        self.pad_token_id, self.pad_token = special.pad, vocabulary.token_of(special.pad)
        self.unk_token_id = vocabulary.unknown_id
        for each in ("bos_token", "eos_token", "pad_token"):
            # chat templates ask the transformers tokenizer
            if getattr(hf, each) is None and getattr(self, each) is not None:
                setattr(hf, each, getattr(self, each))
        self._definition, self._marks = with_marks(hf, reads_names=reads_names, bos=special.bos)
        whole_words = [token.content for token in special_tokens(hf) if token.single_word]
        self._marker = Marker(self._marks, whole_words=whole_words)

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        written = self.written(text)
        if self._definition is None:
            ids = self._hf(written, add_special_tokens=False, verbose=False)["input_ids"]
        else:
            (coded,) = self._definition.encode_batch_fast([written], add_special_tokens=False)
            ids = coded.ids
        if not add_special_tokens or self.brings_bos(written):
            return ids
        return [*self.before, *ids, *self.after]

    def written(self, text: str) -> str:
        if self._definition is None and (name := self._marker.in_literal(text)):
            raise ValueError(
                f"tokenizer {self.name!r} takes {name!r} in a text for the special token: use one "
                "with a tokenizer.json, or another text"
            )
        return self._marker.marked(text)

    def brings_bos(self, written: str) -> bool:
        bos = self.bos_token
        return bos is not None and written.startswith(self._marks.get(bos, bos))

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        text = self._hf.decode(
            list(ids),
            skip_special_tokens=skip_special_tokens,
            clean_up_tokenization_spaces=False,
        )
        return str(text)

    def char_starts(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        if self._definition is None:
            raise ValueError(
                f"tokenizer {self.name!r} cannot say where its tokens lie in the text: needle "
                "tasks need one with a tokenizer.json"
            )
        (coded,) = self._definition.encode_batch([text], add_special_tokens=False)
        starts = np.array([start for start, _ in coded.offsets], dtype=np.int64)
        return np.array(coded.ids, dtype=np.int32), starts

    @functools.cached_property
    def hash(self) -> str:
        backend = getattr(self._hf, "backend_tokenizer", None)
        definition = backend.to_str() if backend else json.dumps(self._hf.get_vocab())
        around = [self.before, self.bos_token_id, self.eos_token_id, sorted(self.end_ids)]
        return _sha256(definition, json.dumps(around))

    def _encode_by_rule(self, text: str, with_rule: bool) -> list[int]:
        return self._hf(text, add_special_tokens=with_rule, verbose=False)["input_ids"]


class OfficialTokenizer(Tokenizer):
    """YOCO's official scheme: tiktoken's ids moved up by four, text taken as ordinary text."""

    def __init__(self, name: str, encoding: tiktoken.Encoding) -> None:
        self.name, self.hf = name, None
        self.vocab_size = _OFFICIAL_VOCAB_SIZE
        self.bos_token, self.bos_token_id = "<s>", 0
        self.pad_token, self.pad_token_id = "<pad>", 1
        self.eos_token, self.eos_token_id = "</s>", 2
        self.before, self.end_ids = (0,), (2,)
        self._encoding = encoding
        self._mark = f"<|{secrets.token_hex(8)}|>"

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        written = self.written(text)
        own_bos = self.brings_bos(written)
        coded = self._encoding.encode_ordinary(written.removeprefix(self._mark))
        ids = [token + len(_OFFICIAL_SPECIALS) for token in coded]
        return [0, *ids] if add_special_tokens or own_bos else ids

    def written(self, text: str) -> str:
        # only a BOS in front is one, and only if somebody wrote it
        bos = _OFFICIAL_SPECIALS[0]
        pieces = pieces_of(text)
        if pieces and not pieces[0][1] and pieces[0][0].startswith(bos):
            return self._mark + text[len(bos) :]
        return str(text)

    def brings_bos(self, written: str) -> bool:
        return written.startswith(self._mark)

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


def load_tokenizer(
    path_or_name: str | Path,
    *,
    checkpoint: CheckpointIds | None = None,
    for_others: bool = False,
) -> Tokenizer:
    """The tokenizer at a path, or of a name.

    Args:
        path_or_name: A folder with Hugging Face tokenizer files or a tokenizer.json alone, a path
            to a tokenizer.json, an official checkpoint's folder (params.json and no tokenizer),
            "cl100k_base" for the official scheme, or a name on the Hugging Face hub.
        checkpoint: The special ids of the checkpoint that it is used with; those of its own folder
            where not given.
        for_others: Whether it is to read texts as other backends do, which take transformers'
            tokenizer as it is.

    Raises:
        ValueError: If nothing there is a tokenizer, or it is broken.
        ImportError: If tiktoken is needed and not installed.
    """
    name, path = str(path_or_name), Path(path_or_name)
    if name == OFFICIAL_NAME:
        return _official(name)
    if any(len(part) > _MAX_NAME_CHARS for part in name.split("/")):
        raise ValueError(f"tokenizer {shown(name)} is too long a name: name a folder or a file")
    if checkpoint is None:
        checkpoint = CheckpointIds()
        if path.is_dir() and not for_others:
            checkpoint = checkpoint_ids(path)
    is_bare = path.exists() and not path.is_dir()
    if path.is_dir():
        if (path / CONFIG_NAME).exists() or (path / "tokenizer.model").exists():
            is_bare = not (path / CONFIG_NAME).exists() and (path / DEFINITION_NAME).exists()
        elif (path / DEFINITION_NAME).exists():
            is_bare = True
        elif (path / "params.json").is_file():
            return _official(name)
        else:
            raise ValueError(
                f"folder {name} holds no tokenizer: put a tokenizer.json there, or pass tokenizer="
            )
    hf: PreTrainedTokenizerBase
    config: Mapping[str, Any] | None = None
    if is_bare:
        from transformers import PreTrainedTokenizerFast

        definition = read_definition(name, path / DEFINITION_NAME if path.is_dir() else path)
        with refusing(name):
            hf = PreTrainedTokenizerFast(tokenizer_object=definition)
    else:
        is_own = path.is_dir() and not for_others
        hf, config = read_folder(name) if is_own else read_as_transformers(name)
    with refusing(name):
        return HuggingFaceTokenizer(
            name, hf, config=config, checkpoint=checkpoint, reads_names=for_others
        )


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


def _sha256(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
