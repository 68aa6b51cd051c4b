"""How much memory a process may still take, and how much a training step took at its peak."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

import psutil
import torch

_CGROUPS: Final = Path("/sys/fs/cgroup")
_NO_MEMORY: Final = ("can't allocate memory", "cannot allocate memory", "bad_alloc", "alloc_failed")


class MemoryMeter(Protocol):
    """The peak of one device's memory, above what the process held when the meter was made."""

    available_bytes: int

    def reset(self) -> None:
        """Start a new peak."""

    def peak_bytes(self) -> int:
        """Return the peak since `reset`, in bytes above the baseline."""


class HostMeter:
    """Peak resident memory of this process (Linux ``VmHWM``), in bytes above its start.

    Where the kernel refuses to reset the peak, it only grows: still an upper bound.
    """

    def __init__(self) -> None:
        self.available_bytes = available_host_bytes()
        self._baseline = _status_bytes("VmRSS")
        _limit_growth(self.available_bytes)

    def reset(self) -> None:
        """Start a new peak."""
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")

    def peak_bytes(self) -> int:
        """Return the peak since `reset`, in bytes above the baseline."""
        return max(0, _status_bytes("VmHWM") - self._baseline)


class CudaMeter:
    """Peak memory that PyTorch's allocator reserved on a CUDA device, in bytes above its start.

    Reserved and not merely allocated: fragmentation is memory too.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        torch.cuda.empty_cache()
        self.available_bytes = int(torch.cuda.mem_get_info(device)[0])
        self._baseline = torch.cuda.memory_reserved(device)

    def reset(self) -> None:
        """Start a new peak."""
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device=self._device)

    def peak_bytes(self) -> int:
        """Return the peak since `reset`, in bytes above the baseline."""
        return max(0, torch.cuda.max_memory_reserved(self._device) - self._baseline)


def memory_meter(device: torch.device) -> MemoryMeter:
    """Return the meter of a device's memory."""
    return CudaMeter(device) if device.type == "cuda" else HostMeter()


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error of a training step means that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(mark in str(error).lower() for mark in _NO_MEMORY)


def available_host_bytes() -> int:
    """Return the bytes this process may still take: of the machine, its cgroups and its ulimit."""
    rooms = [int(psutil.virtual_memory().available), *_cgroup_rooms(_CGROUPS)]
    for limit, used in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        soft = resource.getrlimit(limit)[0]
        if soft != resource.RLIM_INFINITY:
            rooms.append(soft - _status_bytes(used))
    return max(0, min(rooms))


def _limit_growth(growth: int) -> None:
    """Make allocation fail cleanly where the machine would otherwise kill somebody's process."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _status_bytes("VmData") + growth
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    with contextlib.suppress(OSError):  # a locked-down container; the limit above still holds
        Path("/proc/self/oom_score_adj").write_text("1000")


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise OSError(f"/proc/self/status has no field {field}")


def _cgroup_rooms(root: Path) -> Iterator[int]:
    """Yield limit - (usage - reclaimable cache) of each memory cgroup that holds this process."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        base = root / controllers
        folder = base / path.lstrip("/")
        for level in (folder, *folder.parents):
            if level.is_relative_to(base):
                yield from cgroup_room(level)


def cgroup_room(folder: Path) -> Iterator[int]:
    """Yield the room of one memory cgroup, of version 1 or 2, if it sets a limit."""
    names = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
    for limit_name, usage_name in names:
        limit_file = folder / limit_name
        if not limit_file.is_file() or (text := limit_file.read_text().strip()) == "max":
            continue
        statistics = dict(
            line.split() for line in (folder / "memory.stat").read_text().splitlines()
        )
        cache = int(statistics.get("total_inactive_file", statistics.get("inactive_file", 0)))
        yield int(text) - int((folder / usage_name).read_text()) + cache
