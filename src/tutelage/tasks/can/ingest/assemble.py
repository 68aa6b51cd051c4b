"""From parsed pieces to checked `Frames`: time order, id range, the first bad line in words."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tutelage.core.errors import DataError
from tutelage.tasks.can.frames import UNLABELLED, Frames, FrameSpool
from tutelage.tasks.can.ingest.detect import ForeignFileError
from tutelage.tasks.can.ingest.report import IngestReport

MAX_ID = 0x1FFFFFFF
MAX_BACKWARD = 0.010
"""Seconds that time may run backwards: real loggers step back by up to 0.3 ms."""


Say = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Piece:
    """Parsed frames of one block, good and bad, in file order.

    Args:
        frames: The decoded columns; rows that are bad or skipped hold anything.
        numbers: (n,) line or row numbers, counted from 1.
        bad: (n,) rows that could not be parsed.
        skipped: For each kind, (n,) rows to leave out and count.
        explain: Says in words what is wrong with a row.
    """

    frames: Frames
    numbers: NDArray[np.int64]
    bad: NDArray[np.bool_]
    explain: Say
    skipped: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


@dataclass
class Complaint:
    """How often something was wrong, and what the first such line was."""

    count: int = 0
    number: int = 0
    message: str = ""

    def note(self, rows: NDArray[np.bool_], numbers: NDArray[np.int64], say: Say) -> None:
        """Take up the rows of a block in which it was; ``say`` puts one into words."""
        row = int(np.argmax(rows))
        if not self.count or numbers[row] < self.number:
            self.number, self.message = int(numbers[row]), say(row)
        self.count += int(np.count_nonzero(rows))


class Screen:
    """Keeps the good frames of piece after piece, and counts what is wrong.

    ``bad`` are frames that were left out; ``far_backward`` are steps back in time by more than
    `MAX_BACKWARD`, the frames of which are kept; ``backward`` counts the smaller steps and
    ``largest`` is the largest of these, in seconds; ``skipped`` counts what is no data frame.
    """

    def __init__(self) -> None:
        self.rows, self.backward, self.largest = 0, 0, 0.0
        self.skipped: dict[str, int] = {}
        self.bad, self.far_backward = Complaint(), Complaint()
        self._last_time = -np.inf

    def keep(self, piece: Piece) -> Frames:
        """Check one block; return its good frames, in order."""
        frames, numbers, bad = piece.frames, piece.numbers, piece.bad
        self.rows += len(numbers)
        keep = None
        for kind, rows in piece.skipped.items():
            if n := int(rows.sum()):
                self.skipped[kind] = self.skipped.get(kind, 0) + n
                keep = ~rows if keep is None else keep & ~rows
        wrong_id = frames.arbitration_id > MAX_ID
        not_finite = ~np.isfinite(frames.timestamp)
        wrong = bad | wrong_id | not_finite
        if keep is not None:
            wrong &= keep
        if wrong.any():
            self.bad.note(wrong, numbers, lambda row: _say(piece, row))
            keep = ~wrong if keep is None else keep & ~wrong
        if keep is not None and not keep.all():
            frames, numbers = frames.take(keep), numbers[keep]
        self._check_order(frames.timestamp, numbers)
        return frames

    def _check_order(self, time: NDArray[np.float64], numbers: NDArray[np.int64]) -> None:
        if not len(time):
            return
        step = np.diff(time, prepend=max(self._last_time, -1e300))
        self._last_time = float(time[-1])
        back = step < 0
        if not back.any():
            return
        far = step < -MAX_BACKWARD
        if far.any():
            self.far_backward.note(
                far,
                numbers,
                lambda row: (
                    f"time runs backwards by {-step[row] * 1e3:.3f} ms to {time[row]!s}; "
                    f"at most {MAX_BACKWARD * 1e3:.0f} ms is taken for a logger's jitter"
                ),
            )
        self.backward += int((back & ~far).sum())
        self.largest = max(self.largest, float(-step[back & ~far].min(initial=0.0)))


@dataclass(frozen=True, slots=True)
class Reading:
    """A file that was opened: its frames, block by block, and how to speak of it.

    Args:
        format: Name of the format.
        pieces: Its blocks; where the file turns out to be damaged they raise `DataError`.
        unit: ``"line"`` for text, ``"row"`` or ``"message"`` for other files.
        suspect: What to look at where most of the file is bad; empty for the usual.
    """

    format: str
    pieces: Generator[Piece, None, None]
    unit: str = "line"
    suspect: str = ""


def assemble(path: Path, reading: Reading) -> tuple[Frames, IngestReport]:
    """Return a whole capture and what was found.

    Raises:
        DataError: A line was bad, or there are no frames.
    """
    screen, kept = Screen(), FrameSpool()
    for piece in reading.pieces:
        kept.append(screen.keep(piece))
    _refuse_bad(path, reading, screen)
    frames = kept.frames()
    if not len(frames):
        left = f" ({screen.skipped} skipped)" if screen.skipped else ""
        raise DataError(
            f"holds no frames{left}",
            where=path,
            hint="Leave the file out, or record it again.",
        )
    report = IngestReport(
        n_frames=len(frames),
        format=reading.format,
        backward_steps=screen.backward,
        largest_backward=screen.largest,
        skipped=screen.skipped,
        labelled=frames.is_labelled,
    )
    return frames, report


def _refuse_bad(path: Path, reading: Reading, screen: Screen) -> None:
    """Refuse a capture of which any line is bad, or steps back too far."""
    found = [complaint for complaint in (screen.bad, screen.far_backward) if complaint.count]
    if not found:
        return
    bad, first = sum(c.count for c in found), min(found, key=lambda c: c.number)
    units = f"{reading.unit}s" if bad > 1 else reading.unit
    kind, hint = DataError, f"Repair or remove the {units}; nothing was guessed or dropped."
    if bad > max(1, screen.rows // 2):
        usual = f"the file may be of another format than {reading.format}."
        kind = ForeignFileError
        hint = f"Of {screen.rows} {units}, {bad} are bad: {reading.suspect or usual}"
    raise kind(
        f"{first.message} ({bad} bad {units} in all)", where=f"{path}:{first.number}", hint=hint
    )


def _say(piece: Piece, row: int) -> str:
    if piece.bad[row]:
        return piece.explain(row)
    time, number = piece.frames.timestamp[row], int(piece.frames.arbitration_id[row])
    if not np.isfinite(time):
        return f"the timestamp {time} is not finite"
    return f"the arbitration id 0x{number:X} is wider than 29 bits"


def unlabelled(count: int) -> NDArray[np.int8]:
    """(count,) labels that say the file has none."""
    return np.full(count, UNLABELLED, np.int8)
