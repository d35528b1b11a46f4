"""The sweep by itself: python tests/fuzz [--readers official,fla] [--cases 200] [--seed 0]

Prints one line for each case that did not end well, and a table of how all ended. Exit status 1
if any did not end well.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

_HF_HOME = tempfile.TemporaryDirectory()
# before anything that starts threads: cases are forked off this process
os.environ |= {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HOME": _HF_HOME.name,
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "MPLBACKEND": "agg",
    "YOCO_LM_EVAL_BRIDGE": "0",
}

from mutations import copy_of, mutate  # noqa: E402
from readers import TARGETS, Target  # noqa: E402
from sandbox import Outcome, run_case  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tests/fuzz")
    parser.add_argument("--readers", default=",".join(TARGETS), help="default: %(default)s")
    parser.add_argument("--cases", type=int, default=200, help="per reader (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="one line of JSON per case")
    options = parser.parse_args()
    # names in messages may hold what no terminal can show
    sys.stdout.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
    # of torch, about the hostile tensors that are made here
    warnings.filterwarnings("ignore", "Sparse CSR")
    num_bad = 0
    for name in options.readers.split(","):
        ends: collections.Counter[str] = collections.Counter()
        slowest, peak_bytes = 0.0, 0
        for outcome in sweep(name, TARGETS[name], options.cases, options.seed):
            ends[outcome.end] += 1
            slowest, peak_bytes = max(slowest, outcome.seconds), max(peak_bytes, outcome.peak_bytes)
            bad = outcome.end not in ("read", "refused") or outcome.faults
            num_bad += bool(bad)
            if options.json:
                print(json.dumps(vars(outcome)), flush=True)
            elif bad:
                said = f"{outcome.end} {outcome.message} {outcome.faults or ''}"
                print(f"{name}: {outcome.variant}: {said}"[:500], flush=True)
        if not options.json:
            counts = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
            print(f"{name}: {counts}; slowest {slowest:.1f} s, peak {peak_bytes / 2**20:.0f} MiB")
    return 1 if num_bad else 0


def sweep(name: str, target: Target, num_cases: int, seed: int) -> Iterator[Outcome]:
    """The outcomes of so many variants of one reader's files."""
    with tempfile.TemporaryDirectory() as place:
        original = Path(place, "original")
        target.write(original)
        # the sound files are read once here: imports are paid once, and it must go well
        (Path(place) / "sound").mkdir()
        with contextlib.redirect_stdout(io.StringIO()):
            target.read(original, Path(place, "sound"))
        for number in range(num_cases):
            rng = random.Random(zlib.crc32(f"{name} {seed} {number}".encode()))
            folder, output = Path(place, "case"), Path(place, "output")
            copy_of(original, folder)
            output.mkdir()
            variant = mutate(folder, rng, values_only=target.values_only)
            yield run_case(target.read, folder, output, f"{number}: {variant}")
            shutil.rmtree(folder)
            shutil.rmtree(output)
            output.with_name("output-report.json").unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
