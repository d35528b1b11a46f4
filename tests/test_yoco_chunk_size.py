"""Where memory runs out less is computed at once, with the same results; or one line says it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import yoco
from yoco import YOCO, ChunkSize, NotEnoughMemory, Sampling
from yoco.chunk_size import in_halves, ran_out_of_memory
from yoco.free_memory import free_bytes

# as PyTorch and Python say it
FAILURES = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
    RuntimeError("not enough memory: you tried to allocate 1 bytes"),
]


@pytest.fixture
def fail_above(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets any pass of so many tokens fail halfway: in the last of the self-decoder's layers."""

    def install(model: YOCO, most: int, failure: Exception) -> None:
        layer = model.self_decoder.layers[-1]
        forward = layer.forward

        def failing(x: Tensor, *args: Any) -> Tensor:
            out = forward(x, *args)
            if len(x) > most:
                raise failure
            return out

        monkeypatch.setattr(layer, "forward", failing)

    return install


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: str(failure)[:20] or "memory")
def test_smaller_chunks_give_the_same_results(
    any_model: YOCO,
    random_tokens: Callable[..., Tensor],
    fail_above: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    failure: Exception,
) -> None:
    tokens = random_tokens(300)

    def read(chunk_size: ChunkSize) -> tuple[Tensor, list[list[int]]]:
        context = yoco.new_context(any_model, 320)
        # two chunks of a size that fits, so that there is a state to be spoilt
        yoco.prefill_last(any_model, context, tokens[:40], chunk_size=20)
        last = yoco.prefill_last(any_model, context, tokens[40:], chunk_size=chunk_size)
        logits = yoco.logits_at(any_model, [last])
        return logits, yoco.generate(any_model, [last], max_new_tokens=[9], sampling=[Sampling()])

    logits, text = read(ChunkSize(100))
    fail_above(any_model, 30, failure)
    size = ChunkSize(100)
    smaller_logits, smaller_text = read(size)
    torch.testing.assert_close(smaller_logits, logits, atol=1e-4, rtol=1e-4)
    assert smaller_text == text
    assert size.tokens == 25
    said = [record.message for record in caplog.records if "smaller ones" in record.message]
    assert said == [
        "memory is too little for chunks of 100 tokens: smaller ones from here on, "
        "with the same results"
    ]


def test_the_smallest_chunk_that_fails_is_one_line(
    any_model: YOCO, random_tokens: Callable[..., Tensor], fail_above: Callable[..., None]
) -> None:
    fail_above(any_model, 5, MemoryError())
    with pytest.raises(NotEnoughMemory, match="memory ran out while 16 tokens were read, in the "):
        yoco.prefill_last(
            any_model, yoco.new_context(any_model, 90), random_tokens(90), chunk_size=64
        )


def test_other_errors_are_themselves(
    any_model: YOCO, random_tokens: Callable[..., Tensor], fail_above: Callable[..., None]
) -> None:
    fail_above(any_model, 5, RuntimeError("a fault of ours"))
    with pytest.raises(RuntimeError, match="a fault of ours"):
        yoco.prefill_last(
            any_model, yoco.new_context(any_model, 90), random_tokens(90), chunk_size=64
        )
    assert not ran_out_of_memory(RuntimeError("a fault of ours"))


def test_shared_prompts_are_read_in_smaller_pieces_or_alone(
    any_model: YOCO, random_tokens: Callable[..., Tensor], fail_above: Callable[..., None]
) -> None:
    text = random_tokens(400)
    texts = [torch.cat((text[:place], random_tokens(5, 1), text[place:])) for place in (50, 300)]

    def read(reader: yoco.PromptReader) -> list[Tensor]:
        rows = [reader.read(each, capacity=410) for each in texts]
        return [yoco.logits_at(any_model, [rows[-1]])]

    expected = read(yoco.prompt_reader(any_model, chunk_size=200))
    fail_above(any_model, 30, MemoryError())
    found = read(yoco.prompt_reader(any_model, chunk_size=200))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_rows_are_computed_in_halves() -> None:
    calls: list[int] = []

    def run(items: Tensor) -> Tensor:
        calls.append(len(items))
        if len(items) > 3:
            raise MemoryError
        return items * 2

    assert torch.cat(list(in_halves(run, torch.arange(10), doing="x"))).tolist() == list(
        range(0, 20, 2)
    )
    assert calls == [10, 5, 2, 3, 5, 2, 3]
    with pytest.raises(NotEnoughMemory, match="memory ran out while rows ran, in the smallest"):
        in_halves(lambda items: run(torch.arange(9)), [1, 2], doing="rows ran")


def test_a_cache_that_fits_nowhere_is_refused_at_once(any_model: YOCO) -> None:
    free = free_bytes(any_model.device)
    assert free is None or free > 0
    message = "the KV cache of 1,099,511,627,776 tokens in float32 takes [0-9,.]+ GB"
    with pytest.raises(NotEnoughMemory, match=message):
        yoco.new_context(any_model, 1 << 40)


@pytest.mark.gpu
def test_a_small_share_of_a_gpu_gives_the_same_results(
    make_model: Callable[..., YOCO], random_tokens: Callable[..., Tensor]
) -> None:
    """With no room for a chunk of 64K tokens, smaller ones are read."""
    model, tokens = make_model("window").cuda(), random_tokens(1 << 17)

    def logits(chunk_size: ChunkSize) -> Tensor:
        context = yoco.new_context(model, len(tokens))
        last = yoco.prefill_last(model, context, tokens, chunk_size=chunk_size)
        return yoco.logits_at(model, [last]).cpu()

    expected = logits(ChunkSize(4096))
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    held = torch.cuda.memory_reserved()
    try:
        # the cache takes 34 MB, a chunk of 64K tokens more than is left
        torch.cuda.set_per_process_memory_fraction((held + 100 * 2**20) / total)
        size = ChunkSize(1 << 16)
        torch.testing.assert_close(logits(size), expected, atol=1e-4, rtol=1e-4)
        assert 16 <= size.tokens < 1 << 16
        with pytest.raises(NotEnoughMemory, match="of memory is free on cuda"):
            yoco.new_context(model, 1 << 24)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
