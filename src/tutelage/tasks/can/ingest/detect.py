"""Which format a capture has, told from its first bytes and never from its name alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from tutelage.core.errors import DataError
from tutelage.core.files import open_regular
from tutelage.tasks.can.ingest.explain import nul

_HEAD = 1 << 16


class ForeignFileError(DataError):
    """A file that may be no capture at all: of no known format, without our columns, mostly bad."""


class Format(StrEnum):
    """The formats that can be read."""

    PARQUET = "parquet"
    CSV = "csv"
    HCRL = "hcrl"
    OTIDS = "otids"
    CANDUMP = "candump"
    ASC = "asc"
    BLF = "blf"
    TRC = "trc"
    MF4 = "mf4"


_MAGIC = ((b"PAR1", Format.PARQUET), (b"LOGG", Format.BLF), (b"MDF ", Format.MF4))
_FIRST_LINE = (
    (re.compile(r"\s*\(\d+(\.\d*)?\)\s+\S+\s+\S"), Format.CANDUMP),
    (re.compile(r"\s*Timestamp:\s"), Format.OTIDS),
    (
        re.compile(r"\s*-?\d+(\.\d*)?\s*([,;\t])\s*(0[xX])?[0-9a-fA-F]+\s*\2\s*\d\s*(\2|$)"),
        Format.HCRL,
    ),
    (re.compile(r"\s*;"), Format.TRC),
    (re.compile(r"\s*(date\s|base\s+(hex|dec)|//\s*version)", re.IGNORECASE), Format.ASC),
    (re.compile(r"\s*[\"']?[A-Za-z_][^,;\t]*[,;\t].*[A-Za-z]"), Format.CSV),
)
_DELIMITERS = ",;\t"
_WIDE = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
"""Byte order marks of encodings that can't be read, the longer ones first."""


@dataclass(frozen=True, slots=True)
class Detected:
    """What the start of a file says.

    Args:
        format: The file's format.
        line: For text, the first line that is not empty.
        number: For text, that line's number.
    """

    format: Format
    line: str = ""
    number: int = 1


_PACKED: Final = {
    b"PK\x03\x04": "a ZIP archive, as Excel's workbooks are",
    b"\x1f\x8b": "a gzip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
}
"""How files begin that people take for captures."""


def detect(path: Path) -> Detected:
    """Tell a file's format from its content.

    Raises:
        DataError: The file is absent, unreadable, empty, or of no known format.
    """
    head = _read_head(path)
    _refuse_wide(head, path)
    for magic, what in _PACKED.items():
        if head.startswith(magic):
            hint = "Unpack it; save an Excel sheet as CSV."
            raise DataError(f"{what}, not a capture", where=path, hint=hint)
    for magic, format in _MAGIC:
        if head.startswith(magic):
            return Detected(format)
    text = head.decode("utf-8-sig", "backslashreplace")
    number, line = next(((i, t) for i, t in enumerate(text.split("\n"), 1) if t.strip()), (1, ""))
    for pattern, format in _FIRST_LINE:
        if pattern.match(line):
            return Detected(format, line.rstrip("\r"), number)
    known = ", ".join(f.value for f in Format)
    raise ForeignFileError(
        nul(line) or f"not a CAN capture in a known format; it starts with {line[:60]!r}",
        where=f"{path}:{number}",
        hint=f"Known formats: {known}. A CSV needs a header line, or HCRL's column order.",
    )


def delimiter_of(line: str) -> str:
    """The delimiter of a CSV file's first line: comma, semicolon or tab, whichever stands most."""
    return max(_DELIMITERS, key=line.count)


def _refuse_wide(head: bytes, path: Path) -> None:
    """Refuse text of two or four bytes a character, with a byte order mark or without one."""
    found = next((name for mark, name in _WIDE.items() if head.startswith(mark)), None)
    even, odd = head[:64:2], head[1:64:2]
    if not found and len(odd) > 3 and (any(even), any(odd)) in ((True, False), (False, True)):
        found = "UTF-16" if all(even) or all(odd) else None
    if found:
        raise DataError(
            f"{found} text; only UTF-8 can be read",
            where=path,
            hint=f"Save it as UTF-8, as `iconv -f {found} -t UTF-8 {path.name} > NEW` does.",
        )


def _read_head(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            head = file.read(_HEAD)
    except FileNotFoundError as error:
        raise DataError("no such file", where=path, hint="Check the path.") from error
    except IsADirectoryError as error:
        raise DataError("a folder, not a capture", where=path) from error
    except OSError as error:
        raise DataError(
            f"can't be read: {error.strerror}", where=path, hint="Check its permissions."
        ) from error
    if not head.strip():
        raise DataError("the file is empty", where=path, hint="Leave it out, or copy it again.")
    return head
