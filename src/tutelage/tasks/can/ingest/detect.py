"""Which format a capture has, told from its first bytes and never from its name alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tutelage.core.errors import DataError
from tutelage.tasks.can.ingest.explain import nul

_HEAD = 1 << 16


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
    (re.compile(r"\s*-?\d+(\.\d*)?\s*,\s*(0[xX])?[0-9a-fA-F]+\s*,\s*\d\s*(,|$)"), Format.HCRL),
    (re.compile(r"\s*;"), Format.TRC),
    (re.compile(r"\s*(date\s|base\s+(hex|dec)|//\s*version)", re.IGNORECASE), Format.ASC),
    (re.compile(r"\s*[\"']?[A-Za-z_][^,]*,.*[A-Za-z]"), Format.CSV),
)


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


def detect(path: Path) -> Detected:
    """Tell a file's format from its content.

    Raises:
        DataError: The file is absent, unreadable, empty, or of no known format.
    """
    head = _read_head(path)
    for magic, format in _MAGIC:
        if head.startswith(magic):
            return Detected(format)
    text = head.decode("utf-8-sig", "backslashreplace")
    number, line = next(((i, t) for i, t in enumerate(text.split("\n"), 1) if t.strip()), (1, ""))
    for pattern, format in _FIRST_LINE:
        if pattern.match(line):
            return Detected(format, line.rstrip("\r"), number)
    known = ", ".join(f.value for f in Format)
    raise DataError(
        nul(line) or f"not a CAN capture in a known format; it starts with {line[:60]!r}",
        where=f"{path}:{number}",
        hint=f"Known formats: {known}. A CSV needs a header line, or HCRL's column order.",
    )


def _read_head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except FileNotFoundError as error:
        raise DataError("no such file", where=path, hint="Check data.root.") from error
    except IsADirectoryError as error:
        raise DataError("a folder, not a capture", where=path) from error
    except OSError as error:
        raise DataError(
            f"can't be read: {error.strerror}", where=path, hint="Check its permissions."
        ) from error
    if not head.strip():
        raise DataError(
            "the file is empty", where=path, hint="Remove it from data.root, or copy it again."
        )
    return head
