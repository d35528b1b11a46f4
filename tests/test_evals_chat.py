"""Chat templates of others: rendered, or refused in one line within seconds."""

from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
import tasks_samples
from transformers import PreTrainedTokenizerFast

from evals import chat

HISTORY = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


def rendered(template: Any, history: Any = HISTORY, **options: Any) -> str:
    hf = PreTrainedTokenizerFast(tokenizer_object=tasks_samples.definition("digits"))
    hf.chat_template = template
    tokenizer: Any = SimpleNamespace(name="x", hf=hf)
    return chat.render_chat(tokenizer, history, **{"add_generation_prompt": True, **options})


def test_one_of_several_templates() -> None:
    templates = {"default": "{{ messages[-1].content }}!", "rag": "{{ messages[-1].content }}?"}
    assert rendered(templates) == "U!"
    assert rendered(templates, name="rag") == "U?"
    assert rendered("{{ messages[-1].content }}.", name="rag") == "U."


def test_an_answer_that_is_begun_is_continued() -> None:
    template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    history = [*HISTORY, {"role": "assistant", "content": "It is"}]
    assert rendered(template + "end", history, add_generation_prompt=False) == (
        "[system]S[user]U[assistant]It is"
    )


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (LOOP, "does not end within 0.2 s"),
        (
            "{% macro f(n) %}{% for i in range(9) %}{{ f(n) if n else f(1) }}{% endfor %}"
            "{% endmacro %}{{ f(0) }}",
            "RecursionError|does not end",
        ),
        ("{{ 10 ** 10 ** 9 }}", "it calculates powers"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ messages[7].content.lower() }}", "UndefinedError"),
        ("{{ 1 + 'a' }}", "TypeError"),
        ("{{ messages.append(1) }}", "SecurityError"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "SecurityError"),
        ("{% for %}", "TemplateSyntaxError"),
        ("{{ raise_exception('no') }}", "TemplateError: no"),
        ("{% include '/etc/passwd' %}", "TypeError|TemplateError|no loader"),
        ("{{ range(10 ** 3) }}", "it calculates powers"),
        ("{{ range(999999999999) }}", "OverflowError"),
    ],
)
def test_a_template_that_fails_or_does_not_end_is_refused(
    monkeypatch: pytest.MonkeyPatch, template: str, reason: str
) -> None:
    monkeypatch.setattr(chat, "MAX_RENDERING_S", 0.2)
    began = time.monotonic()
    with pytest.raises(ValueError, match=reason) as caught:
        rendered(template)
    assert "the chat template of x cannot be rendered" in str(caught.value)
    assert time.monotonic() - began < 20
    # another tracer, as a debugger's, is there again
    assert sys.gettrace() is None or "chat" not in repr(sys.gettrace())


def test_an_endless_template_ends_in_any_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "MAX_RENDERING_S", 0.2)
    errors: list[str] = []

    def work() -> None:
        try:
            rendered(LOOP)
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert "does not end" in errors[0]
