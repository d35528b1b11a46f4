"""From the cells of a grid to their sample documents."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tasks.coverage import require_covered
from tasks.haystacks import Haystack, load_haystack
from tasks.needle_settings import Cell, NeedleSettings, cells
from tasks.needles import MAGIC_NUMBER, draw_needles
from tasks.prompts import (
    Measure,
    Prompt,
    agrees_with_reference,
    build_prompt,
    measure,
    measure_reference,
)
from tasks.settings import make_room, max_length_of, pretrained_of, tokenizer_of
from tasks.shown import listed
from tasks.starts import generator, trial_starts
from tasks.surroundings import NOTHING, Surroundings, fitted
from tasks.token_index import TokenIndex, Unsynchronised, token_index
from tasks.tokenizers import Tokenizer

# So long that no window, however wide, takes the whole of it.
_PROBE_TOKENS = 16_384
_PROBE_DEPTHS = (0.0, 0.35, 0.65)

_log = logging.getLogger(__name__)


class NeedleDoc(dict[str, Any]):
    """A sample document, with the `pretrained` of its run next to the fields that are logged.

    It is not one of them, so that a document is the same for every model with the same tokenizer.
    A document of a prompt that cannot be built says why, as `not_built`; it has no score.
    """

    pretrained: str | None = None
    allows_not_measured = True

    @property
    def not_built(self) -> str | None:
        """Which prompt could not be built, and why, in one line; None if this is one."""
        if "not_built" not in self:
            return None
        return (
            f"no prompt of {self['length_tokens']:,} tokens at depth {self['depth_frac']:g}, "
            f"trial {self['trial']}: {self['not_built']}"
        )


class NeedleDocs(Sequence[NeedleDoc]):
    """The sample documents of a grid, each built when it is first asked for.

    It stands in for the `datasets.Dataset` that lm-eval expects of a split.
    """

    def __init__(
        self,
        settings: NeedleSettings,
        tokenizer: Tokenizer,
        *,
        pretrained: str | None = None,
        surroundings: Surroundings = NOTHING,
    ) -> None:
        self.settings, self.surroundings = settings, surroundings
        self._tokenizer, self._pretrained = tokenizer, pretrained
        self._haystack = load_haystack(settings.haystack)
        self._cells = cells(settings)
        self._docs: dict[int, NeedleDoc] = {}

    def planned_for(self, surroundings: Surroundings, generation_tokens: int) -> NeedleDocs:
        """The documents of the same grid with this around each prompt, and so long an answer."""
        settings = replace(self.settings, generation_tokens=generation_tokens)
        if (settings, surroundings) == (self.settings, self.surroundings):
            return self
        return NeedleDocs(
            settings, self._tokenizer, pretrained=self._pretrained, surroundings=surroundings
        )

    @property
    def features(self) -> dict[str, Any]:
        """The documents' fields."""
        return dict.fromkeys(self[0])

    def __len__(self) -> int:
        return len(self._cells)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        number = range(len(self))[number]
        if number not in self._docs:
            doc = NeedleDoc(self._built(self._cells[number]))
            doc.pretrained = self._pretrained
            self._docs[number] = doc
        return self._docs[number]

    def _built(self, cell: Cell) -> dict[str, Any]:
        # what is wrong with the tokenizer is wrong for all cells
        _counting(self._haystack, self._tokenizer)
        settings, haystack, tokenizer = self.settings, self._haystack, self._tokenizer
        try:
            return build_doc(settings, cell, haystack, tokenizer, self.surroundings)
        except ValueError as error:
            return _doc_not_built(settings, cell, haystack, tokenizer, str(error))

    def __iter__(self) -> Iterator[NeedleDoc]:
        return (self[number] for number in range(len(self)))


def docs_from_metadata(metadata: Mapping[str, Any]) -> NeedleDocs:
    """The documents that a run's metadata describe.

    The tokenizer is that of the run's backend if it has announced itself, else what the metadata
    name as `tokenizer` or `pretrained`.

    Raises:
        ValueError: If a setting is wrong, there is no tokenizer, a length is beyond the model, or
            nobody says what its limit is.
    """
    settings = NeedleSettings.from_metadata(metadata)
    limit = max_length_of(metadata)
    too_long = [length for length in settings.lengths if limit and length > limit]
    if too_long:
        raise ValueError(
            f"lengths {listed(too_long)} are beyond the model's max_length of {limit} "
            "tokens: drop them or raise max_length"
        )
    make_room(metadata, max(settings.lengths))
    return NeedleDocs(settings, tokenizer_of(metadata), pretrained=pretrained_of(metadata))


def build_doc(
    settings: NeedleSettings,
    cell: Cell,
    haystack: Haystack,
    tokenizer: Tokenizer,
    surroundings: Surroundings = NOTHING,
) -> dict[str, Any]:
    """The sample document of one cell; it depends on no other cell.

    Args:
        surroundings: What lm-eval puts around the prompt; its tokens are part of the length.

    Raises:
        ValueError: If the length is too short for the fixed parts, or the haystack too short.
    """
    index, measure = _counting(haystack, tokenizer)
    try:
        doc = _build_doc(settings, cell, index, measure, surroundings)
    except Unsynchronised as error:
        _log.warning("no local tokens in %s: this prompt is encoded as a whole (slow)", error)
        index = token_index(haystack, tokenizer, whole=True)
        doc = _build_doc(settings, cell, index, measure_reference, surroundings)
    # the index may be that of an equal tokenizer from elsewhere
    return {**doc, "tokenizer": tokenizer.name}


