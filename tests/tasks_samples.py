"""Small tokenizers and texts that the tests of `tasks` share, made on the spot."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer as Definition
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from tasks.tokenizers import Tokenizer, load_tokenizer

PROSE = "".join(
    f"Chapter {n}. On the {n}th day the {a} walked to the {b}, and it was {c}. Nobody asked why; "
    f'"Is it far?" said Mr. Brown. The {b} was closed!\nThey waited {n * 37} minutes.\n'
    for n, (a, b, c) in enumerate(
        (a, b, c)
        for a in ("miller", "old schoolmaster", "girl", "weary sergeant")
        for b in ("harbour", "market place", "chapel", "railway station")
        for c in ("raining", "late", "already dark", "warm for October", "quiet")
    )
)
CODE = "".join(
    f"def f{n}(x, *, scale={n}.5):\n    if x > {n}:\n\n        return {{'a': x * scale}}\n"
    f"    # {'-' * (n % 70)}\n    return [x{n} for x{n} in range({n * n})]\n\n\n"
    for n in range(120)
)
CHINESE = "".join(
    f"第{n}天，老人走到河边。他问：“水深吗？”没有人回答！🙂 天黑了。\n"  # noqa: RUF001
    for n in range(200)
)
ACCENTS = "".join(
    f"Où étiez-vous le {n} août ? Là-bas, près de l'église… Ça va être très long.\n"
    for n in range(200)
)
TEXTS = {"prose": PROSE, "code": CODE, "chinese": CHINESE, "accents": ACCENTS}


def _byte_level(*, digits: bool) -> Definition:
    definition = Definition(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    definition.pre_tokenizer = (
        pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
        if digits
        else byte_level
    )
    definition.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=["<s>", "</s>", "<pad>"] if digits else ["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    definition.train_from_iterator(TEXTS.values(), trainer)
    return definition


def _unsplit() -> Definition:
    """As SentencePiece's BPE: no split before merging, merges across words; BOS by a template."""
    definition = Definition(models.BPE(unk_token="<unk>", fuse_unk=True))
    definition.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    definition.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=["<unk>", "<s>", "</s>"],
        max_token_length=12,
        show_progress=False,
    )
    definition.train_from_iterator(
        (line for t in TEXTS.values() for line in t.split("\n")), trainer
    )
    definition.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return definition


def _unigram() -> Definition:
    """Words marked by U+2581, pieces by a unigram model; BOS and EOS by a template."""
    definition = Definition(models.Unigram())
    definition.pre_tokenizer = pre_tokenizers.Metaspace()
    definition.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=600,
        special_tokens=["<unk>", "<s>", "</s>"],
        unk_token="<unk>",
        show_progress=False,
    )
    definition.train_from_iterator(TEXTS.values(), trainer)
    definition.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return definition


TOKENIZERS = {
    "digits": lambda: _byte_level(digits=True),
    "gpt2": lambda: _byte_level(digits=False),
    "unsplit": _unsplit,
    "unigram": _unigram,
}


@functools.cache
def definition(name: str) -> Definition:
    """One of TOKENIZERS, trained."""
    return TOKENIZERS[name]()


def tokenizer(name: str, folder: Path) -> Tokenizer:
    """One of TOKENIZERS, written to the folder as a bare tokenizer.json and loaded."""
    file = folder / f"{name}.json"
    definition(name).save(str(file))
    return load_tokenizer(file)


class PairsFromTheEnd(Tokenizer):
    """Tokens of two characters counted from the end of the text: local nowhere."""

    name, hash = "pairs from the end", "pairs from the end"
    vocab_size = 1 << 20
    bos_token, eos_token, pad_token = "<s>", None, None
    bos_token_id, eos_token_id, pad_token_id = 0, None, None
    before = (0,)
    hf = None

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        ids = self.char_starts(text)[0].tolist()
        return [0, *ids] if add_special_tokens else ids

    def decode(self, ids: object, *, skip_special_tokens: bool = True) -> str:
        raise NotImplementedError

    def char_starts(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        odd = len(text) % 2
        starts = [0] * odd + list(range(odd, len(text), 2))
        ids = [ord(text[start]) + 1 for start in starts]
        return np.array(ids, dtype=np.int32), np.array(starts, dtype=np.int64)
