"""Runs a reader on hostile files, each in a process of its own that is watched and bounded.

A case ends in one of

    read        the reader was satisfied
    refused     it raised what a command prints as one line
    traceback   it raised anything else
    hung        it was not done within `TIME_LIMIT_S`
    killed      it ended by a signal

and may have faults beside: files written outside the output folder, code run, processes or
connections started, a message that no terminal should get, memory.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
import traceback
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mutations import CANARY

TIME_LIMIT_S = 20.0
MEMORY_LIMIT_BYTES = 2 << 30
MAX_MESSAGE_CHARS = 2_000

Reader = Callable[[Path, Path], object]

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PATH_EVENTS = (
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "os.chmod",
)
_FORBIDDEN = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "socket.connect",
    "pickle.find_class",
)


@dataclass(frozen=True)
class Outcome:
    """What came of one case.

    Attributes:
        variant: what was done to the files.
        end: one of the words above.
        message: of the error, its type first; the innermost lines of a traceback.
        faults: whatever must not happen, however it ended.
        seconds: wall time.
        peak_bytes: resident memory of the process.
    """

    variant: str
    end: str
    message: str
    seconds: float
    peak_bytes: int
    faults: list[str] = field(default_factory=list)


def run_case(read: Reader, folder: Path, output: Path, variant: str) -> Outcome:
    """Reads the folder in a child process.

    Args:
        output: an empty folder, the only place where the reader may write.
    """
    report = output.with_name(output.name + "-report.json")
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _be_the_child(read, folder, output, report)
    status, usage = _waited(child, began + TIME_LIMIT_S)
    seconds = time.monotonic() - began
    said = json.loads(report.read_bytes()) if report.exists() else {}
    end, message = said.get("end", ""), said.get("message", "")
    faults = said.get("faults", [])
    if status is None:
        end = "hung"
    elif os.WIFSIGNALED(status):
        end = "killed"
        message = signal.Signals(os.WTERMSIG(status)).name
    elif not said:
        end, message = (
            "traceback",
            f"the process ended with status {os.waitstatus_to_exitcode(status)}",
        )
    if (folder / CANARY).exists():
        faults.append("code was run")
    peak_bytes = usage.ru_maxrss * 1024
    if peak_bytes > MEMORY_LIMIT_BYTES:
        faults.append(f"{peak_bytes / 2**30:.1f} GiB of memory")
    return Outcome(variant, end, message, seconds, peak_bytes, faults)


def _waited(child: int, deadline: float) -> tuple[int | None, resource.struct_rusage]:
    while time.monotonic() < deadline:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            return status, usage
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return None, os.wait4(child, 0)[2]


def _be_the_child(read: Reader, folder: Path, output: Path, report: Path) -> None:
    """Never returns."""
    faults: list[str] = []
    try:
        # a reader that asks whether it may run code gets a yes
        reading, writing = os.pipe()
        os.write(writing, b"y\n" * 100)
        os.dup2(reading, 0)
        os.chdir(output)
        os.environ |= {"TMPDIR": str(output), "HOME": str(output)}
        import tempfile

        tempfile.tempdir = str(output)
        with open("/proc/self/statm", encoding="ascii") as file:
            mapped = int(file.read().split()[0]) * resource.getpagesize()
        limit = mapped + (3 << 30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sink = os.open(str(output / "printed.txt"), os.O_CREAT | os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        sys.addaudithook(_watch(faults, output))
        end, message = _read(read, folder, output)
        sys.stdout.flush()
        sys.stderr.flush()
        faults += _faults_of_text(message) if end == "refused" else []
        printed = (output / "printed.txt").read_text(encoding="utf-8", errors="surrogateescape")
        faults += [f"printed: {fault}" for fault in _faults_of_text(printed, lines=True)]
        text = json.dumps({"end": end, "message": message[:4_000], "faults": faults})
        watched_from_here.append(True)
        report.write_text(text, encoding="utf-8")
    finally:
        os._exit(0)


# set when the reader is done: what the sandbox itself does is not watched
watched_from_here: list[bool] = []


def _read(read: Reader, folder: Path, output: Path) -> tuple[str, str]:
    try:
        read(folder, output)
    except (ValueError, OSError, ImportError) as error:
        if _is_a_librarys(error):
            return "traceback", _innermost(error)
        return "refused", str(error)
    except BaseException as error:
        return "traceback", _innermost(error)
    return "read", ""


def _is_a_librarys(error: BaseException) -> bool:
    """Whether it is of a kind that a library raises and nobody of ours has put into words."""
    return isinstance(error, UnicodeError | json.JSONDecodeError) or not str(error)


def _innermost(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames[-4:]))
    return f"{type(error).__name__}: {str(error)[:200]} ({places})"


def _faults_of_text(text: str, *, lines: bool = False) -> list[str]:
    faults = []
    if any(unicodedata.category(c) in ("Cc", "Cs") and not (lines and c in "\n\r\t") for c in text):
        faults.append("a message with control characters")
    if len(text) > (50_000 if lines else MAX_MESSAGE_CHARS):
        faults.append(f"a message of {len(text):,} characters")
    return faults


def _watch(faults: list[str], output: Path) -> Callable[[str, tuple[object, ...]], None]:
    # the cache of `datasets` is meant to be written
    allowed = (str(output), "/dev/null", "/proc/self", os.environ.get("HF_HOME", str(output)))

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if watched_from_here:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITES and not _within(path, allowed):
                faults.append(f"wrote {path}")
        elif event in _PATH_EVENTS:
            written = arguments[1] if event == "os.symlink" else arguments[0]
            if not _within(written, allowed):
                faults.append(f"{event} {written}")
        elif event in _FORBIDDEN:
            faults.append(f"{event} {arguments[:2]}"[:200])

    return hook


def _within(path: object, folders: tuple[str, ...]) -> bool:
    if isinstance(path, int):
        return True
    whole = os.path.abspath(os.fsdecode(path))  # type: ignore[arg-type]
    return whole.startswith(folders)
