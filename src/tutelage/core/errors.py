"""The one tree of errors: each says what was asked, what exists, where, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar


class TutelageError(Exception):
    """Base of every error that a person may meet.

    Args:
        problem: What is wrong, in one sentence.
        where: The file, line, key or run that the problem is about.
        hint: What to do next, as an instruction.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self, problem: str, *, where: str | Path | None = None, hint: str | None = None
    ) -> None:
        self.problem = problem
        self.where: str | None = str(where) if where is not None else None
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        head = f"{self.where}: {self.problem}" if self.where else self.problem
        return f"{head}\n  {self.hint}" if self.hint else head


class RunFailedError(TutelageError):
    """A run that was asked for correctly failed while it worked (exit code 1)."""


class RunStoppedError(RunFailedError):
    """A run stopped because it was asked to; it saved what it had, and can go on (exit code 1)."""


class DivergedError(RunFailedError):
    """Training came to a loss or a gradient that is no number."""


class RequestError(TutelageError):
    """The request was wrong; nothing was changed (exit code 2)."""

    exit_code: ClassVar[int] = 2


class ConfigError(RequestError):
    """A setting has an unknown name, a wrong type or a value out of range."""


class DataError(RequestError):
    """Data are missing, unreadable, empty or malformed."""


class CheckpointError(RequestError):
    """A checkpoint or weights file is refused: foreign, truncated, altered or of another shape."""


class StoreError(RequestError):
    """A run can't be found, named, or removed."""


class HeldError(StoreError):
    """Another live process works on the run or the study."""


class StorageError(RequestError):
    """A disk is full or a folder can't be written."""


class TrackingError(RequestError):
    """A tracker can't be reached, or refuses what it is sent."""


class UnknownNameError(RequestError):
    """A name that no registry holds; the nearest valid names are offered.

    Args:
        kind: What the name was meant to name, such as ``"task"`` or ``"loss"``.
        name: The name that was asked for.
        known: Every valid name.
    """

    def __init__(
        self, kind: str, name: str, known: Iterable[str], *, where: str | None = None
    ) -> None:
        self.kind: str = kind
        self.name: str = name
        self.known: tuple[str, ...] = tuple(sorted(known))
        super().__init__(f"unknown {kind} {name!r}", where=where, hint=suggest(name, self.known))


def suggest(name: str, known: Iterable[str]) -> str:
    """Return one line that offers the nearest of the ``known`` names, then lists them all."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.6)
    meant = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    return f"{meant}Valid: {', '.join(names) if names else 'none'}."
