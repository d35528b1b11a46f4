"""The tokenizer and the corpus that training reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from training_samples import VOCAB_SIZE, small_corpus, small_text
from transformers import AutoTokenizer

from tasks.tokenizers import load_tokenizer
from training import prepare
from training.corpus import Corpus, load_corpus
from training.tokenizer import BOS, EOS, PAD, train_tokenizer


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return small_corpus(tmp_path_factory.mktemp("tokenizer"))


def test_transformers_loads_it(corpus: Corpus) -> None:
    tokenizer = AutoTokenizer.from_pretrained(corpus.folder / "tokenizer")
    assert (tokenizer.bos_token, tokenizer.bos_token_id) == ("<s>", BOS)
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("</s>", EOS)
    assert (tokenizer.pad_token, tokenizer.pad_token_id) == ("<pad>", PAD)
    assert len(tokenizer) == VOCAB_SIZE
    ids = tokenizer("Moverton 120,7.")["input_ids"]
    assert ids[0] == BOS
    assert ids[1:] == corpus.encode("Moverton 120,7.").tolist()
    assert tokenizer.decode(ids, skip_special_tokens=True) == "Moverton 120,7."


def test_the_tasks_load_it(corpus: Corpus) -> None:
    tokenizer = load_tokenizer(corpus.folder / "tokenizer")
    assert tokenizer.special_counts == (1, 0)
    text = "Grodalton 31 \n\n    naïve € text."
    ids, starts = tokenizer.char_starts(text)
    assert ids.tolist() == corpus.encode(text).tolist()
    assert starts[0] == 0


def test_digits_are_single_tokens(corpus: Corpus) -> None:
    digits = [corpus.encode(digit).tolist() for digit in "0123456789"]
    assert all(len(ids) == 1 for ids in digits)
    number = corpus.encode(" 50123").tolist()
    assert number[1:] == [digits[int(digit)][0] for digit in "50123"]


def test_too_little_text_for_the_vocabulary() -> None:
    with pytest.raises(ValueError, match=r"give a vocabulary of .*, not of 4,096: add text"):
        train_tokenizer(["few words"], 4096)


def test_the_corpus_is_the_text(corpus: Corpus) -> None:
    start, stop = corpus.spans["texts"]
    text = small_text(0) + small_text(1)
    assert corpus.tokenizer.decode(corpus.tokens[start:stop].tolist()) == text
    assert corpus.num_bytes[corpus.tokens[start:stop]].sum() == len(text.encode())
    kept = corpus.tokenizer.decode(
        corpus.tokens[slice(*corpus.spans["held_out/kept.txt"])].tolist()
    )
    assert kept == small_text(2)
    assert corpus.spans["held_out"] == corpus.spans["held_out/kept.txt"]


def test_reading_goes_round(corpus: Corpus) -> None:
    first, stop = corpus.spans["texts"]
    whole = np.array(corpus.tokens[first:stop])
    size = len(whole)
    np.testing.assert_array_equal(corpus.read("texts", 7, 5), whole[7:12])
    np.testing.assert_array_equal(corpus.read("texts", size - 2, 5), [*whole[-2:], *whole[:3]])
    twice = corpus.read("texts", 3, 2 * size)
    np.testing.assert_array_equal(twice[:size], twice[size:])


def test_boundaries_are_before_the_white_space(corpus: Corpus) -> None:
    ids = corpus.read("texts", 100, 800)
    found = corpus.boundaries(ids)
    assert len(found) > 20
    for place in found:
        before, after = (corpus.tokenizer.decode([int(ids[place + i])]) for i in (-1, 0))
        assert after[0].isspace() and not before[-1].isspace()
        assert after[0] == "\n" or before[-1] in ".?"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        (tmp_path / f"{name}.txt").write_text(small_text(seed, 400))
    options = ["--texts", str(tmp_path), "--corpus", str(tmp_path / "corpus"), "--no-stdlib"]
    prepare.main([*options, "--vocab-size", "400", "--held-out", "b.txt"])
    assert load_corpus(tmp_path / "corpus").held_out == ["held_out/b.txt"]
    assert "held_out/b.txt" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        prepare.main([*options, "--held-out", "c.txt"])
    assert "holds no c.txt" in capsys.readouterr().err


def test_a_folder_without_a_corpus(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no corpus.json: run python -m training"):
        load_corpus(tmp_path)
