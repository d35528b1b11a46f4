"""Requests whose logits are not finite: what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import yoco
from evals.scoring import Tokens
from tasks.not_measured import allows_not_measured
from yoco import YOCO, ChunkSize, NotEnoughMemory, Origin


class NotFiniteError(ValueError):
    """A task that cannot say "not measured" has requests whose logits are not finite.

    All other requests are answered, and in the cache, when it is raised.
    """


class NotFiniteRequests:
    """Those of one call of a request method; where it began is looked for in the first.

    Args:
        requests: lm-eval's instances; None where nobody says whose they are.
    """

    def __init__(self, requests: Sequence[Any | None]) -> None:
        self.requests = requests
        self.indices: list[int] = []
        self._first: tuple[Tokens, int] | None = None

    def add(self, index: int, tokens: Tokens, first_row: int) -> None:
        """Notes a request.

        Args:
            tokens: all that was read for it.
            first_row: position of the first token behind which logits were formed.
        """
        self.indices.append(index)
        if self._first is None:
            self._first = tokens, first_row

    def reasons(self, model: YOCO, chunk_size: ChunkSize) -> dict[int, str]:
        """A line of each request, by its index; reads the first one's prompt once more."""
        if self._first is None:
            return {}
        tokens, first_row = self._first
        try:
            origin = yoco.find_origin(
                model,
                torch.from_numpy(np.asarray(tokens, np.int64)),
                first_row=first_row,
                chunk_size=chunk_size,
            )
        except NotEnoughMemory:
            origin = None
        lines = {
            index: f"{name_of(self.requests[index], index)}: logits are not finite"
            for index in self.indices
        }
        if origin is not None:
            lines[self.indices[0]] += _where(origin, model)
        elif model.dtype == torch.float16:
            lines[self.indices[0]] += f" ({OVERFLOW})"
        return lines

    def refuse_those_of_others(self, reasons: dict[int, str]) -> None:
        """Refuses what a task would take for an answer.

        Raises:
            NotFiniteError: some of the requests are of tasks that do not know "not measured".
        """
        refused = [
            index for index in self.indices if not allows_not_measured(_doc(self.requests[index]))
        ]
        if not refused:
            return
        # where it began was looked for in the first of all
        reason = reasons[refused[0]]
        if refused[0] != self.indices[0]:
            reason += f"; before that, {reasons[self.indices[0]]}"
        others = f", and {len(refused) - 1:,} more of its requests" if len(refused) > 1 else ""
        raise NotFiniteError(f"{reason}{others}: this benchmark is not scored")


OVERFLOW = "float16 overflows above 65,504: use dtype=bfloat16"


def _where(origin: Origin, model: YOCO) -> str:
    text = f" from token {origin.position:,} on (counted from 0), first in {origin.part}"
    if origin.parameter is not None:
        return f"{text} (the weight {origin.parameter} is not finite itself)"
    return f"{text} ({OVERFLOW})" if model.dtype == torch.float16 else text


def name_of(request: Any | None, index: int) -> str:
    """A request as its task and document, or by its place where it has none."""
    task = getattr(request, "task_name", None)
    if task is None:
        return f"request {index}"
    return f"{task} document {getattr(request, 'doc_id', index)}"


def _doc(request: Any | None) -> Any:
    return getattr(request, "doc", None)
