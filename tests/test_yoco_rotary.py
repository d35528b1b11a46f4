"""Rotary tables against their formulas, and where float32 angles go wrong."""

import math

import pytest
import torch

from yoco.config import RopeConfig
from yoco.rotary import RotaryTable, rotary_table

D = 8


def table(positions: list[int], rope: RopeConfig, precision: str = "float64") -> RotaryTable:
    return rotary_table(
        torch.tensor(positions),
        rope,
        D,
        precision=precision,  # pyright: ignore[reportArgumentType]
        model_dtype=torch.float32,
    )


@pytest.mark.parametrize("spacing", ["yoco", "fla"])
@pytest.mark.parametrize("interleaved", [True, False])
def test_rotation_is_a_complex_product(spacing: str, interleaved: bool) -> None:
    rope = RopeConfig(theta=500.0, spacing=spacing, interleaved=interleaved)  # pyright: ignore
    x = torch.randn(1, 2, D, generator=torch.Generator().manual_seed(0))
    for position in (0, 1, 7, 1_000_003, -5):
        rotated = table([position], rope).rotate(x)
        for pair in range(D // 2):
            exponent = pair / (D // 2 - 1) if spacing == "yoco" else 2 * pair / D
            angle = position * rope.theta**-exponent
            low, high = (2 * pair, 2 * pair + 1) if interleaved else (pair, pair + D // 2)
            for head in range(2):
                a, b = x[0, head, low].item(), x[0, head, high].item()
                expected = complex(a, b) * complex(math.cos(angle), math.sin(angle))
                assert rotated[0, head, low].item() == pytest.approx(expected.real, abs=1e-5)
                assert rotated[0, head, high].item() == pytest.approx(expected.imag, abs=1e-5)


def test_angles_stay_exact_near_a_million() -> None:
    """The angles of p and p - n differ by those of n, at any p: what moving a segment relies on."""
    rope, far, width = RopeConfig(theta=1e9), 1_048_573, 128

    def phase(position: int, precision: str) -> torch.Tensor:
        angles = rotary_table(
            torch.tensor([position]),
            rope,
            width,
            precision=precision,  # pyright: ignore[reportArgumentType]
            model_dtype=torch.float32,
        )
        return torch.complex(angles.cos, angles.sin)

    def error(precision: str) -> float:
        turned = phase(far, precision) * phase(far - 1000, precision).conj()
        return (turned - phase(1000, precision)).abs().max().item()

    assert error("float64") < 1e-6
    # float32 has 24 bits, and the fastest angles need 20 of them before the point
    assert error("reference") > 1e-2


def test_reference_precision_rounds_to_the_models_dtype() -> None:
    rope = RopeConfig(theta=1e4)
    rounded = rotary_table(
        torch.arange(5), rope, D, precision="reference", model_dtype=torch.bfloat16
    )
    assert torch.equal(rounded.cos, rounded.cos.bfloat16().float())
    assert not torch.equal(rounded.cos, table(list(range(5)), rope).cos)
