"""`Check`: what was found of one thing that a run names; and files compared with their digests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tutelage.core.files import digest_file

State = Literal["same", "changed", "unchecked"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was found of one thing that a run names.

    Args:
        run: Id of the run.
        what: ``weights``, ``card``, ``config``, ``data``, ``split``, ``parent``, …
        path: The file, or the id of a parent.
        state: ``same``; ``changed``; or ``unchecked``, since it can't be.
        said: Why, where it isn't the same.
    """

    run: str
    what: str
    path: str
    state: State
    said: str = ""


@dataclass(frozen=True, slots=True)
class Digests:
    """Digests of files as they are now, each read once."""

    known: dict[Path, str] = field(default_factory=dict)

    def compare(self, path: Path, then: str) -> tuple[State, str]:
        """Say whether a file has the digest that it had; and if it hasn't, what is wrong."""
        try:
            now = self.known.get(path) or digest_file(path)
        except FileNotFoundError:
            return "changed", "is missing"
        except OSError as error:
            return "changed", f"can't be read: {error.strerror or error}"
        self.known[path] = now
        return ("same", "") if now == then else ("changed", "its digest differs from the record's")
