"""The text that needles are hidden in, by a short spec: stdlib, files:, hf:, noise, needles."""

from __future__ import annotations

import functools
import glob
import hashlib
import os
import random
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

# About two million tokens: these two are made, not read, and repeat by their nature.
SYNTHETIC_CHARS = 8 << 20

_STDLIB_SKIPPED = {"site-packages", "dist-packages", "test", "tests", "__pycache__"} | {
    "idlelib",
    "lib2to3",
    "turtledemo",
}

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
            "hf:DATASET[:CONFIG][:SPLIT]": a dataset's text column ("hf:D::test" leaves the config
            to its default);
            "noise": one paragraph, repeated;
            "needles[:SEED]": nothing but needle sentences, whose keys no task asks for.

    Raises:
        ValueError: If the spec is unknown, names nothing, or the text is empty.
    """
    kind, _, argument = spec.partition(":")
    match kind:
        case "stdlib" if not argument:
            return _cached(spec, ())
        case "files" if argument:
            return _cached(spec, _fingerprints(_glob_paths(argument)))
        case "hf" if argument:
            return _cached(spec, ())
        case "noise" if not argument:
            return _cached(spec, ())
        case "needles" if argument.isdecimal() or not argument:
            return _cached(spec, ())
    raise ValueError(
        f"haystack {spec!r} is unknown: use stdlib, files:GLOB, hf:DATASET[:CONFIG][:SPLIT], "
        "noise or needles[:SEED]"
    )


@functools.lru_cache(maxsize=4)
def _cached(spec: str, files: tuple[tuple[str, int, int], ...]) -> Haystack:
    kind, _, argument = spec.partition(":")
    match kind:
        case "stdlib":
            text = _join(_readable_texts(_stdlib_paths()))
        case "files":
            text = _join(_text(Path(path)) for path, _, _ in files)
        case "hf":
            text = _join(_dataset_texts(argument))
        case "noise":
            text = _NOISE * (SYNTHETIC_CHARS // len(_NOISE) + 1)
        case _:
            text = _distractors(int(argument or 0))
    if not text.strip():
        raise ValueError(f"haystack {spec!r} holds no text: name one that does")
    return Haystack(spec, text, hashlib.sha256(text.encode()).hexdigest())


def _fingerprints(paths: Iterable[Path]) -> tuple[tuple[str, int, int], ...]:
    stats = ((path, path.stat()) for path in paths)
    return tuple((str(path.absolute()), stat.st_mtime_ns, stat.st_size) for path, stat in stats)


def _join(texts: Iterable[str]) -> str:
    return "".join(text if text.endswith("\n") else text + "\n" for text in texts if text)


def _stdlib_paths() -> list[Path]:
    root = Path(sysconfig.get_path("stdlib"))
    found: list[Path] = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if name not in _STDLIB_SKIPPED]
        found += [Path(folder, name) for name in names if name.endswith(".py")]
    # what a build or a distribution wrote for this very machine
    kept = (path for path in found if not path.name.startswith(("_sysconfigdata", "sitecustom")))
    return sorted(kept, key=lambda path: path.relative_to(root).as_posix())


def _glob_paths(pattern: str) -> list[Path]:
    paths = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
    paths = [path for path in paths if path.is_file()]
    if not paths:
        raise ValueError(
            f"haystack 'files:{pattern}' matches no file (looked in {Path.cwd()}): "
            "correct the pattern or start from another folder"
        )
    return paths


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"haystack file {path} is not UTF-8 at byte {error.start}: convert it or leave it out"
        ) from error


def _readable_texts(paths: Iterable[Path]) -> Iterable[str]:
    for path in paths:
        try:
            yield path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def _dataset_texts(argument: str) -> list[str]:
    from datasets import Value, load_dataset

    name, config, split = [*argument.split(":"), "", ""][:3]
    rows = load_dataset(name, config or None, split=split or "train")
    columns = [
        column
        for column, feature in rows.features.items()
        if isinstance(feature, Value) and feature.dtype in ("string", "large_string")
    ]
    if not columns:
        raise ValueError(
            f"haystack 'hf:{argument}' has no column of strings, only {sorted(rows.features)}: "
            "name another dataset"
        )
    return list(rows["text" if "text" in columns else columns[0]])


def _distractors(seed: int) -> str:
    rng = random.Random(seed)
    lines: list[str] = []
    num_chars = 0
    while num_chars < SYNTHETIC_CHARS:
        drawn = ((rng.choice(_DISTRACTOR_KEYS), rng.randint(1, 50_000)) for _ in range(8))
        lines.append(" ".join(_DISTRACTOR.format(key, value) for key, value in drawn) + "\n")
        num_chars += len(lines[-1])
    return "".join(lines)
