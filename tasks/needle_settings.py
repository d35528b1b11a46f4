"""What a grid of needle prompts consists of, and its cells."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from tasks.lengths import MAX_LENGTH_TOKENS, DepthSpacing, parse_depths, parse_lengths
from tasks.settings import given_settings, require_text, require_whole

MAX_ASKED_NEEDLES = 8
# beyond any grid that will be run: a misprint ends in a message
MAX_NEEDLES = 10_000
MAX_PROMPTS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class NeedleSettings:
    """What a grid of needle prompts consists of.

    Attributes:
        lengths: Context lengths in tokens: BOS, haystack, needles, question and answer.
        depths: Where the asked needle lies, 0..1.
        depth_spacing: How depths given as a number were spaced.
        trials: Prompts of every length and depth, each with its own haystack and needles.
        needles: Needles in a prompt, the first at the cell's depth, the others anywhere; 0 is a
            control, which asks for a needle that is not there.
        ask: Whether the first needle is asked for ("one") or every one ("all").
        haystack: What `load_haystack` reads.
        seed: What every random choice derives from.
        repeat: Whether a haystack that is too short may begin again.
        generation_tokens: The part of a length that is left for the answer.
        tokenizer: What `load_tokenizer` reads; None takes the model's.
    """

    lengths: tuple[int, ...] = parse_lengths("4K..128K")
    depths: tuple[float, ...] = parse_depths(11)
    depth_spacing: DepthSpacing = "linear"
    trials: int = 1
    needles: int = 1
    ask: Literal["one", "all"] = "one"
    haystack: str = "stdlib"
    seed: int = 0
    repeat: bool = True
    generation_tokens: int = 20
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        for name, least, most in (
            ("trials", 1, MAX_PROMPTS),
            ("needles", 0, MAX_NEEDLES),
            ("generation_tokens", 1, MAX_LENGTH_TOKENS),
            ("seed", 0, 2**64),
        ):
            require_whole(name, getattr(self, name), least=least, most=most)
        num_prompts = len(self.lengths) * len(self.depths) * self.trials
        require_whole("lengths x depths x trials", num_prompts, least=1, most=MAX_PROMPTS)
        if self.ask not in ("one", "all"):
            raise ValueError(f"ask={self.ask!r} is unknown: use 'one' or 'all'")
        if self.ask == "all" and self.needles > MAX_ASKED_NEEDLES:
            raise ValueError(
                f"needles={self.needles} with ask='all' is too many: "
                f"ask for at most {MAX_ASKED_NEEDLES}"
            )
        require_text("haystack", self.haystack)
        if not isinstance(self.repeat, bool):
            raise ValueError(f"repeat={self.repeat!r} is neither true nor false")

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> NeedleSettings:
        """The settings within lm-eval's metadata, which also holds the model's arguments.

        Raises:
            ValueError: If a value cannot be read, or a key is a setting's name misspelt.
        """
        given = given_settings(metadata, [each.name for each in fields(cls)])
        if "lengths" in given:
            given["lengths"] = parse_lengths(given["lengths"])
        spacing = given.get("depth_spacing", cls.depth_spacing)
        given["depths"] = parse_depths(given.get("depths", len(cls.depths)), spacing)
        return cls(**given)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One prompt's place in a grid."""

    length_tokens: int
    depth_frac: float
    trial: int


def cells(settings: NeedleSettings) -> list[Cell]:
    """All cells, the shortest lengths first."""
    grid = itertools.product(settings.lengths, settings.depths, range(settings.trials))
    return [
        Cell(length_tokens=length, depth_frac=depth, trial=trial) for length, depth, trial in grid
    ]
