"""Sessions as NPZ files: one array a field, or the static form of published image sets."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from tutelage.core.errors import DataError
from tutelage.tasks.neural.sessions.recording import Array, Recording, known_names


def read_npz(path: Path) -> Recording:
    """Read a file that holds one session.

    The static form ``images, responses, monkey, session, bin_ms`` is known as it is; the session is
    called ``MONKEY_SESSION`` then, and else as its ``session`` or the file says.

    Raises:
        DataError: The file is missing, damaged or no NPZ file, holds Python objects, or an array's
            name looks like a mistyped one.
    """
    return recording_of(read_arrays(path), path)


def read_arrays(path: Path, names: tuple[str, ...] | None = None) -> dict[str, Array]:
    """Read arrays of a file: those that mean something here, or those asked for.

    Raises:
        DataError: As `read_npz`; or a name that was asked for is absent.
    """
    try:
        with path.open("rb") as raw, np.load(raw) as file:
            if names is None:
                return {name: file[name] for name in known_names(file.files, path)}
            absent = [name for name in names if name not in file.files]
            if absent:
                held = ", ".join(file.files)
                raise DataError(f"no array {absent[0]!r}", where=path, hint=f"It holds: {held}.")
            return {name: file[name] for name in names}
    except FileNotFoundError:
        raise DataError("no such session file", where=path) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        hint = "Write it with numpy.savez_compressed, plain arrays only."
        raise DataError(f"can't be read as NPZ: {error}", where=path, hint=hint) from error


def recording_of(arrays: dict[str, Array], path: Path) -> Recording:
    """Take id, animal and rate from the arrays, or from the file's name.

    Raises:
        DataError: The rate is no positive number.
    """
    session = _word(arrays, "session")
    animal = _word(arrays, "animal") or _word(arrays, "monkey")
    named = f"{animal}_{session}" if animal and session else session
    return Recording(
        path=path,
        id=named or path.stem,
        arrays=arrays,
        animal=animal or path.stem.split("_")[0],
        rate_hz=_rate(arrays, path),
    )


def _word(arrays: dict[str, Array], name: str) -> str:
    return str(arrays[name].reshape(-1)[0]) if name in arrays and arrays[name].size else ""


def _rate(arrays: dict[str, Array], path: Path) -> float | None:
    for name in ("rate_hz", "bin_ms"):
        if name in arrays:
            try:
                value = float(arrays[name].reshape(-1)[0])
            except (ValueError, IndexError):
                value = 0.0
            if not 0 < value < float("inf"):
                raise DataError(f"{name} is not a positive number", where=path)
            return value if name == "rate_hz" else 1000 / value
    return None
