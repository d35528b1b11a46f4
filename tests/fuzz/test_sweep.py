"""A few cases of every reader's sweep, and that the sandbox sees what it is there for.

The whole sweep, 200 cases per reader, is `python tests/fuzz`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sandbox

# of each reader; the whole sweep is 200
NUM_CASES = 12


def test_nothing_ends_badly() -> None:
    """No traceback, no hang, nothing written elsewhere, no code run."""
    command = [sys.executable, str(Path(__file__).parent), "--cases", str(NUM_CASES), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert not [o for o in outcomes if o["faults"] or o["end"] not in ("read", "refused")]
    assert done.returncode == 0, done.stderr
    # some variants are harmless, most are not
    assert len(outcomes) >= 10 * NUM_CASES
    assert sum(o["end"] == "refused" for o in outcomes) > len(outcomes) / 3


def _wrote(folder: Path, output: Path) -> None:
    (folder / "x").write_text("x")


def _hung(folder: Path, output: Path) -> None:
    time.sleep(60)


def _ran(folder: Path, output: Path) -> None:
    subprocess.run(["true"], check=True)


def _moved(folder: Path, output: Path) -> None:
    raise ValueError("a name\x1b[2J")


def _broke(folder: Path, output: Path) -> None:
    json.loads("{" * 100_000)


def _killed(folder: Path, output: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("read", "end", "fault"),
    [
        (_wrote, "read", "wrote"),
        (_hung, "hung", ""),
        (_ran, "read", "subprocess.Popen"),
        (_moved, "refused", "control characters"),
        (_broke, "traceback", ""),
        (_killed, "killed", ""),
    ],
)
def test_the_sandbox_sees_it(
    read: sandbox.Reader, end: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "TIME_LIMIT_S", 1.0)
    for name in ("case", "output"):
        (tmp_path / name).mkdir()
    outcome = sandbox.run_case(read, tmp_path / "case", tmp_path / "output", "")
    assert outcome.end == end
    assert any(fault in each for each in outcome.faults) or not fault
