"""From parsed pieces to checked `Frames`: time order, id range, the first bad line in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tutelage.core.errors import DataError
from tutelage.tasks.can.frames import UNLABELLED, Frames
from tutelage.tasks.can.ingest.detect import ForeignFileError
from tutelage.tasks.can.ingest.report import IngestReport

MAX_ID = 0x1FFFFFFF
MAX_BACKWARD = 0.010
"""Seconds that time may run backwards: real loggers step back by up to 0.3 ms."""


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
    explain: Callable[[int], str]
    skipped: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


class Assembler:
    """Collects pieces, checks them, and gives the capture or one error about the first bad line.

    Args:
        path: The file, for messages.
        format: Name of the format.
        unit: ``"line"`` for text, ``"row"`` or ``"message"`` for other files.
        suspect: What to look at where most of the file is bad.
    """

    def __init__(self, path: Path, format: str, unit: str = "line", suspect: str = "") -> None:
        self._path, self._format, self._unit = path, format, unit
        self._suspect = suspect or f"the file may be of another format than {format}."
        self._parts: list[Frames] = []
        self._skipped: dict[str, int] = {}
        self._last_time = -np.inf
        self._backward, self._largest = 0, 0.0
        self._n_rows, self._n_bad, self._first_bad = 0, 0, ""
        self._first_number = 0

    def add(self, piece: Piece) -> None:
        """Check one block and keep its good frames."""
        frames, numbers, bad = piece.frames, piece.numbers, piece.bad
        self._n_rows += len(numbers)
        keep = None
        for kind, rows in piece.skipped.items():
            if n := int(rows.sum()):
                self._skipped[kind] = self._skipped.get(kind, 0) + n
                keep = ~rows if keep is None else keep & ~rows
        wrong_id = frames.arbitration_id > MAX_ID
        not_finite = ~np.isfinite(frames.timestamp)
        wrong = bad | wrong_id | not_finite
        if keep is not None:
            wrong &= keep
        if wrong.any():
            row = int(np.argmax(wrong))
            self._note(int(wrong.sum()), int(numbers[row]), self._say(piece, row))
            keep = ~wrong if keep is None else keep & ~wrong
        if keep is not None and not keep.all():
            frames, numbers = _select(frames, keep), numbers[keep]
        self._check_order(frames.timestamp, numbers)
        self._parts.append(frames)

    def finish(self) -> tuple[Frames, IngestReport]:
        """Return the capture and what was found.

        Raises:
            DataError: A line was bad, or there are no frames.
        """
        if self._n_bad:
            units = f"{self._unit}s" if self._n_bad > 1 else self._unit
            kind, hint = DataError, f"Repair or remove the {units}; nothing was guessed or dropped."
            if self._n_bad > max(1, self._n_rows // 2):
                kind = ForeignFileError
                hint = f"Of {self._n_rows} {units}, {self._n_bad} are bad: {self._suspect}"
            raise kind(
                f"{self._first_bad} ({self._n_bad} bad {units} in all)",
                where=f"{self._path}:{self._first_number}",
                hint=hint,
            )
        frames = Frames.concatenate(self._parts) if self._parts else None
        if frames is None or not len(frames):
            left = f" ({self._skipped} skipped)" if self._skipped else ""
            raise DataError(
                f"holds no frames{left}",
                where=self._path,
                hint="Leave the file out, or record it again.",
            )
        report = IngestReport(
            n_frames=len(frames),
            format=self._format,
            backward_steps=self._backward,
            largest_backward=self._largest,
            skipped=self._skipped,
            labelled=frames.is_labelled,
        )
        return frames, report

    def _say(self, piece: Piece, row: int) -> str:
        if piece.bad[row]:
            return piece.explain(row)
        time, number = piece.frames.timestamp[row], int(piece.frames.arbitration_id[row])
        if not np.isfinite(time):
            return f"the timestamp {time} is not finite"
        return f"the arbitration id 0x{number:X} is wider than 29 bits"

    def _note(self, count: int, number: int, message: str) -> None:
        if not self._n_bad or number < self._first_number:
            self._first_number, self._first_bad = number, message
        self._n_bad += count

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
            row = int(np.argmax(far))
            message = (
                f"time runs backwards by {-step[row] * 1e3:.3f} ms to {time[row]!s}; "
                f"at most {MAX_BACKWARD * 1e3:.0f} ms is taken for a logger's jitter"
            )
            self._note(int(far.sum()), int(numbers[row]), message)
        self._backward += int((back & ~far).sum())
        self._largest = max(self._largest, float(-step[back & ~far].min(initial=0.0)))


def _select(frames: Frames, rows: NDArray[np.bool_]) -> Frames:
    return Frames(
        frames.timestamp[rows],
        frames.arbitration_id[rows],
        frames.dlc[rows],
        frames.payload[rows],
        frames.label[rows],
    )


def unlabelled(count: int) -> NDArray[np.int8]:
    """(count,) labels that say the file has none."""
    return np.full(count, UNLABELLED, np.int8)
