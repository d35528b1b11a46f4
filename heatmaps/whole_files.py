"""Files that appear whole or not at all, whatever stops the writing."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path


@contextmanager
def whole_file(path: str | PathLike[str]) -> Iterator[Path]:
    """Gives a new, empty file to write to, which takes the place of `path` when it is whole.

    Folders on the way to `path` are made. Where the writing fails, `path` stays as it was and
    nothing is left next to it. A device, a pipe or the like is written to as it is.

    Raises:
        OSError: it cannot be written, with the reason in one line.
    """
    # a link stays one
    target = Path(os.path.realpath(path))
    unfinished = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_file():
            yield target
            return
        # not named after the file, whose name may be as long as a name can be
        made = target.with_name(f".writing-{secrets.token_hex(4)}")
        made.touch(exist_ok=False)
        unfinished = made
        yield unfinished
        os.replace(unfinished, target)
        unfinished = None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        if unfinished is not None:
            with suppress(OSError):
                unfinished.unlink()
