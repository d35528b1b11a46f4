"""How much memory is still to be had, and refusing at once what would need more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from yoco.chunk_size import NotEnoughMemory

# what is smaller is allocated without a look
WORTH_A_LOOK = 1 << 24
_GROUPS = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device) -> int | None:
    """Bytes that this process may still take on a device; None where nobody says.

    On a CPU the least of what the machine has, what the process's limits (`ulimit -v`, `-d`) leave
    and what its control group leaves; on a GPU what is free there and what PyTorch holds unused,
    within the fraction that the process may have.
    """
    if device.type == "cuda":
        return _free_on_cuda(device)
    return min(_free_on_cpu(), default=None)


def require(num_bytes: int, device: torch.device, *, what: str, remedy: str) -> None:
    """Refuses what does not fit.

    Args:
        what: needs so many bytes, as the subject of a sentence in the singular.
        remedy: what to do, after "give".

    Raises:
        NotEnoughMemory: less is free on the device.
    """
    if num_bytes < WORTH_A_LOOK:
        return
    free = free_bytes(device)
    if free is not None and num_bytes > free:
        raise NotEnoughMemory(
            f"{what} takes {gigabytes(num_bytes)} but only {gigabytes(max(free, 0))} of memory "
            f"is free on {device}: give {remedy}"
        )


def gigabytes(num_bytes: int) -> str:
    """Bytes for a sentence: "1.34 GB", "17 MB"."""
    if num_bytes >= 10**9:
        return f"{num_bytes / 10**9:,.2f} GB"
    return f"{num_bytes / 10**6:,.0f} MB"


def _free_on_cuda(device: torch.device) -> int:
    free, total = torch.cuda.mem_get_info(device)
    allocated = torch.cuda.memory_allocated(device)
    unused = torch.cuda.memory_reserved(device) - allocated
    allowed = int(torch.cuda.get_per_process_memory_fraction(device) * total) - allocated
    return min(free + unused, allowed)


def _free_on_cpu() -> Iterator[int]:
    """What each limit leaves; nothing of those that this system does not know."""
    available = _kilobytes(Path("/proc/meminfo"), "MemAvailable")
    if available is not None:
        yield available
    try:
        # not on Windows
        import resource
    except ImportError:
        return
    for limit, used_as in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        most = resource.getrlimit(limit)[0]
        used = _kilobytes(Path("/proc/self/status"), used_as)
        if most != resource.RLIM_INFINITY and used is not None:
            yield most - used
    yield from _free_in_groups()


def _kilobytes(path: Path, field: str) -> int | None:
    """A field of a file of lines like "VmSize:  1234 kB", in bytes."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    values = (line.split()[1] for line in lines if line.startswith(f"{field}:"))
    value = next(values, None)
    return None if value is None else int(value) * 1024


def _free_in_groups() -> Iterator[int]:
    """What the control group (versions 1 and 2) and those that it is in leave."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers == "":
            folder, limit, used = _GROUPS / name[1:], "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            folder = _GROUPS / "memory" / name[1:]
            limit, used = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        # within a container the path may be that of the machine outside: then the root is ours
        for group in (folder, *folder.parents):
            if not group.is_relative_to(_GROUPS):
                break
            try:
                most, taken = ((group / name).read_text().strip() for name in (limit, used))
                stat = (group / "memory.stat").read_text().splitlines()
            except OSError:
                continue
            if most.isdigit():
                # files that are only cached are given back when memory is asked for
                cached = sum(
                    int(line.split()[1])
                    for line in stat
                    if line.startswith(("inactive_file ", "total_inactive_file "))
                )
                yield int(most) - int(taken) + cached
