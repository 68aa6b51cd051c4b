"""Settings of glibc's allocator under which a training step finds its memory where it left it."""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8


def keep_freed_memory() -> bool:
    """Have glibc keep freed memory instead of giving it back to the system at each step.

    A training step frees its large tensors and asks for the same again; when they go back to the
    system, each step pays for their pages anew. The process then stays as large as its largest
    step. Elsewhere than on glibc nothing is done.

    Returns:
        Whether it was done.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1) and libc.mallopt(M_MMAP_THRESHOLD, 2**30))


def use_one_arena() -> None:
    """Have threads that start from now on allocate from the main thread's arena, as it does."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
