"""ASC, BLF, TRC and MF4 logs through python-can and asammdf."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import can
import numpy as np
from can.io.blf import BLFParseError

from tutelage.core.errors import DataError
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.ingest.assemble import Piece, Reading, unlabelled
from tutelage.tasks.can.ingest.blf_check import check_blf
from tutelage.tasks.can.ingest.detect import Format
from tutelage.tasks.can.ingest.mf4_check import check_mf4, hush_asammdf, mf4_errors

_BATCH = 1 << 16
_WIDEST = 0xFFFFFFFF
_DAMAGED = (
    can.CanError,
    BLFParseError,
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    EOFError,
    struct.error,
    zlib.error,
)


def open_log(path: Path, format: Format) -> Reading:
    """Open a log that python-can knows; CAN FD is bad, remote and error frames are skipped."""
    return Reading(format.value, _pieces(path, format), unit="message")


def _pieces(path: Path, format: Format) -> Generator[Piece, None, None]:
    count = 0
    try:
        with _open(path, format) as reader:
            for batch in _batches(reader):
                yield message_piece(batch, count + 1)
                count += len(batch)
    except _DAMAGED as error:
        raise DataError(
            f"can't be read as {format.value.upper()} after message {count}: {error}",
            where=path,
            hint="Copy the file again; it is truncated or damaged.",
        ) from error


@contextmanager
def _open(path: Path, format: Format) -> Iterator[can.io.generic.MessageReader]:
    """Open a log; the file is ours, so that it is closed even when python-can refuses it."""
    if format is Format.MF4:
        check_mf4(path)
        hush_asammdf()
        try:
            with can.MF4Reader(path) as reader:
                yield reader
        except mf4_errors() as error:
            raise ValueError(str(error)) from error
    elif format is Format.BLF:
        check_blf(path)
        with path.open("rb") as file, can.BLFReader(file) as reader:
            yield reader
    else:
        kind = can.ASCReader if format is Format.ASC else can.TRCReader
        text = path.open(encoding="utf-8", errors="backslashreplace")
        with text, kind(text) as reader:
            yield reader


def _batches(messages: Iterable[can.Message]) -> Iterator[list[can.Message]]:
    stream = iter(messages)
    while batch := list(itertools.islice(stream, _BATCH)):
        yield batch


def _identifier(message: can.Message) -> int:
    """Return a message's id; one that no id can be becomes the largest number, which is bad."""
    number = int(message.arbitration_id)
    return number if 0 <= number < _WIDEST else _WIDEST


def message_piece(messages: Sequence[can.Message], first: int) -> Piece:
    """Columns of a batch; python-can gives one object a message, so this part is no faster."""
    n = len(messages)
    remote = np.fromiter((m.is_remote_frame for m in messages), np.bool_, n)
    error = np.fromiter((m.is_error_frame for m in messages), np.bool_, n)
    width = np.fromiter((len(m.data or b"") for m in messages), np.int64, n)
    fd = np.fromiter((m.is_fd for m in messages), np.bool_, n)
    dlc = np.where(remote | error, 0, np.clip(width, 0, 8)).astype(np.uint8)
    text = b"".join(bytes((m.data or b"")[:8]).ljust(8, b"\0") for m in messages)
    frames = Frames(
        np.fromiter((m.timestamp for m in messages), np.float64, n),
        np.fromiter((_identifier(m) for m in messages), np.uint32, n),
        dlc,
        np.frombuffer(text, np.uint8).reshape(n, 8),
        unlabelled(n),
    )

    def explain(row: int) -> str:
        if fd[row]:
            return "a CAN FD frame; only classic CAN is supported"
        return f"the payload has {width[row]} bytes; classic CAN has at most 8"

    skipped = {"remote": remote, "error": error & ~remote}
    return Piece(frames, np.arange(first, first + n), fd | (width > 8), explain, skipped)
