"""Whose answers are in a cache of `lm_eval --use_cache`: lm-eval itself knows only the request."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from dataclasses import asdict
from typing import Any

from evals.model_keys import ModelKey
from evals.software import software

# lm-eval's own keys are hashes in hex
OWNER = "yoco-evals: whose answers these are"


def claim(answers: MutableMapping[str, Any], name: str, pretrained: str, model: ModelKey) -> None:
    """Writes into a cache whose answers it holds.

    Args:
        answers: the open cache.
        name: of the cache, for the user.
        pretrained: the model as the user named it.

    Raises:
        ValueError: another model's answers are in it, or nobody knows whose.
    """
    # as JSON has it, to be compared with what is read
    depends_on = json.loads(json.dumps({**asdict(model), **software()}))
    stored = answers.get(OWNER)
    if stored is None:
        if next(iter(answers), None) is not None:
            raise ValueError(
                f"{name} holds answers of nobody knows which model, and this is {pretrained}: give "
                "another --use_cache, or delete it"
            )
        answers[OWNER] = json.dumps({"pretrained": pretrained, "depends_on": depends_on})
        return
    try:
        owner = json.loads(stored)
        other, theirs = str(owner["pretrained"]), dict(owner["depends_on"])
    except (ValueError, TypeError, KeyError, RecursionError):
        other, theirs = "a model that cannot be read from it", {}
    if theirs != depends_on:
        names = [field for field in depends_on if theirs.get(field) != depends_on[field]]
        differing = ", ".join(
            f"{field} {_short(theirs.get(field))} and {_short(depends_on[field])}"
            for field in names[:3]
        )
        raise ValueError(
            f"{name} holds answers of {other}, and this is {pretrained} ({differing}): give "
            "another --use_cache, or delete it"
        )


def _short(value: Any) -> str:
    """A value in a few characters: of a hash the first twelve."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:12] if len(text) == 64 else text[:40]
