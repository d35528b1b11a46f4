"""The backend of a run that may be stopped: what is answered is kept, and not asked again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import CacheHook

from evals.answers import Answers
from evals.backend import YOCOLM


class ResumingLM(YOCOLM):
    """`YOCOLM` with a lookup before its three methods."""

    _answers: Answers | None = None

    @contextmanager
    def keeping(self, answers: Answers) -> Iterator[None]:
        """Takes answers from there, and adds each as soon as it is given."""
        with answers:
            self._answers = answers
            self.set_cache_hook(_Hook(answers))
            try:
                yield
            finally:
                self._answers = None
                self.set_cache_hook(CacheHook(None))

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        return self._kept("loglikelihood", super().loglikelihood, requests, disable_tqdm)

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[Any]:
        ask = super().loglikelihood_rolling
        return self._kept("loglikelihood_rolling", ask, requests, disable_tqdm)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        return self._kept("generate_until", super().generate_until, requests, disable_tqdm)

    def _kept(
        self,
        method: str,
        ask: Callable[[list[Instance], bool], list[Any]],
        requests: list[Instance],
        disable_tqdm: bool,
    ) -> list[Any]:
        if self._answers is None:
            return ask(requests, disable_tqdm)
        results = [self._answers.get(method, request.args) for request in requests]
        missing = [place for place, result in enumerate(results) if result is None]
        if missing:
            answered = ask([requests[place] for place in missing], disable_tqdm)
            for place, result in zip(missing, answered, strict=True):
                results[place] = result
        return results


class _Hook(CacheHook):
    """What the backend tells each answer to."""

    def __init__(self, answers: Answers) -> None:
        super().__init__(None)
        self._answers = answers

    def add_partial(self, attr: str, req: Iterable[Any], res: Any) -> None:
        self._answers.add(attr, tuple(req), res)
