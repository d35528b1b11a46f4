"""The needle tasks as lm-eval calls them; the files in `yaml/` name these functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks import handles, scoring
from tasks.grids import NeedleDocs, docs_from_metadata


def needle_docs(**metadata: Any) -> dict[str, NeedleDocs]:
    """The splits of a needle task (lm-eval's `custom_dataset`).

    Args:
        metadata: The task file's `metadata`, with --metadata and the model's arguments over it.

    Raises:
        ValueError: If a setting among them is wrong.
    """
    return {"test": docs_from_metadata(metadata)}


def doc_to_text(doc: Mapping[str, Any]) -> str:
    """The prompt, or a handle of it where the run's backend expands handles."""
    return handles.prompt_text(doc)


def doc_to_target(doc: Mapping[str, Any]) -> str:
    """The asked values, as they would follow the prompt."""
    return " " + ", ".join(_asked_values(doc))


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """The sample's `recall`: the fraction of the asked values that the answer holds."""
    return {"recall": scoring.recall(_asked_values(doc), results[0])}


def _asked_values(doc: Mapping[str, Any]) -> list[str]:
    return [doc["values"][number] for number in doc["asked"]]
