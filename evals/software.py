"""Which versions of what run here, and which code of our own: results depend on all of it."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
from pathlib import Path

import _yoco_lm_eval_bridge as bridge

# numbers come from these, and the texts that the model reads
LIBRARIES = ("torch", "transformers", "tokenizers", "lm_eval", "datasets", "yoco-evals")
PACKAGES = ("yoco", "tasks", "evals")


@functools.cache
def software() -> dict[str, str]:
    """The version of each library by its name, and `code_sha256`; worked out once."""
    versions = {name: _version(name) for name in LIBRARIES}
    folders = {package: Path(bridge.folder_of(package)) for package in PACKAGES}
    return {**versions, "code_sha256": code_sha256(folders)}


def code_sha256(folders: dict[str, Path]) -> str:
    """Hash of the Python and YAML files of packages, by their names within each."""
    digest = hashlib.sha256()
    for package, folder in sorted(folders.items()):
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".yaml") and path.is_file():
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                name = path.relative_to(folder).as_posix()
                digest.update(f"{package}/{name} {content}\n".encode())
    return digest.hexdigest()


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        # run from a checkout that is not installed
        return "unknown"
