"""What stands around a text: decided here and nowhere else.

Three sources speak of it: the tokenizer's own rule (its post-processor), its tokenizer_config.json
and the ids in the checkpoint's config.json and generation_config.json. They count in this order:

1. Before a text stands what the rule puts there, a repeated BOS once. If the rule puts nothing
   there, BOS does if tokenizer_config.json says `add_bos_token: true`, or says neither which token
   BOS is nor whether it is added (or is not there at all, a tokenizer.json alone).
2. BOS and EOS are those of tokenizer_config.json. Where it names none, the checkpoint's ids count,
   and then the usual names.
3. After a text stands nothing, whatever the rule says.
4. An answer ends at EOS and at each of the checkpoint's ends.

Where a source that does not count says otherwise, that is logged once.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tasks.tokenizer_files import read_json

_BOS_NAMES = ("<s>", "<|begin_of_text|>", "<bos>")
_EOS_NAMES = ("</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>")
_PAD_NAMES = ("<pad>",)
# names that mean one thing only: an id of another role with such a name is a default that nobody
# set (fla's configs say 1 and 2 for every tokenizer)
_ONLY_BOS = {"<s>", "<bos>", "<|begin_of_text|>"}
_ONLY_EOS = {"</s>", "<eos>", "<|end_of_text|>"}
_NEITHER = {"<pad>", "<unk>", "[PAD]", "[UNK]"}
# what a rule puts around a text is seen at the first that has tokens
_PROBES = ("The 7 words of x = 1.\n", "a", "\u8001\u4eba", "1")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CheckpointIds:
    """Special ids as a checkpoint's own files name them.

    Attributes:
        bos: Beginning of a text, None if they name none.
        ends: The ids that end an answer.
    """

    bos: int | None = None
    ends: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """What was decided.

    Attributes:
        before, after: Ids that stand before and after every text.
        bos, eos, pad: Ids, None if there is none.
        ends: Ids that end an answer, EOS among them.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    bos: int | None
    eos: int | None
    pad: int | None
    ends: tuple[int, ...]


class Vocabulary(Protocol):
    """What is asked of a tokenizer's vocabulary."""

    def id_of(self, token: str) -> int | None:
        """The token's id, None if there is no such token."""
        ...

    def token_of(self, token_id: int) -> str | None:
        """The token of an id, None if there is no such id."""
        ...

    def is_special(self, token_id: int) -> bool:
        """Whether the token is marked as special."""
        ...


def checkpoint_ids(folder: Path) -> CheckpointIds:
    """The special ids in a checkpoint folder's config.json and generation_config.json.

    Raises:
        ValueError: If one of them is no JSON object, or an id in it is no whole number.
    """
    bos: list[int] = []
    ends: list[int] = []
    for name in ("generation_config.json", "config.json"):
        if (folder / name).exists():
            fields = read_json(folder / name)
            bos += ids_of(folder / name, "bos_token_id", fields.get("bos_token_id"))
            ends += ids_of(folder / name, "eos_token_id", fields.get("eos_token_id"))
    return CheckpointIds(bos=bos[-1] if bos else None, ends=tuple(dict.fromkeys(ends)))


def ids_of(file: Path, name: str, value: Any) -> list[int]:
    """The ids of a value that may be one id, a list of ids or None.

    Raises:
        ValueError: If it is something else.
    """
    values = value if isinstance(value, list) else [] if value is None else [value]
    for each in values:
        if isinstance(each, bool) or not isinstance(each, int) or not 0 <= each < 1 << 31:
            raise ValueError(
                f"{file}: {name} is {str(value)[:80]}: it must be an id, a list of ids or null"
            )
    return values


