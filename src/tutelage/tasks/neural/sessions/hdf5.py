"""Sessions as HDF5 files: the same names as in NPZ, as datasets or as attributes of the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from tutelage.core.errors import DataError, RequestError
from tutelage.core.files import open_regular, require_expandable
from tutelage.core.installing import install_command
from tutelage.tasks.neural.sessions.npz import plain, recording_of
from tutelage.tasks.neural.sessions.recording import Array, Recording, known_names

if TYPE_CHECKING:
    import h5py

DAMAGED: Final = (
    OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, MemoryError,
    SystemError, OverflowError, NotImplementedError, IndexError,
)  # fmt: skip
"""What h5py ends in where the content of a file is damaged."""


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
        hint = f"Install it: {install_command('neural')}."
        raise RequestError("reading HDF5 needs h5py", where=path, hint=hint) from error
    if not path.exists():
        raise DataError("no such session file", where=path)
    try:
        with open_regular(path), h5py.File(path, "r") as file:
            require_own(file, path)
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
    except DAMAGED as error:
        raise DataError(f"can't be read as HDF5: {error}", where=path) from error


def require_own(file: h5py.File, path: Path) -> None:
    """Refuse a file that takes anything from other files, or that unpacks into too much.

    Raises:
        DataError: A link or a dataset leads to another file; or all datasets are too large.
    """
    import h5py

    sizes: list[int] = []
    others: list[str] = []

    def link(name: str, found: object) -> None:
        if isinstance(found, h5py.ExternalLink):
            others.append(name)

    def visit(name: str, found: object) -> None:
        if isinstance(found, h5py.Dataset):
            if found.external or (found.is_virtual and _sources(found)):
                others.append(name)
            sizes.append((found.size or 0) * found.dtype.itemsize)

    file.visititems_links(link)
    file.visititems(visit)
    if others:
        hint = "Copy it into the file; other files are never opened from within one."
        raise DataError(f"{others[0]!r} leads to another file", where=path, hint=hint)
    require_expandable(path, sum(sizes))


def _sources(dataset: h5py.Dataset) -> bool:
    return any(source.file_name != "." for source in dataset.virtual_sources())


def _array(file: h5py.File, name: str) -> Array:
    value = file[name][()] if name in file else file.attrs[name]
    array = np.asarray(value)
    if array.dtype.kind in "OS":  # text, as bytes
        texts = [v.decode() if isinstance(v, bytes) else str(v) for v in array.ravel()]
        return plain(np.array(texts, np.str_).reshape(array.shape))
    return plain(array)
