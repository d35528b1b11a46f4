"""Data parallelism as lm-eval drives it: one process a GPU, started by torchrun or accelerate."""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class Processes:
    """This process among those of its run; a run of one process needs no launcher.

    Attributes:
        rank, world_size: of this process.
    """

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.world_size = int(os.environ.get("WORLD_SIZE", "1"))
        if self.world_size > 1 and not dist.is_initialized():
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            dist.init_process_group(backend)

    def own_device(self, device: str) -> str:
        """`device`, or this process's own GPU where several processes share a machine's GPUs."""
        if (
            self.world_size > 1
            and device in ("auto", "cuda", "cuda:0")
            and torch.cuda.is_available()
        ):
            return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        return device

    def all_gather(self, tensor: Tensor) -> Tensor:
        """The tensors of all ranks, one after the other; a scalar counts as one element."""
        if self.world_size == 1:
            return tensor
        parts = [torch.empty_like(tensor) for _ in range(self.world_size)]
        dist.all_gather(parts, tensor)
        return torch.cat([part.reshape(-1) for part in parts])

    def gather_object(self, obj: Any, dst: int = 0) -> list[Any] | None:
        """The objects of all ranks on rank `dst`, None elsewhere."""
        if self.world_size == 1:
            return [obj]
        result = [None] * self.world_size if self.rank == dst else None
        dist.gather_object(obj, result, dst=dst)
        return result

    def from_first(self, obj: Any) -> Any:
        """The object of rank 0, on all ranks."""
        if self.world_size == 1:
            return obj
        objects = [obj]
        dist.broadcast_object_list(objects, src=0)
        return objects[0]

    def barrier(self) -> None:
        """Waits for all ranks."""
        if self.world_size > 1:
            dist.barrier()
