"""A tokenizer that cannot say a text is refused before anything is built of it."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import tasks_samples
from tasks_samples import TEXTS, TOKENIZERS, PairsFromTheEnd
from tokenizers import Tokenizer as Definition
from tokenizers import models, pre_tokenizers

from tasks import coverage
from tasks.coverage import require_covered
from tasks.cuts import cut_document
from tasks.grids import NeedleDocs
from tasks.needle_settings import NeedleSettings
from tasks.pieces import literal
from tasks.tokenizers import Tokenizer, load_tokenizer

THAI = "".join(chr(0x0E01 + n * n % 40) for n in range(20_000))


def words(folder: Path, *, unknown: str | None) -> Tokenizer:
    """A tokenizer that knows three words, and has a token for others or drops them."""
    vocab = {"[UNK]": 0, "the": 1, "whale": 2, "swam": 3}
    model = (
        models.WordLevel(vocab, unk_token=unknown)
        if unknown
        else models.BPE({**{"w": 4, "h": 5, "a": 6}, **vocab}, [])
    )
    definition = Definition(model)
    definition.pre_tokenizer = pre_tokenizers.Whitespace()
    definition.save(str(folder / "words.json"))
    return load_tokenizer(folder / "words.json")


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_what_a_tokenizer_was_trained_on_is_covered(name: str, kind: str, tmp_path: Path) -> None:
    require_covered(TEXTS[kind], kind, tasks_samples.tokenizer(name, tmp_path))


def test_unknown_and_dropped_text_is_refused(tmp_path: Path) -> None:
    tokenizer = words(tmp_path, unknown="[UNK]")
    require_covered("the whale swam " * 99, "this text", tokenizer)
    with pytest.raises(ValueError, match=r"reads this text as unknown tokens \(10,000 of 10,000"):
        require_covered(THAI, "this text", tokenizer)
    with pytest.raises(ValueError, match="this document as unknown tokens"):
        cut_document(THAI, tokenizer, max_tokens=900, bins_per_octave=2)
    (tmp_path / "thai.txt").write_text(THAI, encoding="utf-8")
    settings = NeedleSettings(haystack=f"files:{tmp_path}/thai.txt", lengths=(1024,))
    with pytest.raises(ValueError, match="as unknown tokens"):
        NeedleDocs(settings, tokenizer)[0]
    with pytest.raises(ValueError, match="makes only 0 tokens of 10,000 characters of this text"):
        require_covered(THAI, "this text", words(tmp_path, unknown=None))


def test_one_that_makes_no_token_of_any_text_is_no_tokenizer(tmp_path: Path) -> None:
    Definition(models.BPE({"\u0e01": 0}, [])).save(str(tmp_path / "none.json"))
    with pytest.raises(ValueError, match="makes no token of any text"):
        load_tokenizer(tmp_path / "none.json")


def test_one_that_does_not_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    class Endless(PairsFromTheEnd):
        def char_starts(self, text: str) -> tuple[np.ndarray, np.ndarray]:
            ended.wait(20)
            return super().char_starts(text)

    monkeypatch.setattr(coverage, "_LIMIT_S", 0.1)
    with pytest.raises(ValueError, match="does not come to an end of a few thousand characters"):
        require_covered("text", "this text", Endless())
    ended.set()


def test_bytes_that_are_marked_as_special_stand_for_text(tmp_path: Path) -> None:
    names = [f"<0x{value:02X}>" for value in range(256)]
    vocab = {name: number for number, name in enumerate(["<unk>", *names])}
    definition = Definition(models.BPE(vocab, [], byte_fallback=True, unk_token="<unk>"))
    definition.add_special_tokens(names)
    definition.save(str(tmp_path / "bytes.json"))
    tokenizer = load_tokenizer(tmp_path / "bytes.json")
    assert tokenizer.encode(literal("<0x41>")) == [1 + byte for byte in b"<0x41>"]
    require_covered("\U00013000" * 500, "hieroglyphs", tokenizer)
