"""A profiler that measures nothing: Lightning enters one many times a step."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from lightning.pytorch.profilers import Profiler


class NoProfiler(Profiler):
    """Stands in for Lightning's `PassThroughProfiler`, whose generators cost time in each step."""

    _NOTHING: AbstractContextManager[None] = nullcontext()

    def start(self, action_name: str) -> None:
        """Do nothing."""

    def stop(self, action_name: str) -> None:
        """Do nothing."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        """Return a context that does nothing."""
        return self._NOTHING
