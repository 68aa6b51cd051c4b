"""A walk over a BLF file's objects that notices what python-can would loop on, or never say."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Final

from tutelage.core.errors import DataError

_OBJECT: Final = struct.Struct("<4sHHII")
_FILE_HEADER: Final = struct.Struct("<4sI8xQ")
"""Mark, bytes of the header, and of the file."""
_CONTAINER: Final = struct.Struct("<H6xL4x")
_CONTAINER_TYPE: Final = 10
_DEFLATED: Final = 2
_LARGEST: Final = 1 << 26
"""Bytes of a container and of what it unpacks to; loggers write 128 KiB."""


def check_blf(path: Path) -> None:
    """See that every object of a file, and in its containers, has a length that can be.

    Source: the format as python-can's ``can/io/blf.py`` reads it.

    Raises:
        DataError: One has not.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(_FILE_HEADER.size).ljust(_FILE_HEADER.size, b"\0")
        _, header, said = _FILE_HEADER.unpack(start)
        if not _FILE_HEADER.size <= header <= size:
            raise _damaged(path, f"a header of {header} bytes")
        if size < said:
            hint = "Copy the file again; it is truncated."
            problem = f"is {size} bytes long where its header says {said}"
            raise DataError(problem, where=path, hint=hint)
        file.seek(header)
        tail = b""
        while data := file.read(_OBJECT.size):
            at = file.tell() - len(data)
            mark, _, _, length, kind = _OBJECT.unpack(data.ljust(_OBJECT.size, b"\0"))
            if mark != b"LOBJ" or not _OBJECT.size <= length <= min(size - at, _LARGEST):
                raise _damaged(path, f"no whole object at byte {at} of {size}")
            body = file.read(length - _OBJECT.size)
            file.seek(length % 4, 1)
            if kind == _CONTAINER_TYPE:
                tail = _rest(tail + _unpacked(body, path), path)


def _unpacked(body: bytes, path: Path) -> bytes:
    if len(body) < _CONTAINER.size:
        raise _damaged(path, "a container without a header")
    method, _ = _CONTAINER.unpack_from(body)
    content = body[_CONTAINER.size :]
    if method != _DEFLATED:
        return content if method == 0 else b""
    inflate = zlib.decompressobj()
    try:
        unpacked = inflate.decompress(content, _LARGEST)
    except zlib.error as error:
        raise _damaged(path, f"a container that can't be unpacked: {error}") from error
    if inflate.unconsumed_tail:
        raise _damaged(path, f"a container that unpacks to more than {_LARGEST} bytes")
    return unpacked


def _rest(data: bytes, path: Path) -> bytes:
    """Walk over whole objects; return the beginning of one that the next container goes on with."""
    at = 0
    while True:
        at = data.find(b"LOBJ", at, at + 8)
        if at < 0 or at + _OBJECT.size > len(data):
            return b"" if at < 0 else data[at:]
        length = _OBJECT.unpack_from(data, at)[3]
        if not _OBJECT.size <= length <= _LARGEST:
            raise _damaged(path, f"an object of {length} bytes")
        if at + length > len(data):
            return data[at:]
        at += length


def _damaged(path: Path, problem: str) -> DataError:
    hint = "Copy the file again; it is truncated or damaged."
    return DataError(f"can't be read as BLF: it holds {problem}", where=path, hint=hint)
