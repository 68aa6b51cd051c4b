"""`Frames`: a capture's CAN frames as flat columns, the form that every step takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BENIGN, ATTACK, UNLABELLED = 0, 1, -1


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
        return bool((self.label != UNLABELLED).all())

    @staticmethod
    def concatenate(parts: Iterable[Frames]) -> Frames:
        """Join captures end to end."""
        items = list(parts)
        return Frames(
            np.concatenate([p.timestamp for p in items]),
            np.concatenate([p.arbitration_id for p in items]),
            np.concatenate([p.dlc for p in items]),
            np.concatenate([p.payload for p in items]),
            np.concatenate([p.label for p in items]),
        )
