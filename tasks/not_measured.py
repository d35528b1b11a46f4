"""What stands in place of an answer that a model could not give."""

from __future__ import annotations

from typing import Any


class NotMeasured(str):
    """An empty answer that is no answer: its sample has no score.

    A backend gives it only for documents whose task knows it (`allows_not_measured`); any other
    task would take it for a wrong answer.

    Attributes:
        reason: one line for the user.
    """

    reason: str

    def __new__(cls, reason: str) -> NotMeasured:
        made = super().__new__(cls, "")
        made.reason = reason
        return made

    def __getnewargs__(self) -> tuple[str]:
        # copies and pickles between processes are made from the reason
        return (self.reason,)


def allows_not_measured(doc: Any) -> bool:
    """Whether the task of a sample document gives `NotMeasured` and NaN no score.

    Its documents say so by an attribute of that name.
    """
    return bool(getattr(doc, "allows_not_measured", False))
