"""The numbered lines of a text file; what is no UTF-8 is said, not guessed."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tutelage.core.errors import DataError
from tutelage.core.files import open_regular

_WIDE: Final = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""Byte order marks of encodings that are not read, the longer ones first."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file.

    Args:
        number: Counted from 1.
        text: Without its end; null if its bytes are no UTF-8.
        wrong: What is wrong with its bytes, if something is.
    """

    number: int
    text: str | None
    wrong: str = ""


def read_head(path: Path, size: int = 1 << 16) -> bytes:
    """Return the first bytes of a file of text.

    Raises:
        DataError: The file is absent, unreadable, empty, or in another encoding than UTF-8.
    """
    try:
        with open_regular(path) as file:
            head = file.read(size)
    except FileNotFoundError as error:
        raise DataError("no such file", where=path, hint="Check the path.") from error
    except OSError as error:
        hint = "Check its permissions."
        raise DataError(f"can't be read: {error.strerror}", where=path, hint=hint) from error
    if not head.strip():
        raise DataError("the file is empty", where=path, hint="Leave it out, or copy it again.")
    for mark, name in _WIDE.items():
        if head.startswith(mark):
            raise DataError(
                f"{name} text; only UTF-8 can be read",
                where=path,
                hint=f"Save it as UTF-8, as `iconv -f {name} -t UTF-8 {path.name} > NEW` does.",
            )
    return head


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the lines of a file; only line feeds, with or without a carriage return, end them.

    Raises:
        DataError: The file is absent, unreadable, empty, or in another encoding than UTF-8.
    """
    read_head(path)
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            line = raw.rstrip(b"\r\n")
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            try:
                yield Line(number, line.decode())
            except UnicodeDecodeError as error:
                byte = line[error.start]
                yield Line(number, None, f"byte 0x{byte:02x} at column {error.start + 1}")
