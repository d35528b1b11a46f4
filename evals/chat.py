"""Conversations as prompts, by the tokenizer's own template.

A template is a program that came with a checkpoint. transformers runs it in Jinja's sandbox; that
it ends, and that its failure is one line, is seen to here.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import jinja2

if TYPE_CHECKING:
    from tasks.tokenizers import Tokenizer

# of processor time; a conversation takes a template a thousandth of that
MAX_RENDERING_S = 3.0

# what a template may raise besides Jinja's own errors
_FAILURES = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError)

logger = logging.getLogger(__name__)


class _TooLong(Exception):
    """A template has taken all of its time."""


def render_chat(
    tokenizer: Tokenizer,
    history: list[dict[str, str]],
    *,
    add_generation_prompt: bool,
    name: str | None = None,
) -> str:
    """The prompt of a conversation.

    A template that refuses a system message gets the conversation without it, which is said.

    Args:
        history: messages with `role` and `content`.
        add_generation_prompt: open the assistant's turn; otherwise the last message is continued.
        name: of the template, where the tokenizer has several.

    Raises:
        ValueError: the tokenizer has no template, or it fails or does not end.
    """
    hf: Any = tokenizer.hf
    if hf is None or not hf.chat_template:
        raise ValueError(
            f"the tokenizer {tokenizer.name} has no chat template: leave out --apply_chat_template"
        )
    named = name if isinstance(hf.chat_template, dict) else None

    def rendered(messages: list[dict[str, str]]) -> str:
        with _limited(MAX_RENDERING_S):
            return hf.apply_chat_template(
                messages,
                chat_template=named,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )

    try:
        _refuse_powers(hf.get_chat_template(named))
        try:
            return rendered(history)
        except jinja2.TemplateError as error:
            rest = [message for message in history if message["role"] != "system"]
            if len(rest) == len(history):
                raise
            logger.warning("the chat template refuses a system message (%s): left out", error)
            return rendered(rest)
    except _TooLong:
        reason = f"it does not end within {MAX_RENDERING_S:g} s"
    except (jinja2.TemplateError, *_FAILURES) as error:
        reason = f"{type(error).__name__}: {error}"
    raise ValueError(
        f"the chat template of {tokenizer.name} cannot be rendered ({reason}): mend it, or leave "
        "out --apply_chat_template"
    )


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raises _TooLong in Python code that runs longer, in any thread."""
    end_s = time.thread_time() + seconds

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if time.thread_time() > end_s:
            raise _TooLong
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def _refuse_powers(template: str) -> None:
    """Raises TemplateError for `**`: one power can take a day, and nothing interrupts it."""
    tokens = jinja2.Environment().lex(template)
    if any((kind, text) == ("operator", "**") for _, kind, text in tokens):
        raise jinja2.TemplateError("it calculates powers")
