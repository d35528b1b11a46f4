"""The exit status of a command that is not ours."""

from __future__ import annotations

import atexit
import os
import sys

_exits_with_1_in: int | None = None


def fail_at_exit() -> None:
    """Lets the `lm_eval` command end with status 1; does nothing in other programs.

    lm-eval's command ends with 0 whatever its results are, and has no hook after the model. What
    is registered with `atexit` last runs first; nothing that runs there can change the status but
    ending the process, so the others are run from here, in their order, before that is done.
    """
    global _exits_with_1_in
    if "lm_eval._cli" not in sys.modules or _exits_with_1_in == os.getpid():
        return
    _exits_with_1_in = os.getpid()
    atexit.register(_end_with_1)


def _end_with_1() -> None:
    # a forked child has the handler too, but not the reason
    if _exits_with_1_in != os.getpid():
        return
    atexit.unregister(_end_with_1)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            # closed, or nobody reads it any more
            continue
    os._exit(1)
