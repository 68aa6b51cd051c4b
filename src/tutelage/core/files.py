"""Durable files: written whole or not at all, digested, refused clearly when the disk is full."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path, PurePosixPath
from typing import IO, Final

import xxhash

from tutelage.core.errors import DataError, StorageError

Json = Mapping[str, object]
"""A JSON object that others have."""
JsonDict = dict[str, object]
"""One that is being made."""
_CHUNK = 1 << 20
ALWAYS_EXPANDED: Final = 1 << 30
MOST_EXPANSION: Final = 200
_seen: ContextVar[dict[Path, str] | None] = ContextVar("digested files", default=None)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def digest_bytes(data: bytes | memoryview) -> str:
    """Return the xxh3-128 hex digest of ``data``."""
    return xxhash.xxh3_128_hexdigest(data)


def exists(path: Path) -> bool:
    """Return whether there is a file or folder; False also where none can have such a name."""
    try:
        return path.exists()
    except OSError:
        return False


def open_regular(path: Path) -> IO[bytes]:
    """Open a file for reading that has an end: no pipe, device or socket.

    Raises:
        OSError: It can't be opened, or is of another kind.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "it is no regular file", str(path))


def stays_inside(name: str) -> str:
    """Return the path of a file below a folder, as a document has it.

    Raises:
        ValueError: It leads out of the folder, or can be no path.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
        raise ValueError(f"{name!r} leads out of its folder")
    return name


def inside(folder: Path, path: Path) -> bool:
    """Whether a path, its links followed, stays in a folder."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a circle of links, or a name with a NUL in it
        return False


def require_expandable(path: Path, size: int) -> None:
    """Refuse a packed file of data that would take more memory than its like ever does.

    Args:
        path: The file.
        size: Bytes that it says to have when it is unpacked.

    Raises:
        DataError: They are more than a GiB, and more than 200 for each byte of the file.
    """
    packed = path.stat().st_size
    if size > max(ALWAYS_EXPANDED, MOST_EXPANSION * packed):
        hint = "If it is what it should be, save it without compression, or in parts."
        said = f"{packed} bytes say to hold {size}, more than {MOST_EXPANSION} times as many"
        raise DataError(said, where=path, hint=hint)


def _is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except OSError:  # a name that no file can have
        return False


def require_inside(root: Path, paths: Iterable[Path]) -> None:
    """Refuse files that links below a folder of data lead out of it.

    Raises:
        DataError: There is one.
    """
    known: dict[Path, bool] = {}
    for path in paths:
        if path.parent not in known:
            known[path.parent] = inside(root, path.parent)
        if path == root:
            continue
        if not known[path.parent] or (_is_link(path) and not inside(root, path)):
            hint = "Copy it into the folder or, if you trust the folder, set data.links=anywhere."
            raise DataError(f"leads out of {root}, by a link or by its name", where=path, hint=hint)


def digest_file(path: Path) -> str:
    """Return the xxh3-128 hex digest of a file's content, read in chunks.

    Raises:
        OSError: It can't be read, or is no regular file.
    """
    state = xxhash.xxh3_128()
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    digest = state.hexdigest()
    if (seen := _seen.get()) is not None:
        seen[path] = digest
    return digest


@contextmanager
def digested_files() -> Iterator[dict[Path, str]]:
    """Collect the path and digest of each file that `digest_file` reads within the block.

    So whoever digests data learns which files they are without reading them twice.
    """
    seen: dict[Path, str] = {}
    token = _seen.set(seen)
    try:
        yield seen
    finally:
        _seen.reset(token)


def digest_json(value: object) -> str:
    """Return the digest of a JSON value, independent of key order and white space."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=True)
    return digest_bytes(text.encode())


@contextmanager
def storage_errors(path: Path, hint: str | None = None) -> Iterator[None]:
    """Turn the system's refusal to write ``path`` into a `StorageError` that says what to do.

    Args:
        path: What is to be written.
        hint: What to do about a refusal for which nothing better is known.

    Raises:
        StorageError: The disk is full, or the folder can't be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            hint = "Free some space, or set TUTELAGE_HOME to a folder on a larger disk."
            raise StorageError("the disk is full", where=path, hint=hint) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = "Change its permissions, or set TUTELAGE_HOME to a folder you may write."
            raise StorageError("the folder can't be written", where=path, hint=hint) from error
        said = error.strerror or error
        raise StorageError(f"can't be written: {said}", where=path, hint=hint) from error


def fsync_folder(folder: Path) -> None:
    """Make renames inside ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of ``path`` only when the block ends without an error.

    The bytes go to a temporary file in the same folder, then: flush, fsync, rename, fsync of the
    folder. On any error the temporary file is removed and ``path`` keeps its former content.

    Raises:
        StorageError: The disk is full, or the folder can't be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with storage_errors(path):
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            fsync_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, atomically.

    Raises:
        StorageError: The disk is full, or the folder can't be written.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with atomic_file(path) as file:
        file.write(text.encode())


def write_files(folder: Path, contents: Mapping[str, bytes]) -> dict[str, Path]:
    """Write files into a folder, each atomically, and return where each one is.

    Raises:
        StorageError: The disk is full, or the folder can't be written.
    """
    paths = {name: folder / name for name in contents}
    for name, path in paths.items():
        with atomic_file(path) as file:
            file.write(contents[name])
    return paths
