"""The revision of the code that runs: the commit of its working tree, and whether it differs."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import ClassVar, Final

from pydantic import BaseModel, ConfigDict

_SECONDS: Final = 10


class Revision(BaseModel):
    """A state of the code.

    Args:
        commit: The commit that was checked out.
        dirty: Whether files of the package differ from that commit.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    commit: str
    dirty: bool

    def __str__(self) -> str:
        return f"{self.commit}{' and changes' if self.dirty else ''}"


@cache
def package_revision() -> Revision | None:
    """Return the revision of the installed package; null where no git tracks it."""
    return revision_of(Path(__file__).parents[1])


def revision_of(folder: Path) -> Revision | None:
    """Return the revision of a folder of a working tree.

    Args:
        folder: The folder. A tree that merely contains it, as that of a project with a virtual
            environment in it, says nothing of its content.

    Returns:
        The revision; null where there is no git, no commit, or no tracked file in the folder.
    """
    if not _git(folder, "ls-files", "--", "."):
        return None
    said = _git(folder, "status", "--porcelain=v2", "--branch", "--", ".")
    lines = said.splitlines() if said else []
    commit = next((line.split()[2] for line in lines if line.startswith("# branch.oid")), "")
    if not commit or commit == "(initial)":
        return None
    return Revision(commit=commit, dirty=any(not line.startswith("#") for line in lines))


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints; null where it can't say. It locks nothing and asks nobody."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=kept | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
