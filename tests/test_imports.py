"""The direction of imports: evals uses the other three, which do not know each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"yoco", "tasks", "evals", "heatmaps"}
FORBIDDEN = {
    "yoco": {"tasks", "evals", "heatmaps", "lm_eval", "transformers", "tokenizers", "datasets"},
    "tasks": {"yoco", "evals", "heatmaps", "torch"},
    "heatmaps": {"yoco", "evals", "tasks", "lm_eval", "torch"},
    "evals": set(),
}


def imported(path: Path) -> set[str]:
    """Top-level names that a module imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("package", sorted(OURS))
def test_imports_go_one_way(package: str) -> None:
    modules = list((ROOT / package).rglob("*.py"))
    assert modules
    for module in modules:
        wrong = imported(module) & FORBIDDEN[package]
        assert not wrong, f"{module.relative_to(ROOT)} imports {', '.join(sorted(wrong))}"


def test_evals_does_join_them() -> None:
    """Negative control: the walk sees imports where there are some."""
    names = set().union(*(imported(path) for path in (ROOT / "evals").rglob("*.py")))
    assert names >= OURS
