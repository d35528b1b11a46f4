"""What has no score, said on the terminal, and the exit status that goes with it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from evals.user_errors import one_line

# more say no more
MOST_LINES = 10

# of the models that lm-eval made by name: its command has dropped them when it ends
_of_named_models: list[list[str]] = []


def watch(lines: list[str]) -> None:
    """Has what is added to these lines said at the end of lm_eval's command."""
    _of_named_models.append(lines)


def status_of_lm_eval() -> int:
    """Says what the models of lm_eval's command have no score for, and returns the exit status."""
    lines = [line for lines in _of_named_models for line in lines]
    _of_named_models.clear()
    return status("yoco", lines)


def status(command: str, lines: Sequence[str]) -> int:
    """Says the lines on stderr, and returns the exit status: 1 where there are any, else 0."""
    for line in lines[:MOST_LINES]:
        print(f"{command}: {one_line(line)}", file=sys.stderr)
    left_out = len(lines) - MOST_LINES
    if left_out > 0:
        print(f"{command}: and {left_out:,} more like these", file=sys.stderr)
    return 1 if lines else 0
