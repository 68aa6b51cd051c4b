"""A file that a live process holds, so that no other works in the same place."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from tutelage.core.errors import HeldError, StoreError
from tutelage.core.files import storage_errors

LOCK: Final = ".lock"
"""File that a process holds while it works in a folder, or, in the store, while it removes runs."""
_LOOKS: Final = 25
_LOOK_SECONDS: Final = 0.02


@contextmanager
def holding(path: Path, busy: HeldError) -> Iterator[None]:
    """Hold a file while the block lasts.

    Args:
        path: The file; it is made if it is not there.
        busy: What is raised where another live process holds it.

    Raises:
        HeldError: One does, or the folder is being removed.
        StorageError: The file can't be made.
    """
    with storage_errors(path):
        file = path.open("a")
    with file:
        if not _lock(file) or not _is_there(file, path):
            raise busy
        yield


@contextmanager
def waiting(path: Path, *, shared: bool) -> Iterator[None]:
    """Hold a file while the block lasts, as soon as the others let go of it.

    Args:
        path: The file; it is made if it is not there.
        shared: Whether others may hold it so at the same time.

    Raises:
        StorageError: The file can't be made.
    """
    with storage_errors(path):
        file = path.open("a")
    with file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


def is_held(path: Path, what: str) -> bool:
    """Whether a live process holds a file.

    Args:
        path: The file; one that is absent is not held.
        what: What it stands for, for the message.

    Raises:
        StoreError: The file can't be read, so that nobody knows.
    """
    try:
        file = path.open("r")
    except FileNotFoundError:
        return False
    except OSError as error:
        said = f"whether a process works on this {what} can't be seen: {error.strerror or error}"
        raise StoreError(said, where=path) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _lock(file: IO[str]) -> bool:
    """Lock a file for this process; wait out the moment in which `is_held` looks at it."""
    for _ in range(_LOOKS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOOK_SECONDS)
        else:
            return True
    return False


def _is_there(file: IO[str], path: Path) -> bool:
    """Whether a file that is locked is still the one of that name."""
    try:
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
