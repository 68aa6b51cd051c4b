"""Text files in blocks of whole lines, so that a large capture never lies in memory at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tutelage.tasks.can.ingest.fields import PAD, Bytes, Offsets, padded

BLOCK_BYTES = 1 << 20
_NEWLINE, _RETURN = 10, 13


@dataclass(frozen=True, slots=True)
class Lines:
    """Consecutive lines of a file that are not empty.

    Args:
        buffer: The bytes, padded on either side.
        starts: (n,) offset of each line's first byte.
        ends: (n,) offset just after each line's last byte, line ending left out.
        numbers: (n,) line numbers, counted from 1.
    """

    buffer: Bytes
    starts: Offsets
    ends: Offsets
    numbers: Offsets

    def __len__(self) -> int:
        return len(self.starts)

    def text(self, row: int) -> str:
        """One line as text, unreadable bytes shown as escapes."""
        raw = self.buffer[self.starts[row] : self.ends[row]].tobytes()
        return raw.decode("utf-8", "backslashreplace")


def line_blocks(
    path: Path, *, skip: int = 0, drop: bytes = b"", block_bytes: int = BLOCK_BYTES
) -> Iterator[Lines]:
    """Yield a text file's lines block by block.

    Args:
        path: The file.
        skip: Lines to leave out at the start, such as a header; they still count.
        drop: Characters to remove wherever they stand.
        block_bytes: Bytes read at a time.
    """
    number = 1
    rest = b""
    with path.open("rb") as file:
        while True:
            chunk = file.read(block_bytes)
            raw = rest + chunk
            cut = raw.rfind(b"\n") + 1 if chunk else len(raw)
            rest = raw[cut:]
            if cut:
                lines, count = split_lines(_drop(raw[:cut], drop), number)
                number += count
                yield _without_first(lines, skip)
            if not chunk:
                return


def _drop(raw: bytes, characters: bytes) -> bytes:
    if any(characters[i : i + 1] in raw for i in range(len(characters))):
        return raw.translate(None, characters)
    return raw


def split_lines(raw: bytes, first_number: int) -> tuple[Lines, int]:
    """Cut whole lines; return those that are not empty and how many there were in all.

    Args:
        raw: The bytes; a last line may lack its end.
        first_number: Number of the first line.
    """
    if not raw.endswith(b"\n"):
        raw += b"\n"
    buffer = padded(raw)
    ends = np.flatnonzero(buffer == _NEWLINE)
    starts = np.concatenate([[PAD], ends[:-1] + 1]).astype(np.int64)
    count = len(ends)
    ends = ends - (buffer[ends - 1] == _RETURN)
    numbers = np.arange(first_number, first_number + count)
    keep = ends > starts
    if not keep.all():
        starts, ends, numbers = starts[keep], ends[keep], numbers[keep]
    return Lines(buffer, starts, ends, numbers), count


def _without_first(lines: Lines, skip: int) -> Lines:
    if not skip or not len(lines) or lines.numbers[0] > skip:
        return lines
    keep = lines.numbers > skip
    return Lines(lines.buffer, lines.starts[keep], lines.ends[keep], lines.numbers[keep])
