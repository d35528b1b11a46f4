"""A tokenizer's definition with its special tokens out of reach of literal text."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import AddedToken
    from tokenizers import Tokenizer as Definition
    from transformers import PreTrainedTokenizerBase

_BYTE = re.compile("<0x[0-9A-F]{2}>")


class Vocabulary:
    """What `decide` asks of a transformers tokenizer's vocabulary."""

    def __init__(self, hf: PreTrainedTokenizerBase) -> None:
        self._ids = hf.get_vocab()
        self._tokens = {token_id: token for token, token_id in self._ids.items()}
        self._special = {self._ids.get(token.content) for token in special_tokens(hf)}

        backend = getattr(hf, "backend_tokenizer", None)
        model = json.loads(backend.to_str())["model"] if backend else {}
        unknown = model.get("unk_token") or getattr(hf, "unk_token", None)
        self.unknown_id: int | None = model.get("unk_id", self._ids.get(str(unknown)))

    def id_of(self, token: str) -> int | None:
        return self._ids.get(token)

    def token_of(self, token_id: int | None) -> str | None:
        return None if token_id is None else self._tokens.get(token_id)

    def is_special(self, token_id: int) -> bool:
        return token_id in self._special


def special_tokens(hf: PreTrainedTokenizerBase) -> list[AddedToken]:
    """The tokens that are marked as special."""
    tokens: dict[Any, Any] = hf.added_tokens_decoder
    return [token for token in tokens.values() if token.special]


def named_id(hf: PreTrainedTokenizerBase, role: str) -> int | None:
    """The id that the tokenizer's files name as "bos", "eos" or "pad", None if they name none."""
    if getattr(hf, f"{role}_token") is None:
        return None
    token_id = getattr(hf, f"{role}_token_id")
    return None if token_id is None else int(token_id)


def with_marks(
    hf: PreTrainedTokenizerBase, *, reads_names: bool, bos: int | None
) -> tuple[Definition | None, dict[str, str]]:
    """The definition with a mark as the name of each special token, and the marks by name.

    So no text holds a special token's name, and no piece of a text is one: a unigram model takes
    "<s>" for the piece of that name, wherever it stands.
    """
    from tokenizers import AddedToken
    from tokenizers import Tokenizer as Definition

    # what a byte falls back to is looked up by its name
    contents = (token.content for token in special_tokens(hf))
    names = dict.fromkeys(each for each in contents if not _BYTE.fullmatch(each))
    backend = getattr(hf, "backend_tokenizer", None)
    if backend is None:
        return None, {name: name for name in names}
    fields = json.loads(backend.to_str())
    marks: dict[str, str] = {}
    if not reads_names:
        # BOS may be one that is not marked as special
        names |= {} if bos is None else {str(hf.convert_ids_to_tokens(bos)): None}
        secret = secrets.token_hex(8)
        marks = {name: f"<|{secret} {number}|>" for number, name in enumerate(names)}
        _rename(fields, marks)
    definition = Definition.from_str(json.dumps(fields))
    definition.add_tokens([AddedToken(mark, normalized=False) for mark in marks.values()])
    definition.no_truncation()
    definition.no_padding()
    definition.encode_special_tokens = not reads_names or hf.split_special_tokens
    return definition, marks


def _rename(fields: dict[str, Any], marks: Mapping[str, str]) -> None:
    """Renames tokens in a tokenizer.json; their ids stay."""
    fields["post_processor"] = None
    for token in fields["added_tokens"]:
        if token["content"] in marks:
            # the library does not look for special ones in literal text
            token |= {"content": marks[token["content"]], "special": False}
    model = fields["model"]
    vocab = model["vocab"]
    if isinstance(vocab, dict):
        model["vocab"] = {marks.get(name, name): token_id for name, token_id in vocab.items()}
    else:
        model["vocab"] = [[marks.get(name, name), score] for name, score in vocab]
    if model.get("unk_token") in marks:
        model["unk_token"] = marks[model["unk_token"]]
    if "merges" in model:
        pairs = ((merge, tuple(_halves(merge))) for merge in model["merges"])
        model["merges"] = [
            merge for merge, halves in pairs if marks.keys().isdisjoint({*halves, "".join(halves)})
        ]


def _halves(merge: str | list[str]) -> list[str]:
    return merge.split(" ") if isinstance(merge, str) else merge
