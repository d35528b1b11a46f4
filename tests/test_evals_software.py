"""Versions and our own code, as results depend on them."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from evals.software import code_sha256, software


def test_libraries_are_named_with_their_versions() -> None:
    found = software()
    for name in ("torch", "transformers", "tokenizers", "lm_eval", "datasets"):
        assert found[name] == importlib.metadata.version(name)
    assert len(found["code_sha256"]) == 64
    assert software() is found


@pytest.mark.parametrize("change", ["content", "name", "new", "task file", "package"])
def test_any_change_of_the_code_is_another(change: str, tmp_path: Path) -> None:
    package = tmp_path / "package"
    (package / "inner").mkdir(parents=True)
    (package / "inner" / "a.py").write_text("A = 1\n")
    (package / "task.yaml").write_text("task: a\n")
    before = code_sha256({"package": package})
    # what Python and the user leave there is no code
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "a.cpython-311.pyc").touch()
    (package / "weights.safetensors").touch()
    assert code_sha256({"package": package}) == before
    name = "package"
    match change:
        case "content":
            (package / "inner" / "a.py").write_text("A = 2\n")
        case "name":
            (package / "inner" / "a.py").rename(package / "inner" / "b.py")
        case "new":
            (package / "b.py").touch()
        case "task file":
            (package / "task.yaml").write_text("task: b\n")
        case _:
            name = "other"
    assert code_sha256({name: package}) != before
