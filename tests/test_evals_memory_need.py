"""What a prompt needs, against what is free: smaller chunks, or one line before it is read."""

from __future__ import annotations

import subprocess
import sys

import pytest

from evals import memory_need
from evals.backend import YOCOLM
from evals.memory_need import chunk_need, make_room, prompt_need
from tasks.grids import docs_from_metadata
from yoco import ChunkSize, NotEnoughMemory


@pytest.fixture(scope="module")
def lm() -> YOCOLM:
    return YOCOLM("demo", device="cpu")


def test_chunks_shrink_to_what_is_free_or_the_prompt_is_refused(
    lm: YOCOLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = prompt_need(lm.model, 10_000, 30_000)
    fixed = need.kept_bytes + need.host_bytes
    for num_fitting, expected in ((2048, 2048), (1024, 1024), (700, 512), (16, 16)):
        monkeypatch.setattr(
            memory_need, "free_bytes", lambda _, n=num_fitting: fixed + chunk_need(lm.model, n)
        )
        size = ChunkSize(2048)
        make_room(lm.model, size, 10_000, 30_000)
        assert size.tokens == expected
    monkeypatch.setattr(memory_need, "free_bytes", lambda _: fixed)
    message = (
        r"a prompt of 10,000 tokens needs \d+ MB but only \d+ MB of memory is free on cpu: give"
    )
    with pytest.raises(NotEnoughMemory, match=message):
        make_room(lm.model, ChunkSize(2048), 10_000, 30_000)


def test_a_grid_is_refused_before_any_prompt_is_planned(
    lm: YOCOLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_need, "free_bytes", lambda _: 300 * 2**20)
    docs_from_metadata({"pretrained": "demo", "lengths": "1K"})
    with pytest.raises(NotEnoughMemory, match="a prompt of 1,048,576 tokens needs"):
        docs_from_metadata({"pretrained": "demo", "lengths": "1K,1M"})


LIMITED = """
import re, resource, sys
from evals.backend import YOCOLM
from lm_eval.api.instance import Instance
lm = YOCOLM("demo", device="cpu")
text = " ".join(str(7 * number) for number in range(3_000))
asked = [Instance("generate_until", {}, (text, {"max_gen_toks": 3, "until": []}), 0)]
size = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + int(sys.argv[1]) * 2**20,) * 2)
try:
    print(lm.chunk_size, lm.generate_until(asked, disable_tqdm=True))
except ValueError as error:
    print(error)
print(lm.chunks.tokens < lm.chunk_size)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux")
@pytest.mark.parametrize(("megabytes", "is_refused"), [(90, True)])
def test_little_address_space_is_a_line_or_smaller_chunks(megabytes: int, is_refused: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(megabytes)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    first, shrunk = done.stdout.splitlines()
    if is_refused:
        assert "needs" in first and "of memory is free on cpu: give shorter lengths" in first
    else:
        assert first.startswith("2048 ['") and shrunk == "True"
