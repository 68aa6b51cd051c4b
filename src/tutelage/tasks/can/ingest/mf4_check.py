"""A walk over an MF4 file's blocks that notices truncation and damage before asammdf stumbles."""

from __future__ import annotations

import logging
import struct
from importlib import import_module
from pathlib import Path
from typing import IO

from tutelage.core.errors import DataError

_HEADER_AT = 64
_WIDEST = 1 << 32
_GROUP = struct.Struct("<24xII")
"""Of a channel group: bytes of a record's values, and of its invalidation bits."""
_CHANNEL = struct.Struct("<BBBBII")
"""Of a channel: type, sync type, data type, first bit, first byte, bits."""
_VIRTUAL = (3, 6)
"""Types of channels that take nothing from a record."""
_FIELDS = 64
_BLOCK = struct.Struct("<4s4xQQ")


def check_mf4(path: Path) -> None:
    """Follow every link from the header block and see that each block lies inside the file.

    Blocks are laid out as ASAM MDF 4.1 says: a four-letter id with ``##``, the block's length,
    the number of links, and the links, each the address of another block or 0.

    Raises:
        DataError: An older version, a link that leads outside the file, or to no block.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        version = file.read(16)[8:].decode("ascii", "replace").strip("\0 ")
        if not version.startswith("4"):
            hint = "Convert it to MF4, with asammdf for instance."
            raise DataError(f"MDF version {version}; only 4 is read", where=path, hint=hint)
        waiting, seen = [(_HEADER_AT, _WIDEST)], {0}
        while waiting:
            at, record = waiting.pop()
            if at in seen:
                continue
            seen.add(at)
            found = _links(file, at, size, record)
            if found is None:
                raise DataError(
                    f"can't be read as MF4: no whole block at byte {at} of {size}",
                    where=path,
                    hint="Copy the file again; it is truncated or damaged.",
                )
            waiting.extend(found)


def _links(file: IO[bytes], at: int, size: int, record: int) -> list[tuple[int, int]] | None:
    """The addresses that the block at ``at`` leads to, each with the bytes of a record there.

    None when no whole block is there, or a channel that leads out of its record: asammdf's compiled
    code would read on behind it.
    """
    if at + _BLOCK.size > size:
        return None
    file.seek(at)
    kind, length, count = _BLOCK.unpack(file.read(_BLOCK.size))
    if kind[:2] != b"##" or at + length > size or _BLOCK.size + 8 * count > length:
        return None
    links = struct.unpack(f"<{count}Q", file.read(8 * count))
    rest = file.read(min(length - _BLOCK.size - 8 * count, _FIELDS))
    if kind == b"##CG" and len(rest) >= _GROUP.size:
        values, invalid = _GROUP.unpack_from(rest)
        record = values + invalid
    elif kind == b"##CN" and len(rest) >= _CHANNEL.size:
        kind_of, _, _, bit, start, bits = _CHANNEL.unpack_from(rest)
        if kind_of not in _VIRTUAL and start + (bit + bits + 7) // 8 > record:
            return None
    return [(link, record) for link in links]


def hush_asammdf() -> None:
    """Keep asammdf from printing tracebacks beside our refusal of a damaged file.

    It logs a fault before it raises it, and deletes an attribute that its own ``__del__`` asks for.
    """
    from asammdf.blocks.mdf_v4 import MDF4

    logging.getLogger("asammdf").setLevel(logging.CRITICAL)
    MDF4._file = None


def mf4_errors() -> tuple[type[Exception], ...]:
    """What asammdf raises at damaged content: a wrong size ends as a type NumPy can't make."""
    from asammdf.blocks.utils import MdfException

    try:
        inflate = import_module("isal.igzip_lib")  # asammdf's faster zlib, on x86 alone
    except ImportError:
        return MdfException, MemoryError, TypeError
    return MdfException, MemoryError, TypeError, inflate.IsalError
