"""`BackgroundWriter`: files of tensors written by a thread, from a copy, while training goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor


class BackgroundWriter:
    """Writes one state at a time; the next waits until the last is on the disk.

    The copy that is written lies in memory that is kept: the second state of the same shapes is
    copied as fast as memory allows.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._writing: Future[None] | None = None
        self._copies: dict[str, Tensor] = {}

    def write(
        self, tensors: Mapping[str, Tensor], write: Callable[[Mapping[str, Tensor]], None]
    ) -> None:
        """Copy the tensors, and call ``write`` with the copies in another thread.

        Raises:
            Exception: What the write before raised.
        """
        self.wait()
        self._copies = {name: self._copy(name, tensor) for name, tensor in tensors.items()}
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoints")
        self._writing = self._pool.submit(write, self._copies)

    def wait(self) -> None:
        """Return when nothing is being written.

        Raises:
            Exception: What the last write raised; once.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """Wait, and give back thread and memory.

        Raises:
            Exception: What the last write raised.
        """
        try:
            self.wait()
        finally:
            if self._pool is not None:
                self._pool.shutdown()
            self._pool, self._copies = None, {}

    def _copy(self, name: str, tensor: Tensor) -> Tensor:
        kept = self._copies.get(name)
        if kept is None or kept.shape != tensor.shape or kept.dtype != tensor.dtype:
            kept = torch.empty(tensor.shape, dtype=tensor.dtype)
        return kept.copy_(tensor)
