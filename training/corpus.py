"""Training text, tokenised once into one file, and the text that is kept out of it.

Legend: T tokens.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from tasks.haystacks import load_haystack
from training.tokenizer import SPECIAL_TOKENS, train_tokenizer, write_tokenizer
from training.wordings import KeyPool, key_pool

VOCAB_SIZE = 4096
MAX_LENGTH = 1 << 20
# Characters that are tokenised together: the ids of a whole text want much memory.
_PIECE_CHARS = 1 << 20
_FILES = ("corpus.json", "tokens.npy")
# What the text of a token may end with where a sentence ends.
_SENTENCE_END = re.compile(r"[.!?][\"'\u201d\u2019)\]]*$")


@dataclass(frozen=True)
class Corpus:
    """Token ids of all text, and what is where.

    Attributes:
        tokens: (T,) uint16.
        spans: name -> (start, stop). "texts" and "stdlib" are for training; "held_out/FILE" was
            kept out, "held_out" is all of that.
        keys: of the needles and the distractors.
        sha256: of the texts, by the names that the model card lists.
        tokenizer: its files are in the folder `tokenizer`.
    """

    tokens: np.ndarray
    spans: dict[str, tuple[int, int]]
    keys: KeyPool
    sha256: dict[str, str]
    tokenizer: Tokenizer
    folder: Path

    def encode(self, text: str) -> np.ndarray:
        """Ids (T,) uint16 of a text, without `<s>`."""
        return np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.uint16)

    def read(self, span: str, start: int, length: int) -> np.ndarray:
        """Ids (length,) from a place in a span on; after its last token comes its first."""
        first, stop = self.spans[span]
        whole = self.tokens[first:stop]
        start %= len(whole)
        if start + length <= len(whole):
            return whole[start : start + length]
        return np.resize(np.concatenate((whole[start:], whole[:start])), length)

    @property
    def held_out(self) -> list[str]:
        """Names of the spans that were kept out, one a file."""
        return [name for name in self.spans if name.startswith("held_out/")]

    @functools.cached_property
    def hash(self) -> str:
        """Hex SHA-256 of the texts and the tokenizer."""
        content = json.dumps([self.sha256, self.spans, self.tokenizer.to_str()])
        return hashlib.sha256(content.encode()).hexdigest()

    @functools.cached_property
    def num_bytes(self) -> np.ndarray:
        """For each id the bytes that it stands for."""
        # a byte-level vocabulary has one letter a byte
        sizes = np.zeros(self.tokenizer.get_vocab_size(), dtype=np.int64)
        for token, number in self.tokenizer.get_vocab().items():
            sizes[number] = 0 if token in SPECIAL_TOKENS else len(token)
        return sizes

    @functools.cached_property
    def _ends(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        ids = range(self.tokenizer.get_vocab_size())
        texts = [self.tokenizer.decode([i], skip_special_tokens=False) for i in ids]
        return (
            np.array([text[:1] == "\n" for text in texts]),
            np.array([text[:1].isspace() for text in texts]),
            np.array([text[-1:].isspace() for text in texts]),
            np.array([bool(_SENTENCE_END.search(text)) for text in texts]),
        )

    def boundaries(self, tokens: np.ndarray) -> np.ndarray:
        """Where in tokens (T,) a needle may go: before the white space that ends a line or a
        sentence, as in `tasks.prompts`; indices of 1..T-1, ascending."""
        starts_line, starts_space, ends_space, ends_sentence = self._ends
        before, after = tokens[:-1], tokens[1:]
        ends_line = starts_line[after] & ~ends_space[before]
        return np.flatnonzero(ends_line | (starts_space[after] & ends_sentence[before])) + 1


def prepare(
    texts: Sequence[Path],
    held_out: Sequence[Path],
    folder: Path,
    *,
    stdlib: bool = True,
    vocab_size: int = VOCAB_SIZE,
) -> Corpus:
    """Trains the tokenizer and writes the corpus to a folder, config last.

    Args:
        texts: files to train on.
        held_out: files to keep out.
        stdlib: whether the sources of this Python's standard library are trained on too.

    Raises:
        ValueError: there is no text, or too little for the vocabulary.
    """
    read = {path.name: path.read_text(encoding="utf-8") for path in texts}
    library = {"stdlib": load_haystack("stdlib").text} if stdlib else {}
    kept_out = {f"held_out/{path.name}": path.read_text(encoding="utf-8") for path in held_out}
    if not read:
        raise ValueError("there is no text to train on: name a folder with .txt files")

    trained_on = {**read, **library}
    tokenizer = train_tokenizer(_pieces(trained_on.values()), vocab_size)
    write_tokenizer(tokenizer, folder / "tokenizer", MAX_LENGTH)
    sections = {"texts": "".join(read.values()), **library, **kept_out}

    ids, spans, total = [], {}, 0
    for name, text in sections.items():
        encoded = [
            np.array(piece.ids, dtype=np.uint16)
            for piece in tokenizer.encode_batch(_pieces([text]), add_special_tokens=False)
        ]
        size = sum(map(len, encoded))
        spans[name] = (total, total + size)
        total += size
        ids += encoded
    if kept_out:
        spans["held_out"] = (
            min(spans[name][0] for name in kept_out),
            max(spans[name][1] for name in kept_out),
        )
    tokens = np.concatenate(ids)
    np.save(folder / "tokens.npy", tokens)
    every_text = {**trained_on, **kept_out}
    facts = {
        "spans": spans,
        "keys": asdict(key_pool(trained_on.values())),
        "sha256": {
            name: hashlib.sha256(text.encode()).hexdigest() for name, text in every_text.items()
        },
    }
    (folder / "corpus.json").write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
    return load_corpus(folder)


def load_corpus(folder: Path) -> Corpus:
    """The corpus that `prepare` wrote, its tokens mapped into memory.

    Raises:
        FileNotFoundError: a file is missing.
    """
    for name in _FILES:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} holds no {name}: run python -m training.prepare")
    facts = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
    return Corpus(
        tokens=np.load(folder / "tokens.npy", mmap_mode="r"),
        spans={name: (start, stop) for name, (start, stop) in facts["spans"].items()},
        keys=KeyPool(**{name: tuple(items) for name, items in facts["keys"].items()}),
        sha256=facts["sha256"],
        tokenizer=Tokenizer.from_file(str(folder / "tokenizer" / "tokenizer.json")),
        folder=folder,
    )


def _pieces(texts: Iterable[str]) -> list[str]:
    """The texts in pieces that end with a line, where they have lines."""
    found = []
    for text in texts:
        start = 0
        while start < len(text):
            stop = text.find("\n", start + _PIECE_CHARS) + 1 or len(text)
            found.append(text[start:stop])
            start = stop
    return found
