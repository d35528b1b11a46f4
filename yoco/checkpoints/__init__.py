"""Checkpoints on disk: three formats, read as one config and tensors under one set of names."""

from yoco.checkpoints.reading import (
    Checkpoint,
    checkpoint_sha256,
    holds_checkpoint,
    read_checkpoint,
)
from yoco.checkpoints.tensors import check_tensors, expected_shapes
from yoco.checkpoints.writing import convert, write_checkpoint

__all__ = [
    "Checkpoint",
    "check_tensors",
    "checkpoint_sha256",
    "convert",
    "expected_shapes",
    "holds_checkpoint",
    "read_checkpoint",
    "write_checkpoint",
]
