"""Sessions as HDF5 files: the same names as in NPZ, as datasets or as attributes of the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tutelage.core.errors import DataError, RequestError
from tutelage.tasks.neural.sessions.npz import recording_of
from tutelage.tasks.neural.sessions.recording import Array, Recording, known_names

if TYPE_CHECKING:
    import h5py


def read_hdf5(path: Path) -> Recording:
    """Read a file that holds one session.

    Raises:
        DataError: The file is missing, damaged or no HDF5 file, or a dataset's name looks like a
            mistyped one.
        RequestError: h5py is not installed.
    """
    return recording_of(read_datasets(path), path)


def read_datasets(path: Path, names: tuple[str, ...] | None = None) -> dict[str, Array]:
    """Read datasets of a file: those at its root that mean something here, or those asked for.

    Args:
        path: The file.
        names: Paths inside it, such as ``stimuli/movie``.

    Raises:
        DataError: As `read_hdf5`; or a name that was asked for is absent.
    """
    try:
        import h5py
    except ImportError as error:
        hint = "Install it: pip install 'tutelage[neural]'."
        raise RequestError("reading HDF5 needs h5py", where=path, hint=hint) from error
    if not path.exists():
        raise DataError("no such session file", where=path)
    try:
        with h5py.File(path, "r") as file:
            held = [key for key in file if isinstance(file[key], h5py.Dataset)]
            held += [key for key in file.attrs if key not in held]
            wanted = known_names(held, path) if names is None else list(names)
            absent = [name for name in wanted if name not in file and name not in file.attrs]
            if absent:
                there = ", ".join(held)
                raise DataError(
                    f"no dataset {absent[0]!r}", where=path, hint=f"At its root: {there}."
                )
            return {name: _array(file, name) for name in wanted}
    except OSError as error:
        raise DataError(f"can't be read as HDF5: {error}", where=path) from error


def _array(file: h5py.File, name: str) -> Array:
    value = file[name][()] if name in file else file.attrs[name]
    array = np.asarray(value)
    if array.dtype.kind in "OS":  # text, as bytes
        texts = [v.decode() if isinstance(v, bytes) else str(v) for v in array.ravel()]
        return np.array(texts).reshape(array.shape)
    return array
