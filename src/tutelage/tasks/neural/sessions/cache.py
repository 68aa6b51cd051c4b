"""Sessions parsed once and kept as memory-mapped arrays, shared by workers, ranks and runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tutelage.core.apart import apart
from tutelage.core.errors import DataError
from tutelage.core.files import storage_errors
from tutelage.tasks.neural.sessions.session import Session

FACTS = "session.json"
ARRAYS = (
    "stimulus", "responses", "valid", "trial", "block", "part", "behaviour", "expected",
    "stimulus_type",
)  # fmt: skip


def cached(
    folder: Path, key: str, make: Callable[[], Session], foreign: Path | None = None
) -> Session:
    """Return the session kept under ``key``, made first where it is not there yet.

    A session is written beside its place and then moved there, so that processes which make the
    same one at once disturb nobody: the first one wins.

    Args:
        folder: Where sessions are kept.
        key: Digest of everything that the session depends on.
        make: Reads it.
        foreign: The file, where a library in C parses it, which it may crash: it is read `apart`.

    Raises:
        StorageError: The folder can't be written.
        DataError: What `make` raises.
    """
    place = folder / key

    def keep() -> None:
        session = make()
        with storage_errors(folder):
            _write(place, session)

    if not (place / FACTS).exists():
        keep() if foreign is None else apart(keep, foreign)
    return _open(place)


def _write(place: Path, session: Session) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    facts = {name: getattr(session, name) for name in Session.__slots__ if name not in ARRAYS}
    for name in ARRAYS:
        array: NDArray[np.generic] | None = getattr(session, name)
        if array is not None:
            np.save(temporary / f"{name}.npy", array)
    (temporary / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    try:
        temporary.replace(place)
    except OSError:
        if not (place / FACTS).exists():
            raise
        shutil.rmtree(temporary)


def _open(place: Path) -> Session:
    try:
        facts = json.loads((place / FACTS).read_text(encoding="utf-8"))
        arrays = {
            name: np.load(place / f"{name}.npy", mmap_mode="r")
            for name in ARRAYS
            if (place / f"{name}.npy").exists()
        }
    except (OSError, ValueError) as error:
        hint = "Remove this folder; it is made again."
        raise DataError(f"damaged cache: {error}", where=place, hint=hint) from error
    return _session(facts | arrays)


def _session(values: dict[str, object]) -> Session:
    """Make the session; lists of names become tuples."""
    plain = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return Session(**plain)  # type: ignore[arg-type]  # checked when it was written
