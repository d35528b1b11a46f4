"""The text that prompts are made of, by a short spec: stdlib, files:, hf:, a folder, noise, ..."""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tasks.shown import one_line, shown
from tasks.texts import (
    MAX_TEXT_BYTES,
    dataset_texts,
    file_paths,
    is_folder,
    read_text,
    stdlib_texts,
    texts_of,
)

# About two million tokens: these two are made, not read, and repeat by their nature.
SYNTHETIC_CHARS = 8 << 20

_NOISE = (
    "The river runs past the mill. The road follows the river. The wind moves the barley, "
    "and the light goes down behind the hill. It was like this yesterday, and it will be "
    "like this again.\n"
)

_DISTRACTOR = "The special magic {} number is {}."

# Nouns, so that no distractor shares a key with a real needle, whose keys are cities.
_DISTRACTOR_KEYS = tuple(
    """
    Acorn Almond Anchor Anvil Apron Arrow Badger Barrel Basket Beacon Bellows Birch Bobbin Bonnet
    Bramble Bridle Bucket Candle Canoe Cedar Chisel Cinder Clover Cobalt Copper Cricket Crocus
    Dagger Ember Falcon Feather Fennel Ferret Fiddle Flannel Flint Gander Garnet Ginger Goblet
    Gravel Hammer Harbour Hazel Heron Hinge Ivory Jasper Juniper Kettle Lantern Larch Lentil
    Linen Magnet Mallet Maple Marble Meadow Mitten Mortar Mustard Needle Nettle Nutmeg Oyster
    Paddle Parsley Pebble Pepper Pewter Pillow Plum Poppy Quartz Quill Raven Ribbon Saddle Saffron
    Salmon Sandal Satin Shovel Sparrow Spindle Sulphur Teapot Thimble Thistle Timber Tinder Tulip
    Turnip Velvet Violin Walnut Weasel Willow Wren
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Haystack:
    """A text to hide needles in, read cyclically: after its last character comes its first."""

    name: str = field(compare=False)
    text: str = field(compare=False, repr=False)
    sha256: str

    def slice(self, start: int, stop: int) -> str:
        """The characters from start to stop, of the text repeated in both directions."""
        length = len(self.text)
        cycle, first = divmod(start, length)
        last = stop - cycle * length
        if last <= length:
            return self.text[first:last]
        num_whole, rest = divmod(last, length)
        return self.text[first:] + self.text * (num_whole - 1) + self.text[:rest]


def load_haystack(spec: str) -> Haystack:
    """The haystack that a spec names.

    Args:
        spec: One of
            "stdlib": the sources of this Python's standard library;
            "files:GLOB": text files in UTF-8, in sorted order, `**` for any folders;
            "FOLDER" or "files:FOLDER": all files of a folder that are text in UTF-8, those of its
            folders too, but no hidden ones;
            "hf:DATASET[:CONFIG][:SPLIT][#COLUMN]": a dataset's column of text ("hf:D::test" leaves
            the config to its default), of the hub or in a folder (`tasks.texts.dataset_texts`);
            "noise": one paragraph, repeated;
            "needles[:SEED]": nothing but needle sentences, whose keys no task asks for;
            "file:PATH": one file in UTF-8, exactly as it is;
            "row:N:DATASET[:CONFIG][:SPLIT][#COLUMN]": one row of a dataset, exactly as it is.

    Raises:
        ValueError: If the spec is unknown, names nothing, or the text is empty.
    """
    kind, _, argument = spec.partition(":")
    match kind:
        case "stdlib" if not argument:
            return _cached(spec, ())
        case "files" if argument:
            return _cached(spec, _fingerprints(file_paths(argument)))
        case "file" if argument:
            return _cached(spec, _fingerprints([Path(argument)]))
        case "hf" if argument:
            return _cached(spec, ())
        case "row" if _is_number(argument.partition(":")[0]):
            return _cached(spec, ())
        case "noise" if not argument:
            return _cached(spec, ())
        case "needles" if _is_number(argument) or not argument:
            return _cached(spec, ())
        case _ if is_folder(spec):
            return _cached(f"files:{spec}", _fingerprints(file_paths(spec)))
    raise ValueError(
        f"haystack {shown(spec, 200)} is unknown: use stdlib, files:GLOB, FOLDER, "
        "hf:DATASET[:CONFIG][:SPLIT][#COLUMN], noise or needles[:SEED]"
    )


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) < 19


@functools.lru_cache(maxsize=4)
def _cached(spec: str, files: tuple[tuple[str, int, int], ...]) -> Haystack:
    kind, _, argument = spec.partition(":")
    match kind:
        case "stdlib":
            text = _join(stdlib_texts())
        case "files":
            paths = [Path(path) for path, _, _ in files]
            text = _join(text for _, text in texts_of(paths, strict=not is_folder(argument)))
        case "file":
            text = read_text(Path(argument))
        case "hf":
            text = _join(dataset_texts(argument))
        case "row":
            text = _row(argument)
        case "noise":
            text = _NOISE * (SYNTHETIC_CHARS // len(_NOISE) + 1)
        case _:
            text = _distractors(int(argument or 0))
    if not text.strip():
        raise ValueError(f"haystack {shown(spec, 200)} holds no text: name one that does")
    return Haystack(spec, text, hashlib.sha256(text.encode()).hexdigest())


def _fingerprints(paths: Iterable[Path]) -> tuple[tuple[str, int, int], ...]:
    stats = ((path, path.stat()) for path in paths)
    return tuple((str(path.absolute()), stat.st_mtime_ns, stat.st_size) for path, stat in stats)


def _join(texts: Iterable[str | None]) -> str:
    lines, num_chars = [], 0
    for text in texts:
        if text:
            lines.append(text if text.endswith("\n") else text + "\n")
            num_chars += len(lines[-1])
        if num_chars > MAX_TEXT_BYTES:
            raise ValueError(
                f"the haystack has more than {MAX_TEXT_BYTES:,} characters: name less text"
            )
    return "".join(lines)


def _row(argument: str) -> str:
    number, _, dataset = argument.partition(":")
    texts = dataset_texts(dataset)
    if int(number) >= len(texts):
        raise ValueError(
            f"dataset '{one_line(dataset)}' has no row {int(number):,}: "
            f"its {len(texts):,} rows count from 0"
        )
    return texts[int(number)] or ""


def _distractors(seed: int) -> str:
    rng = random.Random(seed)
    lines: list[str] = []
    num_chars = 0
    while num_chars < SYNTHETIC_CHARS:
        drawn = ((rng.choice(_DISTRACTOR_KEYS), rng.randint(1, 50_000)) for _ in range(8))
        lines.append(" ".join(_DISTRACTOR.format(key, value) for key, value in drawn) + "\n")
        num_chars += len(lines[-1])
    return "".join(lines)
