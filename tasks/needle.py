"""The needle tasks as lm-eval calls them; the files in `yaml/` name what is here."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tasks import handles, scoring
from tasks.grids import NeedleDoc, NeedleDocs, docs_from_metadata
from tasks.not_measured import NotMeasured
from tasks.own_task import OwnTask
from tasks.settings import require_whole
from tasks.surroundings import Surroundings, surroundings_of

# the most tokens of an answer, as lm-eval calls it, and what its models take as well
_ANSWER_TOKENS = "max_gen_toks"
_ALIASES = ("max_new_tokens", "max_tokens", "max_completion_tokens")
# The prompt of a cell that has none: lm-eval asks the model for every document.
NO_PROMPT = "There is no prompt for this cell."
# prompts that could not be built are named up to this many
_MAX_LINES = 8

_log = logging.getLogger(__name__)


def needle_docs(**metadata: Any) -> dict[str, NeedleDocs]:
    """The splits of a needle task (lm-eval's `custom_dataset`).

    Args:
        metadata: The task file's `metadata`, with --metadata and the model's arguments over it.

    Raises:
        ValueError: If a setting among them is wrong.
    """
    return {"test": docs_from_metadata(metadata)}


def doc_to_text(doc: Mapping[str, Any]) -> str:
    """The prompt, or a handle of it where the run's backend expands handles; without what stands
    around it."""
    return NO_PROMPT if doc["plan"] is None else handles.prompt_text(doc)


def doc_to_target(doc: Mapping[str, Any]) -> str:
    """The asked values, as they would follow the prompt."""
    return " " + ", ".join(_asked_values(doc))


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """The sample's `recall`: the fraction of the asked values that the answer holds.

    It is NaN where there was no prompt, or the model could not answer.
    """
    if doc.get("not_built") or isinstance(results[0], NotMeasured):
        return {"recall": math.nan}
    return {"recall": scoring.recall(_asked_values(doc), results[0])}


def _asked_values(doc: Mapping[str, Any]) -> list[str]:
    return [doc["values"][number] for number in doc["asked"]]


class _StandIn(NeedleDoc):
    """A document whose prompt is any text, to see what lm-eval puts around it."""

    def __init__(self, text: str) -> None:
        super().__init__(plan=None, values=[], asked=[])
        self.text = text


class NeedleTask(OwnTask):
    """A needle task that sees what lm-eval will make of its prompts.

    A chat template, a system instruction and the room for the answer that --gen_kwargs gives are
    part of a prompt's length; so the documents are planned anew once these are known.
    """

    SEED_HINT = ": give the seed in --metadata"

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config=config)
        self._settings = self._docs.settings
        self._file_says = self._generation_kwargs.get(_ANSWER_TOKENS)

    @property
    def _docs(self) -> NeedleDocs:
        return self.dataset[self.config.test_split]

    def doc_to_text(self, doc: Any, doc_to_text: Any = None) -> Any:
        """The prompt of a document, without its surroundings."""
        return doc.text if isinstance(doc, _StandIn) else super().doc_to_text(doc, doc_to_text)

    def fewshot_context(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, doc: Mapping[str, Any], num_fewshot: int, **options: Any
    ) -> str:
        """The whole prompt of a document, with its surroundings."""
        around = doc.get("surroundings", {"before": "", "after": ""})
        return around["before"] + self.doc_to_text(doc) + around["after"]

    def build_all_requests(self, **options: Any) -> None:
        """As lm-eval does it, from documents that are planned for what it puts around them.

        Raises:
            ValueError: If that cannot be counted, the lengths of an answer contradict each other,
                or no prompt of the grid can be built.
        """
        num_tokens = self._answer_tokens()
        self.config.generation_kwargs = {
            **{k: v for k, v in self._generation_kwargs.items() if k not in _ALIASES},
            _ANSWER_TOKENS: num_tokens,
        }
        self.task_docs = self._docs.planned_for(self._surroundings(options), num_tokens)
        self.dataset[self.config.test_split] = self.task_docs
        super().build_all_requests(**options)
        missing: list[Any] = [each.doc for each in self.instances if each.doc.get("not_built")]
        if len(missing) == len(self.instances) and all("not_built" in doc for doc in self._docs):
            raise ValueError(missing[0]["not_built"])
        for doc in missing[:_MAX_LINES]:
            _log.warning("%s: %s", self.name, doc.not_built)
        if len(missing) > _MAX_LINES:
            _log.warning("%s: %d more like these", self.name, len(missing) - _MAX_LINES)

    def _surroundings(self, options: Mapping[str, Any]) -> Surroundings:
        if self.config.gen_prefix:
            raise ValueError(
                f"gen_prefix={self.config.gen_prefix!r} is not for {self.name}, whose prompts end "
                "in the beginning of the answer: leave it out"
            )
        names = ("system_instruction", "apply_chat_template", "chat_template")
        given = {name: options[name] for name in names if name in options}
        lm_eval_s = super().fewshot_context

        def render(text: str, answer: str | None) -> Any:
            return lm_eval_s(_StandIn(text), 0, gen_prefix=answer, **given)

        is_chat = bool(given.get("apply_chat_template") and given.get("chat_template"))
        return surroundings_of(render, is_chat=is_chat)

    @property
    def _generation_kwargs(self) -> dict[str, Any]:
        return dict(self.config.generation_kwargs or {})

    def _answer_tokens(self) -> int:
        """The tokens of an answer that the model may give, and that documents leave room for.

        Whoever changes what the task file says, --gen_kwargs or the metadata, is followed.

        Raises:
            ValueError: If they change it to different numbers.
        """
        kwargs = self._generation_kwargs
        given = {name: kwargs[name] for name in (_ANSWER_TOKENS, *_ALIASES) if name in kwargs}
        for name, value in given.items():
            require_whole(name, value, least=1)
        given["generation_tokens"] = self._settings.generation_tokens
        changed = {name: value for name, value in given.items() if value != self._file_says}
        if len(set(changed.values())) > 1:
            said = " and ".join(f"{name}={value}" for name, value in changed.items())
            raise ValueError(f"{said} of {self.name} are the same thing: give one number")
        return next(iter(changed.values()), self._settings.generation_tokens)
