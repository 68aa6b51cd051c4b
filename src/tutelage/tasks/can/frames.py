"""`Frames`: a capture's CAN frames as flat columns, the form that every step takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.scratch import Spool, blocks, concatenate

BENIGN, ATTACK, UNLABELLED = 0, 1, -1
DIRECT_TABLE = 1 << 20
"""Identifiers below it are looked up in a table with a place for each."""
_NO_IDS = np.zeros(0, np.uint32)


@dataclass(frozen=True, slots=True)
class Frames:
    """A capture of n classic CAN frames, in file order.

    Args:
        timestamp: (n,) float64, seconds. Real loggers step back by up to 0.3 ms now and then.
        arbitration_id: (n,) uint32, 11- or 29-bit identifiers.
        dlc: (n,) uint8, payload length in bytes, 0 to 8.
        payload: (n, 8) uint8, zero beyond ``dlc``.
        label: (n,) int8, `BENIGN`, `ATTACK` or `UNLABELLED`.
    """

    timestamp: NDArray[np.float64]
    arbitration_id: NDArray[np.uint32]
    dlc: NDArray[np.uint8]
    payload: NDArray[np.uint8]
    label: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.timestamp)

    def __getitem__(self, rows: slice) -> Frames:
        """A view of consecutive frames."""
        return self._rows(rows)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> Frames:
        """Return a copy of the frames at ``rows``, or where ``rows`` (n,) holds."""
        return self._rows(rows)

    def labelled(self, label: int) -> Frames:
        """Return a copy of the frames with a label; in a file where they are many."""
        kept = FrameSpool()
        for rows in blocks(len(self)):
            part = self[rows]
            kept.append(part.take(part.label == label))
        return kept.frames()

    def count(self, label: int) -> int:
        """Frames with a label."""
        return sum(int(np.count_nonzero(self.label[r] == label)) for r in blocks(len(self)))

    @property
    def ids(self) -> NDArray[np.uint32]:
        """The distinct identifiers (K,), ascending."""
        found = [distinct_ids(self.arbitration_id[rows]) for rows in blocks(len(self))]
        return found[0] if len(found) == 1 else np.unique(np.concatenate([_NO_IDS, *found]))

    def _rows(self, rows: slice | NDArray[np.bool_] | NDArray[np.integer]) -> Frames:
        return Frames(
            self.timestamp[rows],
            self.arbitration_id[rows],
            self.dlc[rows],
            self.payload[rows],
            self.label[rows],
        )

    @property
    def is_labelled(self) -> bool:
        """Whether every frame carries a benign or attack label."""
        return not self.count(UNLABELLED)

    @staticmethod
    def concatenate(parts: Iterable[Frames]) -> Frames:
        """Join captures end to end."""
        items = list(parts)
        return Frames(
            concatenate([p.timestamp for p in items]),
            concatenate([p.arbitration_id for p in items]),
            concatenate([p.dlc for p in items]),
            concatenate([p.payload for p in items]),
            concatenate([p.label for p in items]),
        )


def distinct_ids(arbitration_id: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the distinct ones (K,), ascending, of at least one identifier (n,)."""
    if int(arbitration_id.max()) >= DIRECT_TABLE:
        return np.unique(arbitration_id)
    present = np.zeros(int(arbitration_id.max()) + 1, np.bool_)
    present[arbitration_id] = True
    return np.flatnonzero(present).astype(np.uint32)


class FrameSpool:
    """Frames that come in pieces; what is too large for memory goes on in temporary files."""

    def __init__(self) -> None:
        self._columns = (
            Spool(np.float64),
            Spool(np.uint32),
            Spool(np.uint8),
            Spool(np.uint8, (8,)),
            Spool(np.int8),
        )

    def append(self, frames: Frames) -> None:
        """Append frames.

        Raises:
            StorageError: The disk has no room for them.
        """
        rows: tuple[NDArray[Any], ...] = (
            frames.timestamp,
            frames.arbitration_id,
            frames.dlc,
            frames.payload,
            frames.label,
        )
        for column, part in zip(self._columns, rows, strict=True):
            column.append(part)

    def frames(self) -> Frames:
        """Return all frames; none may be appended after."""
        return Frames(*(column.array() for column in self._columns))
