"""A small corpus and recipe, of words made up here, for the tests of training."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

from training.corpus import Corpus, prepare
from training.recipe import MODELS, Budget, Recipe, Stage
from yoco import YOCOConfig

VOCAB_SIZE = 512


def small_text(seed: int, num_sentences: int = 1500) -> str:
    """Sentences of made-up words, a few names among them; some end a line."""
    rng = random.Random(seed)
    parts = [a + b for a in ("mo", "ra", "ti", "len", "sha", "gro") for b in ("ver", "dal", "nu")]
    words = [a + b for a in parts for b in ("", "s", "ing", "ly")]
    sentences = []
    for _ in range(num_sentences):
        drawn = rng.choices(words, k=rng.randint(4, 12))
        drawn[1] = rng.choice(parts).title() + "ton"
        sentences.append(" ".join(drawn).capitalize() + rng.choice((".", ".", ".\n", "?\n")))
    return " ".join(sentences).replace("\n ", "\n")


def small_corpus(folder: Path) -> Corpus:
    """Two texts to train on, one kept out."""
    texts = folder / "texts"
    texts.mkdir(parents=True)
    paths = [texts / f"{name}.txt" for name in ("a", "b", "kept")]
    for seed, path in enumerate(paths):
        path.write_text(small_text(seed), encoding="utf-8")
    return prepare(
        *(paths[:2], paths[2:], folder / "corpus"),
        stdlib=False,
        vocab_size=VOCAB_SIZE,
    )


def small_model(name: str) -> YOCOConfig:
    """The model of this name, narrow, with the small vocabulary."""
    return dataclasses.replace(
        MODELS[name],
        vocab_size=VOCAB_SIZE,
        dim=24,
        hidden_dim=32,
        n_self_layers=2,
        n_cross_layers=2,
        sliding_window=17 if MODELS[name].sliding_window else None,
    )


def small_recipe(name: str, num_steps: int) -> Recipe:
    """A recipe of two stages for a CPU."""
    return Recipe(
        name=name,
        model=small_model(name),
        budget=Budget(steps=num_steps),
        stages=(Stage(share=0.5, length_tokens=256), Stage(share=0.5, length_tokens=512)),
        step_tokens=1024,
        text_tokens=512,
        learning_rate=1e-2,
        warmup_steps=4,
        early_at=0.5,
    )
