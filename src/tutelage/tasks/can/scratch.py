"""Columns larger than memory: from a size on they lie in a temporary file that no name leads to."""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from math import prod
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tutelage.core.errors import StorageError

LARGE = 1 << 25
"""Bytes from which on a column lies in a file."""
ROWS = 1 << 20
"""Rows of a column that are worked on at once."""
_GATHERED = 1 << 22
"""Bytes that a column in a file gathers before it writes them."""
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

T = TypeVar("T", bound=np.generic)


def blocks(count: int, rows: int = ROWS) -> Iterator[slice]:
    """Yield the slices of ``rows`` rows each that make up ``count`` rows, in order."""
    for start in range(0, count, rows):
        yield slice(start, min(start + rows, count))


def zeros(shape: int | tuple[int, ...], kind: DTypeLike, large: int = LARGE) -> NDArray[Any]:
    """Return an array of zeros, in memory or, from ``large`` bytes on, in a temporary file.

    The file is mapped and has no name, so that it goes with the array. It lies where `tempfile`
    says: set TMPDIR to a folder on a disk with room.

    Raises:
        StorageError: The disk has no room for it.
    """
    shape = (shape,) if isinstance(shape, int) else shape
    kind = np.dtype(kind)
    size = prod(shape) * kind.itemsize
    if size < large or not size:
        return np.zeros(shape, kind)
    with _temporary() as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)  # or a full disk would end the process
        except OSError as error:
            raise _full(error, size) from error
        return np.ndarray(shape, kind, buffer=mmap.mmap(file.fileno(), size))


def concatenate(parts: Sequence[NDArray[T]], axis: int = 0, large: int = LARGE) -> NDArray[T]:
    """Join arrays as `numpy.concatenate` does; from ``large`` bytes on in a temporary file.

    Raises:
        StorageError: The disk has no room for it.
    """
    if sum(part.nbytes for part in parts) < large:
        return np.concatenate(parts, axis)
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    joined: NDArray[T] = zeros(tuple(shape), parts[0].dtype, large)
    return np.concatenate(parts, axis, out=joined)


def selected(values: NDArray[T], mask: NDArray[np.bool_]) -> NDArray[T]:
    """Return ``values[mask]`` for values (n, ...) and a mask (n,), large ones in a file.

    Raises:
        StorageError: The disk has no room for it.
    """
    if len(values) <= ROWS:
        return values[mask]
    kept = Spool(values.dtype, values.shape[1:])
    for rows in blocks(len(values)):
        kept.append(values[rows][mask[rows]])
    return kept.array()


def taken_out(values: NDArray[T], at: NDArray[np.integer[Any]]) -> NDArray[T]:
    """Return ``values[at]`` for values (n, ...) and places (m,), large ones in a file.

    Raises:
        StorageError: The disk has no room for it.
    """
    if len(at) <= ROWS:
        few: NDArray[T] = values[at]
        return few
    found: NDArray[T] = zeros((len(at), *values.shape[1:]), values.dtype)
    for rows in blocks(len(at)):
        found[rows] = values[at[rows]]
    return found


class Spool:
    """A column to which rows are appended; from some bytes on it goes on in a temporary file.

    Args:
        kind: Type of its values.
        shape: Shape of a row.
        large: Bytes up to which it stays in memory.
    """

    def __init__(self, kind: DTypeLike, shape: tuple[int, ...] = (), large: int = LARGE) -> None:
        self._kind, self._shape, self._large = np.dtype(kind), shape, large
        self._parts: list[NDArray[Any]] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None

    def append(self, rows: NDArray[Any]) -> None:
        """Append rows (m, *shape) of the column's type.

        Raises:
            StorageError: The disk has no room for them.
        """
        self._parts.append(rows)
        self._bytes += rows.nbytes
        if self._bytes >= (self._large if self._file is None else min(self._large, _GATHERED)):
            self._spill()

    def _spill(self) -> None:
        try:
            if self._file is None:
                self._file = _temporary()
                weakref.finalize(self, self._file.close)
            for part in self._parts:
                self._file.write(
                    np.ascontiguousarray(part, self._kind).reshape(-1).view(np.uint8).data
                )
            self._file.flush()
        except OSError as error:
            raise _full(error, self._bytes) from error
        self._parts.clear()
        self._bytes = 0

    def array(self) -> NDArray[Any]:
        """Return all rows (n, *shape); nothing may be appended after."""
        if self._file is None:
            empty = np.zeros((0, *self._shape), self._kind)
            return np.concatenate([empty, *self._parts])
        self._spill()
        size = self._file.tell()
        with self._file as file:
            whole = mmap.mmap(file.fileno(), size)
        row = self._kind.itemsize * prod(self._shape)
        return np.ndarray((size // row, *self._shape), self._kind, buffer=whole)


def _temporary() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(prefix="tutelage-")
    except OSError as error:
        raise _full(error, 0) from error


def _full(error: OSError, size: int) -> StorageError:
    """The refusal of a temporary file of so many bytes."""
    why = "the disk is full" if error.errno in _NO_SPACE else f"can't be written: {error.strerror}"
    hint = "Free some space, or set TMPDIR to a folder on a larger disk."
    return StorageError(
        f"{why}, and {size} bytes don't fit into memory", where=tempfile.gettempdir(), hint=hint
    )
