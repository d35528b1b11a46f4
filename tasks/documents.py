"""Whole documents, one by one, by a short spec: stdlib, files:GLOB, a folder or hf:DATASET."""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.haystacks import Haystack, load_haystack
from tasks.shown import shown
from tasks.texts import dataset_texts, file_paths, is_folder, split_column, texts_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Document:
    """Where one document is found.

    Attributes:
        name: Short, for people; two documents may share it, but not their text.
        haystack: The spec of `load_haystack` that reads it.
    """

    name: str
    haystack: str

    def load(self) -> Haystack:
        """Its text, exactly as it lies there, and the text's hash."""
        return load_haystack(self.haystack)


def find_documents(spec: str, limit: int | None = None) -> list[Document]:
    """The documents that a spec names, in their order, each text once; one that holds no text is
    passed over.

    Args:
        spec: One of
            "stdlib": the sources of this Python's standard library, as one document;
            "files:GLOB": text files in UTF-8, in sorted order, `**` for any folders;
            "FOLDER" or "files:FOLDER": all files of a folder that are text in UTF-8;
            "hf:DATASET[:CONFIG][:SPLIT][#COLUMN]": the rows of a dataset's column of text.
        limit: Take the first so many; None takes all.

    Raises:
        ValueError: If the spec is unknown or names no document.
    """
    kind, _, argument = spec.partition(":")
    match kind:
        case "stdlib" if not argument:
            found = iter([(Document("stdlib", "stdlib"), "stdlib")])
        case "files" if argument:
            found = _files(argument)
        case "hf" if argument:
            found = _rows(argument)
        case _ if is_folder(spec):
            found = _files(spec)
        case _:
            raise ValueError(
                f"documents {shown(spec, 200)} are unknown: "
                "use stdlib, files:GLOB, FOLDER or hf:DATASET[:CONFIG][:SPLIT][#COLUMN]"
            )
    documents = list(itertools.islice(_distinct(found), limit))
    if not documents:
        raise ValueError(f"documents {shown(spec, 200)} hold no text: name some that do")
    return documents


def _distinct(found: Iterator[tuple[Document, str]]) -> Iterator[Document]:
    """The documents whose texts are not blank, and no copy of one before."""
    names: dict[bytes, str] = {}
    for document, text in found:
        if not text or text.isspace():
            continue
        digest = hashlib.sha256(text.encode()).digest()
        if digest in names:
            _log.warning("document %s is left out: a copy of %s", document.name, names[digest])
            continue
        names[digest] = document.name
        yield document


def _files(pattern: str) -> Iterator[tuple[Document, str]]:
    for path, text in texts_of(file_paths(pattern), strict=not is_folder(pattern)):
        yield Document(path.name, f"file:{path}"), text


def _rows(dataset: str) -> Iterator[tuple[Document, str]]:
    name = Path(split_column(dataset)[0].partition(":")[0]).name
    for number, text in enumerate(dataset_texts(dataset)):
        yield Document(f"{name}#{number}", f"row:{number}:{dataset}"), text or ""
