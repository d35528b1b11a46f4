"""A user's error, as the one line that a terminal shows of it."""

from __future__ import annotations

import re

from heatmaps.printable import printable

# what an argument, a file, a missing package or little memory can cause; everything else is a fault
# of ours
USER_ERRORS = (ValueError, OSError, ImportError, MemoryError)
MOST_CHARS = 1000
_LINE_BREAK = re.compile(r"\s*[\r\n]\s*")


def one_line(error: BaseException | str) -> str:
    """The message in one line that does nothing to a terminal.

    Of a long one the beginning and the end are kept: what is wrong, and what to do.
    """
    message = printable(_LINE_BREAK.sub(" ", str(error).strip()))
    if len(message) > MOST_CHARS:
        kept = MOST_CHARS // 2
        message = f"{message[:kept]} ... {message[-kept:]}"
    if isinstance(error, MemoryError):
        message = (
            f"memory ran out{message and f' ({message})'}: give shorter lengths or more memory"
        )
    # a bare exception of some library has no message
    return message or type(error).__name__