def _build_doc(
    settings: NeedleSettings,
    cell: Cell,
    index: TokenIndex,
    measure: Measure,
    surroundings: Surroundings,
) -> dict[str, Any]:
    rng = generator(
        settings.seed,
        settings.needles,
        settings.ask,
        cell.length_tokens,
        f"{cell.depth_frac:.6f}",
        cell.trial,
    )
    prompt_tokens = cell.length_tokens - settings.generation_tokens
    # One start for all lengths and depths of a trial, so that a backend can share what is the same.
    num_trials = max(settings.trials, cell.trial + 1)
    start = trial_starts(index.haystack, settings.seed, num_trials)[cell.trial]
    within = index.haystack.slice(start, index.advance(start, max(prompt_tokens, 0)))
    needles = draw_needles(rng, max(settings.needles, 1), within)
    hidden = needles[: settings.needles]
    asked = [0] if settings.ask == "one" else list(range(len(needles)))
    depths_frac = [cell.depth_frac, *(rng.random() for _ in needles[1:])][: len(hidden)]
    keys_asked = [needles[number].key for number in asked]
    question = MAGIC_NUMBER.question(keys_asked)
    if surroundings.is_chat:
        # no white space at either end, since templates cut it off
        question, begun = MAGIC_NUMBER.turns(keys_asked)
        surroundings = replace(surroundings, after=surroundings.after + begun)
        start = _first_visible(index.haystack, start)

    def built(around_tokens: tuple[int, int] | None) -> Prompt:
        return build_prompt(
            index,
            haystack=settings.haystack,
            sentences=[needle.sentence() for needle in hidden],
            depths_frac=depths_frac,
            question=question,
            prompt_tokens=prompt_tokens,
            start=start,
            repeat=settings.repeat,
            measure=measure,
            around_tokens=around_tokens,
            trimmed=surroundings.is_chat,
        )

    around: dict[str, Any] = {}
    if surroundings == NOTHING:
        prompt = built(None)
    else:
        prompt = fitted(surroundings, index, built, start, question)
        around["surroundings"] = {"before": surroundings.before, "after": surroundings.after}
    return {
        "length_tokens": cell.length_tokens,
        "prompt_tokens": prompt.num_tokens,
        "generation_tokens": settings.generation_tokens,
        "depth_frac": cell.depth_frac,
        "depth_frac_achieved": prompt.depths_frac_achieved[0] if hidden else None,
        "trial": cell.trial,
        "num_needles": settings.needles,
        "ask": settings.ask,
        "keys": [needle.key for needle in needles],
        "values": [needle.value for needle in needles],
        "asked": asked,
        "needle_offsets_tokens": list(prompt.needle_offsets_tokens),
        "haystack": settings.haystack,
        "haystack_sha256": prompt.plan.haystack_sha256,
        "haystack_repeats": prompt.haystack_repeats,
        "seed": settings.seed,
        "tokenizer": index.tokenizer.name,
        "tokenizer_sha256": index.tokenizer.hash,
        "prompt_sha256": prompt.plan.prompt_sha256,
        "plan": prompt.plan.to_dict(),
        **around,
    }


def _doc_not_built(
    settings: NeedleSettings, cell: Cell, haystack: Haystack, tokenizer: Tokenizer, reason: str
) -> dict[str, Any]:
    """The document of a cell without a prompt: its place in the grid, and the reason."""
    return {
        "length_tokens": cell.length_tokens,
        "prompt_tokens": None,
        "generation_tokens": settings.generation_tokens,
        "depth_frac": cell.depth_frac,
        "depth_frac_achieved": None,
        "trial": cell.trial,
        "num_needles": settings.needles,
        "ask": settings.ask,
        "keys": [],
        "values": [],
        "asked": [],
        "needle_offsets_tokens": [],
        "haystack": settings.haystack,
        "haystack_sha256": haystack.sha256,
        "haystack_repeats": None,
        "seed": settings.seed,
        "tokenizer": tokenizer.name,
        "tokenizer_sha256": tokenizer.hash,
        "prompt_sha256": None,
        "plan": None,
        "not_built": reason,
    }


@functools.lru_cache(maxsize=2)
def _counting(haystack: Haystack, tokenizer: Tokenizer) -> tuple[TokenIndex, Measure]:
    """How this tokenizer's tokens are counted: by windows if a probe proves that exact.

    The probe is the same for every grid, so that no prompt depends on its grid.
    """
    require_covered(haystack.text, f"haystack {haystack.name!r}", tokenizer)
    index = token_index(haystack, tokenizer)
    needles = draw_needles(generator("probe"), len(_PROBE_DEPTHS), "")
    try:
        probe = build_prompt(
            index,
            haystack=haystack.name,
            sentences=[needle.sentence() for needle in needles],
            depths_frac=_PROBE_DEPTHS,
            question=MAGIC_NUMBER.question([needles[0].key]),
            prompt_tokens=_PROBE_TOKENS,
            start=0,
        )
        if agrees_with_reference(index, probe):
            return index, measure
        reason = "tokens counted in parts are not those of the whole"
    except Unsynchronised as error:
        reason = f"no local tokens in {error}"
    except ValueError as error:
        # that one prompt cannot be built says nothing of the others
        reason = f"tokens could not be counted in parts ({error})"
    _log.warning(
        "tokenizer %s: %s; every prompt is encoded as a whole (slow)", tokenizer.name, reason
    )
    return token_index(haystack, tokenizer, whole=True), measure_reference


def _first_visible(haystack: Haystack, start: int) -> int:
    """The same place, or where the next character that is no white space is."""
    while haystack.slice(start, start + 1).isspace():
        start += 1
    return start % len(haystack.text)
