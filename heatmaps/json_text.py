"""JSON of files that anybody may have written: bounded in size and in depth."""

import json
from typing import Any

# of one value: a prompt of 4M tokens is 20 MB, and what is parsed of more may not fit in memory
MOST_BYTES = 48 * 2**20
# of lists and objects in one value, each of which takes up far more than it does as text
_MOST_PARTS = 1_000_000
# so that what is read can be written again, compared and shown without running out of stack
_DEEPEST = 100


def parsed(text: bytes, kind: str) -> Any:
    """The value of a JSON text.

    Args:
        kind: what the text should be, for the message: "valid JSON".

    Raises:
        ValueError: it is not; the message has no place in it.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES // 2**20} MB, which lm-eval never writes")
    if text.count(b"[") + text.count(b"{") > _MOST_PARTS:
        raise ValueError(f"more than {_MOST_PARTS:,} lists and objects, which lm-eval never writes")
    try:
        value = json.loads(text)
        if not _is_deep(value):
            return value
    except RecursionError:
        pass
    except ValueError:
        raise ValueError(f"not {kind}, as in a half-written file") from None
    raise ValueError(f"nested more than {_DEEPEST} deep, which lm-eval never writes")


def _is_deep(value: Any) -> bool:
    level = [[value]]
    for _ in range(_DEEPEST):
        level = [
            inner.values() if isinstance(inner, dict) else inner
            for outer in level
            for inner in outer
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
