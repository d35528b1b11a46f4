"""Bars that say how far a call is, on the first rank only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from lm_eval.api.instance import Instance
from tqdm import tqdm


class Progress:
    """The bars of one call of a request method.

    Args:
        disabled: nothing is shown.
    """

    def __init__(self, *, disabled: bool) -> None:
        self._disabled = disabled
        self._num_read, self._shown_s = 0, time.perf_counter()

    def tokenising(self, requests: Sequence[Instance]) -> tqdm[Instance]:
        """The requests, one by one."""
        return tqdm(requests, "tokenising", disable=self._disabled, delay=2)

    def of(self, what: str, total: int, unit: str = "token") -> tqdm[Any]:
        """A bar of so many tokens or prompts."""
        return tqdm(
            desc=what,
            total=total,
            unit=f" {unit}",
            unit_scale=unit == "token",
            disable=self._disabled,
            delay=2,
        )

    def tell_tokens(self, bar: tqdm[Any], num_tokens: int) -> None:
        """Adds so many to the prompt tokens that a bar of prompts shows."""
        self._num_read += num_tokens
        bar.set_postfix_str(f"{self._num_read:,} prompt tokens", refresh=False)
        if time.perf_counter() - self._shown_s > 2:
            bar.refresh()
            self._shown_s = time.perf_counter()
