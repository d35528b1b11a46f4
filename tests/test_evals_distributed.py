"""Two processes of one run, as torchrun starts them, gathering what lm-eval gathers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from evals.distributed import Processes

ROOT = Path(__file__).parents[1]
PROGRAM = """
import torch
from evals.distributed import Processes
processes = Processes()
rank = processes.rank
print(processes.all_gather(torch.tensor(10 + rank)).tolist())
print(processes.gather_object({"rank": rank}))
processes.barrier()
torch.distributed.destroy_process_group()
"""


def test_one_process_needs_no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    processes = Processes()
    assert (processes.rank, processes.world_size) == (0, 1)
    assert processes.all_gather(torch.tensor(3)).tolist() == 3
    assert processes.gather_object("x") == ["x"]
    assert processes.own_device("auto") == "auto"


def test_two_processes_gather() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, **shared, "RANK": str(rank), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    printed = [process.communicate(timeout=120)[0].splitlines() for process in started]
    assert printed == [["[10, 11]", "[{'rank': 0}, {'rank': 1}]"], ["[10, 11]", "None"]]
