"""What lm-eval puts around a prompt: a system instruction, the turns of a chat template."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from tasks.pieces import PiecedText, literal
from tasks.plans import write_out
from tasks.prompts import Prompt
from tasks.token_index import TokenIndex
from tasks.tokenizers import Tokenizer

# Stands for the prompt's text while the template is rendered. A template that trims, escapes, cuts
# or rewrites what it is given does not give it back.
_PROMPT = (
    'Placeholder: "It\'s <b>ÉCRIT</b> & {x}",\n\n\t- 1  of [2]…\\n ' + "and so on. " * 400 + "End."
)
_ANSWER = "Placeholder of an answer that is begun"

# How much of the text inside is encoded with what stands around it.
_SEAM_CHARS = 512
_MAX_FITS = 4


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """The text before and after a prompt.

    Attributes:
        is_chat: Whether the answer begins in a turn of its own, which `after` has opened.
    """

    before: str = ""
    after: str = ""
    is_chat: bool = False

    def num_tokens(self, tokenizer: Tokenizer, inside: str) -> tuple[int, int]:
        """How many tokens come before and after those that the text inside has on its own.

        Args:
            tokenizer: Whose tokens count.
            inside: The text; it is literal, and what is around it may name special tokens.

        Raises:
            ValueError: If the surroundings change tokens of the text that are far from them.
        """
        head, tail = inside[:_SEAM_CHARS], inside[-_SEAM_CHARS:]
        headed = PiecedText([(self.before, False), (head, True)])
        tailed = PiecedText([(tail, True), (self.after, False)])
        first = tokenizer.encode(headed, add_special_tokens=False)
        last = tokenizer.encode(tailed, add_special_tokens=False)
        head_ids = tokenizer.encode(literal(head), add_special_tokens=False)
        tail_ids = tokenizer.encode(literal(tail), add_special_tokens=False)
        same = len(head_ids) // 2, len(tail_ids) // 2
        if first[len(first) - same[0] :] != head_ids[len(head_ids) - same[0] :] or (
            last[: same[1]] != tail_ids[: same[1]]
        ):
            raise ValueError(
                f"tokenizer {tokenizer.name!r} makes other tokens of a prompt within a chat "
                "template or after an instruction than of the prompt alone: leave these out"
            )
        whole = tokenizer.encode(headed)
        special = tokenizer.special_counts if len(whole) > len(first) else (0, 0)
        return (
            special[0] + len(first) - len(head_ids),
            len(last) - len(tail_ids) + special[1],
        )


NOTHING = Surroundings()


def fitted(
    surroundings: Surroundings,
    index: TokenIndex,
    build: Callable[[tuple[int, int]], Prompt],
    start: int,
    suffix: str,
) -> Prompt:
    """The prompt whose length is exact with what stands around it.

    Args:
        surroundings: What stands around it.
        index: The haystack and the tokenizer.
        build: Makes a prompt, given how many tokens stand before and after its own.
        start: Where its slice of the haystack begins.
        suffix: What its text ends in.

    Raises:
        ValueError: If there is none.
    """
    around_tokens = surroundings.num_tokens(
        index.tokenizer, index.haystack.slice(start, start + _SEAM_CHARS) + suffix
    )
    for _ in range(_MAX_FITS):
        prompt = build(around_tokens)
        plan = prompt.plan
        text = write_out(index.haystack, plan.start, plan.stop, plan.insertions, plan.suffix)
        found = surroundings.num_tokens(index.tokenizer, text)
        if found == around_tokens:
            return prompt
        # its first or last words join what stands around them in another way
        around_tokens = found
    raise ValueError(
        "no prompt has this length within its chat template or after its instruction: use another "
        "seed or length"
    )


def surroundings_of(render: Callable[[str, str | None], Any], *, is_chat: bool) -> Surroundings:
    """What is around a prompt, found by rendering a text in its place.

    Args:
        render: The whole prompt that lm-eval makes of a prompt's text and of the beginning of its
            answer, None if that is part of the text.
        is_chat: Whether it applies a chat template. The beginning of the answer then goes into the
            assistant's turn.

    Raises:
        ValueError: If the template fails, or does not give its text back as it is.
    """
    if is_chat:
        # as lm-eval does it: the assistant's turn is begun, and continued
        try:
            rendered = _text(render(_PROMPT, _ANSWER))
        except (ValueError, TypeError, TemplateError):
            rendered = ""
        if rendered.count(_PROMPT) == 1 and rendered.endswith(_ANSWER):
            before, _, after = rendered.removesuffix(_ANSWER).partition(_PROMPT)
            return Surroundings(before=before, after=after, is_chat=True)
    try:
        rendered = _text(render(_PROMPT, None))
    except (TypeError, TemplateError) as error:
        raise ValueError(f"the chat template cannot be rendered ({error})") from error
    if rendered.count(_PROMPT) != 1:
        raise ValueError(
            "the chat template changes the text that it is given, so that what the model reads "
            "would not be the prompt that is measured: leave out --apply_chat_template, or use a "
            "template that gives its text back once and as it is"
        )
    before, _, after = rendered.partition(_PROMPT)
    return Surroundings(before=before, after=after, is_chat=is_chat)


def _text(rendered: Any) -> str:
    if not isinstance(rendered, str):
        raise ValueError(
            "this model's server applies the chat template itself, so the tokens of a prompt "
            "cannot be counted: leave out --apply_chat_template"
        )
    return rendered
