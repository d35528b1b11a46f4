"""Conversations as prompts, by the tokenizer's own template."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import jinja2

if TYPE_CHECKING:
    from tasks.tokenizers import Tokenizer

logger = logging.getLogger(__name__)


def render_chat(
    tokenizer: Tokenizer, history: list[dict[str, str]], *, add_generation_prompt: bool
) -> str:
    """The prompt of a conversation.

    A template that refuses a system message gets the conversation without it, which is said.

    Args:
        history: messages with `role` and `content`.
        add_generation_prompt: open the assistant's turn; otherwise the last message is continued.

    Raises:
        ValueError: the tokenizer has no template.
    """
    hf: Any = tokenizer.hf
    if hf is None or not hf.chat_template:
        raise ValueError(
            f"the tokenizer {tokenizer.name} has no chat template: leave out --apply_chat_template"
        )

    def rendered(messages: list[dict[str, str]]) -> str:
        return hf.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )

    try:
        return rendered(history)
    except jinja2.TemplateError as error:
        rest = [message for message in history if message["role"] != "system"]
        if len(rest) == len(history):
            raise
        logger.warning("the chat template refuses a system message (%s): left out", error)
        return rendered(rest)
