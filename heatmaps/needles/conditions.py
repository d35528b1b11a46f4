"""Under which conditions samples were measured: only those that share them are of one grid."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from heatmaps.printable import printable
from heatmaps.sample_lines import generation_kwargs

# What each of a sample's conditions is called where runs differ in it; "" is where files, as of
# older releases or other programs, do not say.
_OF_SAMPLES = {
    "haystack_sha256": "text sha",
    "tokenizer_sha256": "tokenizer sha",
    "generation_tokens": "answer tokens",
    "decoding": "decoding",
}
_OF_RUNS = {
    "chat_template_sha": "chat template sha",
    "system_instruction_sha": "system instruction sha",
    "dtype": "dtype",
    "rope_precision": "rope precision",
}
_NAMES = {**_OF_SAMPLES, **_OF_RUNS}
CONDITIONS = [*_NAMES]
# These are the model's own, and two models may well differ in them.
_OF_MODELS = {"tokenizer_sha256", "dtype", "rope_precision"}
# Characters of a hash that tell a few apart.
_SHORT = 6


def sample_conditions(sample: Mapping[str, Any], doc: Mapping[str, Any]) -> dict[str, str]:
    """What a sample says of its conditions."""
    kwargs = dict(generation_kwargs(sample) or {})
    budget = kwargs.pop("max_gen_toks", "")
    return {
        "haystack_sha256": _text(doc.get("haystack_sha256")),
        "tokenizer_sha256": _text(doc.get("tokenizer_sha256")),
        "generation_tokens": _text(budget or doc.get("generation_tokens")),
        "decoding": json.dumps(kwargs, sort_keys=True) if kwargs else "",
    }


def run_conditions(content: Mapping[str, Any], dtype: str) -> dict[str, str]:
    """What a results file says of the conditions of its samples; "" each where it is empty."""

    def sha(name: str) -> str:
        # null is a run without one, no entry a release that does not say
        return _text(content[name] or "none") if name in content else ""

    return {
        "chat_template_sha": sha("chat_template_sha"),
        "system_instruction_sha": sha("system_instruction_sha"),
        "dtype": _text(dtype),
        "rope_precision": _text(content.get("config", {}).get("rope_precision")),
    }


def _text(value: Any) -> str:
    return printable(str(value or ""))


def completed(rows: Sequence[dict[str, Any]]) -> None:
    """Gives samples of one file that lack a condition the one that all its others have.

    A prompt that could not be built says less of itself than those that could.
    """
    for name in _OF_SAMPLES:
        known = {row[name] for row in rows} - {""}
        if len(known) == 1:
            (value,) = known
            for row in rows:
                row[name] = value


def differences(
    grids: Sequence[tuple[str, Mapping[str, str]]],
) -> list[tuple[str, ...]]:
    """What tells each grid from the others, in a few words each; nothing where nothing differs.

    Args:
        grids: model and conditions of grids that are otherwise of the same kind.
    """
    found: list[list[str]] = [[] for _ in grids]
    for name, called in _NAMES.items():
        for number, (model, conditions) in enumerate(grids):
            others = [
                other.get(name, "")
                for other_model, other in grids
                if other_model == model or name not in _OF_MODELS
            ]
            if len(set(others)) > 1:
                found[number].append(_said(called, conditions.get(name, ""), others))
    return [tuple(words) for words in found]


def _said(called: str, value: str, others: Sequence[str]) -> str:
    if not value:
        return f"{called} unknown"
    if not called.endswith(" sha"):
        return f"{called} {value}"
    if value == "none":
        return f"no {called.removesuffix(' sha')}"
    short = value[:_SHORT]
    is_enough = len({other for other in others if other.startswith(short)}) == 1
    return f"{called} {short if is_enough else value}"
