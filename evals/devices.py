"""The device of a run, where lm-eval's own default cannot be told from a user's wish."""

from __future__ import annotations

import functools
import logging

import torch

logger = logging.getLogger(__name__)


def device_here(device: str) -> str:
    """The device asked for; "auto" in place of lm-eval's default, cuda:0, where there is no GPU."""
    if device != "cuda:0" or torch.cuda.is_available():
        return device
    _say_that_there_is_no_gpu()
    return "auto"


@functools.cache
def _say_that_there_is_no_gpu() -> None:
    # once, however many models follow
    logger.warning("no CUDA device here: running on the CPU")
