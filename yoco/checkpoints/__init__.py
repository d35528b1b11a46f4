"""Checkpoints on disk: three formats, read as one config and tensors under one set of names."""

from yoco.checkpoints.reading import (
    Checkpoint,
    holds_checkpoint,
    read_checkpoint,
)
from yoco.checkpoints.tensors import check_tensors, expected_shapes
from yoco.checkpoints.weights import Weights, checkpoint_sha256, load_weights
from yoco.checkpoints.writing import convert, write_checkpoint

__all__ = [
    "Checkpoint",
    "Weights",
    "check_tensors",
    "checkpoint_sha256",
    "convert",
    "expected_shapes",
    "holds_checkpoint",
    "load_weights",
    "read_checkpoint",
    "write_checkpoint",
]
