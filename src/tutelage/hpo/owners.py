"""Who works on a trial, and whether that process is still there."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from pydantic import JsonValue

GRACE_SECONDS: Final = 120.0
"""Time without a sign of life after which an owner on another machine is taken for dead."""
BEAT_SECONDS: Final = 20.0
"""Time between two signs of life."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that works on trials.

    Args:
        host: The machine, with the namespace in which its process ids mean something.
        pid: The process.
        started: When it was started, so that a later one of the same id is another.
        beat: Rises while it lives.
    """

    host: str
    pid: int
    started: float
    beat: int = 0

    @classmethod
    def here(cls) -> Owner:
        """This process."""
        return cls(host_name(), os.getpid(), psutil.Process().create_time())

    def as_json(self, beat: int = 0) -> JsonValue:
        """Return it as an attribute of a trial."""
        return {"host": self.host, "pid": self.pid, "started": self.started, "beat": beat}

    @classmethod
    def read(cls, value: object) -> Owner | None:
        """Return the owner that an attribute names, if it names one."""
        if not isinstance(value, Mapping):
            return None
        return cls(value["host"], value["pid"], value["started"], value["beat"])


class Watch:
    """Tells dead owners from live ones.

    One on this machine lives if its process does. Of one elsewhere signs of life are awaited, by
    this machine's clock alone.
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Owner, float]] = {}

    def is_dead(self, trial: int, owner: Owner | None) -> bool:
        """Whether nobody works on a trial that its owner has not ended."""
        if owner is None:
            return True
        if owner.host == host_name():
            return not _lives(owner)
        before, since = self._seen.setdefault(trial, (owner, time.monotonic()))
        if before != owner:
            self._seen[trial] = (owner, time.monotonic())
            return False
        return time.monotonic() - since > GRACE_SECONDS


def host_name() -> str:
    """Name of this machine, and of the namespace of its process ids."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return f"{socket.gethostname()} {space}".strip()


def _lives(owner: Owner) -> bool:
    try:
        process = psutil.Process(owner.pid)
        return abs(process.create_time() - owner.started) < 1 and bool(
            process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return False
