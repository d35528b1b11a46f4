"""Answers to single requests, kept on disk so that a run which was stopped goes on from there.

    FOLDER/answers_rank0.txt    a line for each answer: SHA256 ["REQUEST", "METHOD", ANSWER]

A file is only ever appended to, one write for each line. The hash is of the JSON after it, and
nothing else is read or run; a line that is not what was written is an answer that is not there.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lm_eval.api.model import hash_args

from heatmaps.whole_files import whole_file

# of one line; no answer that we write comes near
_MAX_LINE_BYTES = 1 << 24


class Answers:
    """The answers of one run, by request; those of all its ranks are read, one's own are added.

    What is damaged is taken out and said in one line. A context manager, which closes the file.

    Args:
        folder: of this run alone, its whole key the same; it must exist.
        rank: of this process.

    Raises:
        OSError: the folder cannot be read or written.
    """

    def __init__(self, folder: Path, *, rank: int = 0) -> None:
        self.path = folder / f"answers_rank{rank}.txt"
        self._answers: dict[tuple[str, str], Any] = {}
        for path in sorted(folder.glob("answers_rank*.txt")):
            if path != self.path and _is_plain(path):
                # another process may be writing its next line
                self._take(line for line in _lines(path) if line.endswith(b"\n"))
        num_sound, num_damaged = self._own()
        if num_damaged:
            print(
                f"{self.path}: {num_damaged} of {num_sound + num_damaged} kept answers are damaged "
                "and computed again",
                file=sys.stderr,
            )
        # no link is followed: what it led to would be written to
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        self._file = os.open(self.path, flags, 0o666)

    def __len__(self) -> int:
        return len(self._answers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._file)

    def get(self, method: str, arguments: tuple[Any, ...]) -> Any:
        """The answer to a request of lm-eval's method, None where there is none."""
        if _is_sampled(method, arguments):
            return None
        return self._answers.get((method, hash_args(method, arguments)))

    def add(self, method: str, arguments: tuple[Any, ...], answer: Any) -> None:
        """Keeps an answer, from this line on whatever happens to the process.

        Not kept is what is no answer: NaN, `NotMeasured`. A sampled one is drawn again.

        Raises:
            OSError: it cannot be written, with what is kept.
        """
        if _is_sampled(method, arguments) or not _is_answer(method, answer):
            return
        key = (method, hash_args(method, arguments))
        if key in self._answers:
            return
        line = _line(key[1], method, answer)
        whole = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            # a disk that becomes full takes a part of the line; the second attempt says why
            if written < len(line):
                os.write(self._file, line[written:])
        except OSError as error:
            os.ftruncate(self._file, whole)
            raise OSError(
                f"{self.path} cannot be written: {error.strerror}; the {len(self):,} answers "
                "until then are kept there: run again when it can be"
            ) from error
        self._answers[key] = _as_given(answer)

    def _own(self) -> tuple[int, int]:
        """Reads this rank's file, and writes it anew where it is damaged: sound, damaged lines."""
        if not _is_plain(self.path):
            if not os.path.lexists(self.path):
                return 0, 0
            _remove(self.path)
            return 0, 1
        sound, num_damaged = [], 0
        for line in _lines(self.path):
            if self._take([line]):
                sound.append(line)
            else:
                num_damaged += 1
        if num_damaged:
            with whole_file(self.path) as unfinished:
                unfinished.write_bytes(b"".join(sound))
        return len(sound), num_damaged

    def _take(self, lines: Iterable[bytes]) -> int:
        """Adds what the lines hold; returns how many of them are sound."""
        num_sound = 0
        for line in lines:
            found = _read(line)
            if found is not None:
                request, method, answer = found
                self._answers[method, request] = answer
                num_sound += 1
        return num_sound


def _line(request: str, method: str, answer: Any) -> bytes:
    content = json.dumps([request, method, answer], allow_nan=False).encode()
    return hashlib.sha256(content).hexdigest().encode() + b" " + content + b"\n"


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while line := file.readline(_MAX_LINE_BYTES):
            yield line


def _read(line: bytes) -> tuple[str, str, Any] | None:
    """Request, method and answer of a line; None if it is not as it was written."""
    sha256, _, content = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or hashlib.sha256(content).hexdigest().encode() != sha256:
        return None
    # somebody else may have written it, hash and all
    try:
        request, method, answer = json.loads(content)
    except (ValueError, TypeError, RecursionError):
        return None
    answer = _as_given(answer)
    if not isinstance(request, str) or not _is_answer(method, answer):
        return None
    return request, method, answer


def _as_given(answer: Any) -> Any:
    return tuple(answer) if isinstance(answer, list) else answer


def _is_answer(method: Any, answer: Any) -> bool:
    """Whether a method of lm-eval may return this, and it has a score."""
    match method:
        case "generate_until":
            # no subclass of it, such as `NotMeasured`
            return type(answer) is str
        case "loglikelihood_rolling" if isinstance(answer, float):
            return math.isfinite(answer)
        case "loglikelihood" | "loglikelihood_rolling":
            return (
                isinstance(answer, tuple)
                and [type(part) for part in answer] == [float, bool]
                and math.isfinite(answer[0])
            )
    return False


def _is_sampled(method: str, arguments: tuple[Any, ...]) -> bool:
    """Whether an answer is drawn: of equal requests each has its own."""
    if method != "generate_until" or not isinstance(arguments[1], Mapping):
        return False
    return bool(arguments[1].get("do_sample") or arguments[1].get("temperature"))


def _is_plain(path: Path) -> bool:
    """Whether it is a file, and neither a link nor a pipe, which would be waited for."""
    return path.is_file() and not path.is_symlink()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
