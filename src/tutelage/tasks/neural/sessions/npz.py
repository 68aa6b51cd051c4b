"""Sessions as NPZ files: one array a field, or the static form of published image sets."""

from __future__ import annotations

import math
import struct
import sys
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.lib.format import (
    read_array,
    read_array_header_1_0,
    read_array_header_2_0,
    read_magic,
)

from tutelage.core.errors import DataError
from tutelage.core.files import open_regular, require_expandable
from tutelage.tasks.neural.sessions.recording import Array, Recording, known_names

_DAMAGED = (
    OSError, ValueError, EOFError, TypeError, SyntaxError, RuntimeError, OverflowError,
    NotImplementedError, MemoryError, struct.error, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What zipfile and NumPy end in where a file is damaged, or packed in a way they don't know."""


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
        with open_regular(path) as raw, zipfile.ZipFile(raw) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            wanted = known_names(members, path) if names is None else list(names)
            absent = [name for name in wanted if name not in members]
            if absent:
                held = ", ".join(members)
                raise DataError(f"no array {absent[0]!r}", where=path, hint=f"It holds: {held}.")
            packed = [archive.getinfo(members[name]) for name in wanted]
            require_expandable(path, sum(one.file_size for one in packed))
            return {name: _array(archive, one) for name, one in zip(wanted, packed, strict=True)}
    except FileNotFoundError:
        raise DataError("no such session file", where=path) from None
    except _DAMAGED as error:
        hint = "Write it with numpy.savez_compressed, plain arrays only; one that was, is cut off."
        raise DataError(f"can't be read as NPZ: {error}", where=path, hint=hint) from error


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """Read an array that is no longer than its member says.

    Raises:
        ValueError: It is, or holds Python objects.
    """
    with archive.open(member) as file:
        version = read_magic(file)
        header = read_array_header_1_0 if version == (1, 0) else read_array_header_2_0
        shape, _, dtype = header(file)
        size = max(dtype.itemsize, 1)  # of texts that take no byte there could be any number
        if math.prod(shape) * size > member.file_size:
            raise ValueError(f"{member.filename} is shorter than its header says")
    with archive.open(member) as file:
        return plain(read_array(file))


def plain(array: Array) -> Array:
    """Return an array of numbers, truths or texts.

    Raises:
        ValueError: It is of something else, or of texts that are none.
    """
    if array.dtype.kind not in "biufSU":
        raise ValueError(f"an array of {array.dtype} is not read")
    if array.dtype.kind == "U" and array.size:
        signs = np.ascontiguousarray(array).reshape(-1).view(np.uint32)
        if ((signs > sys.maxunicode) | ((signs >= 0xD800) & (signs < 0xE000))).any():
            raise ValueError("a text holds something that is no character")
    return array


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
