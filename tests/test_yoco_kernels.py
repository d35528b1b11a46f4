"""Every row of the kernel table against the reference row."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from yoco.kernels import BACKENDS, TABLE, choose_kernels, reference, torch_kernels
from yoco.kernels.torch_kernels import ROW_BLOCK, merge

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
# largest difference from the float32 reference, of values of order 1
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2e-2}
H, G, D = 4, 2, 16


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rows(operation: str, device: str) -> list[tuple[str, torch.dtype]]:
    """Names and dtypes of the implementations that can run on a device."""
    return [
        (name, dtype)
        for name, (_, obstacle) in TABLE[operation].items()
        for dtype in TOLERANCE
        if name != "reference" and obstacle(torch.device(device), dtype, [D]) is None
    ]


def check(result: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    assert result.shape == expected.shape
    finite = expected.isfinite()
    assert torch.equal(result.isfinite().cpu(), finite)
    difference = (result.float().cpu()[finite] - expected[finite]).abs().max()
    assert difference < TOLERANCE[dtype] * max(1.0, expected[finite].abs().max())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("window", [1, 2, 127, 128, 129, 10_000])
@pytest.mark.parametrize("past_and_new", [(0, 1), (0, 300), (5, 1), (126, 129), (127, 131)])
def test_window_attention(device: str, window: int, past_and_new: tuple[int, int]) -> None:
    # three sequences in a pack: the one asked for between a fresh and a short one
    lengths = [(0, 3), past_and_new, (min(2, window), 7)]
    queries = [new for _, new in lengths]
    keys = [min(past, window - 1) + new for past, new in lengths]
    q, k, v = (
        randn(sum(queries), H, D),
        randn(sum(keys), G, D, seed=1),
        randn(sum(keys), G, D, seed=2),
    )
    expected = reference.window_attention(q, k, v, queries, keys, window)
    for name, dtype in rows("window_attention", device):
        kernel = TABLE["window_attention"][name][0]
        inputs = [x.to(device, dtype) for x in (q, k, v)]
        check(kernel(*inputs, queries, keys, window), expected, dtype)
    # negative control: one key more in the window is seen
    if 1 < window < max(keys):
        other = reference.window_attention(q, k, v, queries, keys, window - 1)
        assert (other - expected).abs().max() > 1e-3


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "visible",
    [
        [1],
        [500],
        [0, 0, 3],
        list(range(1, 501)),
        list(range(237, 501)),
        [7, 8, 9, 300, 301, 500],
        [500] * (ROW_BLOCK + 1),
    ],
    ids=lambda visible: f"{len(visible)} rows from {visible[0]}",
)
def test_segment_attention(device: str, visible: list[int]) -> None:
    q, k, v = randn(len(visible), H, D), randn(500, G, D, seed=1), randn(500, G, D, seed=2)
    expected, log_sum = reference.segment_attention(q, k, v, visible)
    for name, dtype in rows("segment_attention", device):
        # what no row may see is poison
        inputs = [x.to(device, dtype) for x in (q, k, v)]
        for poisoned in inputs[1:]:
            poisoned[max(visible) :] = float("nan")
        kernel = TABLE["segment_attention"][name][0]
        result, result_log_sum = kernel(*inputs, visible)
        check(result, expected, dtype)
        check(result_log_sum, log_sum, dtype)


def test_merged_segments_are_attention_over_all() -> None:
    q, k, v = randn(5, H, D), randn(90, G, D, seed=1), randn(90, G, D, seed=2)
    whole, whole_log_sum = reference.segment_attention(q, k, v, [90] * 5)
    parts = [
        reference.segment_attention(q, k[a:b], v[a:b], [b - a] * 5)
        for a, b in ((0, 1), (1, 40), (40, 40), (40, 90))
    ]
    outs, log_sums = [out for out, _ in parts], torch.stack([log for _, log in parts])
    out, log_sum = merge(outs, log_sums)
    check(out, whole, torch.float32)
    check(log_sum, whole_log_sum, torch.float32)
    # negative control: a part left out is noticed
    assert (merge(outs[1:], log_sums[1:])[0] - whole).abs().max() > 1e-3


def test_the_reference_forms_no_more_scores_at_once_than_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    visible = list(range(237, 501))
    q, k, v = randn(len(visible), H, D), randn(500, G, D, seed=1), randn(500, G, D, seed=2)
    expected = reference.segment_attention(q, k, v, visible)
    sizes = []
    attend = reference._attend

    def record(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        sizes.append(len(q) * q.shape[1] * len(k))
        return attend(q, k, v, allowed)

    monkeypatch.setattr(reference, "_attend", record)
    for limit in (1, 50_000, 1 << 30):
        monkeypatch.setattr(reference, "MAX_SCORES", limit)
        sizes.clear()
        for result, whole in zip(
            reference.segment_attention(q, k, v, visible), expected, strict=True
        ):
            assert torch.allclose(result, whole, atol=1e-6)
        assert max(sizes) <= max(limit, H * 500)
        assert sum(sizes) == len(visible) * H * 500


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("lengths", [[1], [63], [64], [65], [1, 1], [64, 128], [1, 200, 3]])
def test_retention(device: str, lengths: list[int]) -> None:
    total = sum(lengths)
    q, k, v = (randn(total, H, D, seed=seed) for seed in range(3))
    log_decay = -randn(total, H, seed=3).abs() / 16
    state = randn(len(lengths), H, D, D, seed=4)
    expected, expected_state = reference.retention(q, k, v, log_decay, state, lengths)
    for name, dtype in rows("retention", device):
        kernel = TABLE["retention"][name][0]
        inputs = [x.to(device, dtype) for x in (q, k, v)]
        result, result_state = kernel(*inputs, log_decay.to(device), state.to(device), lengths)
        check(result, expected, dtype)
        check(result_state, expected_state, dtype)
        assert result_state.dtype == torch.float32
    # negative control: the decay matters
    other, _ = reference.retention(q, k, v, log_decay * 0, state, lengths)
    assert (other - expected).abs().max() > 1e-3


@pytest.mark.parametrize("lengths", [[1], [3, 4, 5], [700, 2, 33, 8]])
def test_retention_scans_in_blocks_of_blocks(
    lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_kernels, "RETENTION_CHUNK", 4)
    monkeypatch.setattr(torch_kernels, "SCAN_BLOCK", 4)
    q, k, v = (randn(sum(lengths), H, D, seed=seed) for seed in range(3))
    log_decay = -randn(sum(lengths), H, seed=3).abs() / 16
    state = randn(len(lengths), H, D, D, seed=4)
    expected = reference.retention(q, k, v, log_decay, state, lengths)
    found = torch_kernels.retention_scan(q, k, v, log_decay, state, lengths)
    for result, value in zip(found, expected, strict=True):
        check(result, value, torch.float32)


def test_retention_forgets_nothing_it_should_keep() -> None:
    """Without decay the state is the plain sum of outer products."""
    k, v = randn(50, H, D), randn(50, H, D, seed=1)
    zero = torch.zeros(1, H, D, D)
    _, state = reference.retention(k, k, v, torch.zeros(50, H), zero, [50])
    expected = torch.einsum("nhk,nhv->hkv", k, v)
    check(state[0], expected, torch.float32)


@pytest.mark.parametrize("backend", BACKENDS)
def test_choice_of_kernels(backend: str) -> None:
    cpu = torch.device("cpu")
    if backend == "fla":
        with pytest.raises(ValueError, match=r"backend 'fla' cannot run here: .* CUDA device"):
            choose_kernels(backend, cpu, torch.float32)
        return
    names = choose_kernels(backend, cpu, torch.float32).names
    expected = {"window_attention": "sdpa", "segment_attention": "sdpa", "retention": "chunked"}
    assert names == (dict.fromkeys(expected, "reference") if backend == "reference" else expected)


def test_unknown_backend() -> None:
    with pytest.raises(ValueError, match="backend is 'fast': it must be one of auto, reference"):
        choose_kernels("fast", torch.device("cpu"), torch.float32)


@pytest.mark.parametrize(
    "head_dims, window, segment",
    [
        ([64, 128], "flash", "flash"),
        ([64, 36], "sdpa", "reference"),
        ([264], "sdpa", "reference"),
    ],
)
def test_flash_is_for_heads_of_widths_that_it_takes(
    head_dims: list[int], window: str, segment: str
) -> None:
    chosen = choose_kernels("auto", torch.device("cuda"), torch.bfloat16, head_dims).names
    assert (chosen["window_attention"], chosen["segment_attention"]) == (window, segment)