def rule_of(
    name: str, encode: Callable[[str, bool], list[int]]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What a tokenizer's own rule puts before and after every text.

    Args:
        name: The tokenizer's, for messages.
        encode: The ids of a text, and whether the rule is followed.

    Raises:
        ValueError: If it makes no token of any text, or puts something in a text's midst.
    """
    for probe in _PROBES:
        bare, whole = encode(probe, False), encode(probe, True)
        if not bare:
            continue
        for start in range(len(whole) - len(bare) + 1):
            if whole[start : start + len(bare)] == bare:
                return tuple(whole[:start]), tuple(whole[start + len(bare) :])
        raise ValueError(
            f"tokenizer {name!r} changes the text's own tokens when it adds special ones: "
            "use a tokenizer that only puts them before or after"
        )
    raise ValueError(
        f"tokenizer {name!r} makes no token of any text: use the tokenizer that the model was "
        "trained with"
    )


def decide(
    name: str,
    *,
    vocabulary: Vocabulary,
    rule: tuple[tuple[int, ...], tuple[int, ...]],
    config: Mapping[str, Any] | None,
    named: Mapping[str, int | None],
    checkpoint: CheckpointIds,
) -> SpecialTokens:
    """What stands around every text of a tokenizer, as the head of this module says.

    Args:
        name: The tokenizer's, for messages.
        vocabulary: Its tokens.
        rule: What its own rule puts before and after a text.
        config: Its tokenizer_config.json, None if it has none.
        named: The ids that its files name as "bos", "eos" and "pad".
        checkpoint: The ids of the checkpoint that it is used with.

    """
    before, after = rule
    bos = named["bos"]
    asks_others = bos is None and (config is None or "bos_token" not in config)
    is_silent = asks_others and (config is None or "add_bos_token" not in config)
    if len(set(before)) == 1:
        if bos is not None and bos != before[0]:
            _say(
                f"tokenizer {name!r} names {_shown(vocabulary, bos)} as BOS, but its own rule "
                f"begins a text with {_shown(vocabulary, before[0])}: the rule counts"
            )
        bos = before[0]
    elif asks_others:
        bos = _usual(vocabulary, _BOS_NAMES if config is None else (), _ONLY_EOS, checkpoint.bos)
    if bos is not None:
        before = tuple(
            token for n, token in enumerate(before) if token != bos or bos not in before[:n]
        )
    if not before and bos is not None and (config or {}).get("add_bos_token", is_silent):
        before = (bos,)
    if before and config is not None and config.get("add_bos_token") is False:
        _say(f"tokenizer {name!r} says add_bos_token false, but its own rule adds it: kept so")
    if checkpoint.bos is not None and before and checkpoint.bos not in before:
        _say(
            f"the checkpoint names BOS {_shown(vocabulary, checkpoint.bos)}, but tokenizer "
            f"{name!r} begins a text with {_shown(vocabulary, before[0])}: the tokenizer's counts"
        )
    eos = named["eos"]
    if eos is None:
        first = checkpoint.ends[0] if checkpoint.ends else None
        eos = _usual(vocabulary, _EOS_NAMES if config is None else (), _ONLY_BOS, first)
    pad = named["pad"]
    if pad is None and config is None:
        pad = _usual(vocabulary, _PAD_NAMES, set(), None)
    ends: list[int] = [] if eos is None else [eos]
    ends += [end for end in checkpoint.ends if end not in ends]
    for end in ends:
        if vocabulary.token_of(end) is not None and not vocabulary.is_special(end):
            _say(
                f"answers end at {_shown(vocabulary, end)}, as the checkpoint or the tokenizer "
                f"says, which tokenizer {name!r} has as ordinary text"
            )
    return SpecialTokens(before=before, after=after, bos=bos, eos=eos, pad=pad, ends=tuple(ends))


def without_end(name: str, special: SpecialTokens) -> SpecialTokens:
    """The same with nothing after a text, which is said once."""
    if special.after:
        _say(
            f"tokenizer {name!r} ends every text with special tokens ({len(special.after)}): they "
            "are left out, because the answer follows the text"
        )
    return SpecialTokens(**{**vars(special), "after": ()})


def _usual(
    vocabulary: Vocabulary, names: Iterable[str], other_role: set[str], own: int | None
) -> int | None:
    """The checkpoint's id, or that of a usual name where the checkpoint's is none for this."""
    ids = [found for each in names if (found := vocabulary.id_of(each)) is not None]
    usual = next((each for each in ids if vocabulary.is_special(each)), None)
    token = None if own is None else vocabulary.token_of(own)
    if token is None or token in other_role | _NEITHER:
        return usual if usual is not None else next(iter(ids), None)
    if own is not None and (vocabulary.is_special(own) or usual is None):
        return own
    return usual


def _shown(vocabulary: Vocabulary, token_id: int) -> str:
    return f"{token_id} ({vocabulary.token_of(token_id)!a})"


@functools.cache
def _say(message: str) -> None:
    _log.warning("%s", message)
