"""A 500 kbit/s CAN bus: how long frames last, and in which order they win arbitration."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.frames import Frames

BIT_NS = 2_000
"""Nanoseconds per bit at 500 kbit/s."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Frames that wait for the bus, in any order.

    Args:
        release: (n,) int64, nanoseconds at which each is ready to be sent.
        arbitration_id: (n,) uint32.
        dlc: (n,) uint8, bytes.
        payload: (n, 8) uint8.
        label: (n,) int8, as in `Frames`.
    """

    release: NDArray[np.int64]
    arbitration_id: NDArray[np.uint32]
    dlc: NDArray[np.uint8]
    payload: NDArray[np.uint8]
    label: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.release)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Traffic:
        """Return the frames that a mask or an index names."""
        return Traffic(
            self.release[rows],
            self.arbitration_id[rows],
            self.dlc[rows],
            self.payload[rows],
            self.label[rows],
        )

    @staticmethod
    def join(parts: list[Traffic]) -> Traffic:
        """Return all frames of several senders."""
        return Traffic(
            np.concatenate([p.release for p in parts]),
            np.concatenate([p.arbitration_id for p in parts]),
            np.concatenate([p.dlc for p in parts]),
            np.concatenate([p.payload for p in parts]),
            np.concatenate([p.label for p in parts]),
        )


def frame_bits(
    arbitration_id: NDArray[np.uint32], dlc: NDArray[np.uint8], payload: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Return each frame's length in bits, interframe space and estimated stuff bits included.

    Framing takes 47 bits (67 with a 29-bit identifier; ISO 11898-1). In the payload one stuff bit
    is counted for every four bits by which runs of equal bits exceed four; header and CRC
    together are taken to add two.

    Args:
        arbitration_id: (n,) identifiers.
        dlc: (n,) payload bytes.
        payload: (n, 8) bytes, zero beyond ``dlc``.
    """
    word = np.ascontiguousarray(payload).view(">u8").ravel().astype(np.uint64)
    unused = np.uint64(64) - np.minimum(dlc, 8).astype(np.uint64) * np.uint64(8)
    same = ~(word ^ (word << np.uint64(1)))
    used = np.where(unused < 64, ~np.uint64(0) << np.minimum(unused + np.uint64(1), 63), 0)
    same &= used.astype(np.uint64)
    same &= same >> np.uint64(1)
    same &= same >> np.uint64(2)
    stuffing = 2 + (np.bitwise_count(same).astype(np.int64) + 3) // 4
    framing = np.where(arbitration_id > 0x7FF, 67, 47)
    return framing + 8 * dlc.astype(np.int64) + stuffing


def transmit(traffic: Traffic) -> Frames:
    """Return the frames as a logger at the bus sees them: stamped at their end, to the microsecond.

    A frame that is on the wire is never interrupted; when the bus falls idle the lowest waiting
    identifier goes next. Stretches without idle time are the same whichever frame goes first, so
    they are found by one cumulative maximum, and only those of three frames or more are replayed.
    """
    traffic = traffic.select(np.lexsort((traffic.arbitration_id, traffic.release)))
    lasts = BIT_NS * frame_bits(traffic.arbitration_id, traffic.dlc, traffic.payload)
    total = np.cumsum(lasts)
    ends = total + np.maximum.accumulate(traffic.release - (total - lasts))
    first = np.flatnonzero(np.r_[True, traffic.release[1:] >= ends[:-1]])
    size = np.diff(np.r_[first, len(traffic)])
    begin = ends - lasts
    _arbitrate(traffic, lasts, begin, first[size > 2], size[size > 2])
    order = np.argsort(begin, kind="stable")
    sent = traffic.select(order)
    stamp = (begin[order] + lasts[order] + 500) // 1000 / 1e6
    return Frames(stamp, sent.arbitration_id, sent.dlc, sent.payload, sent.label)


def _arbitrate(
    traffic: Traffic,
    lasts: NDArray[np.int64],
    begin: NDArray[np.int64],
    first: NDArray[np.intp],
    size: NDArray[np.intp],
) -> None:
    """Set ``begin`` within each busy stretch by priority."""
    release, priority = traffic.release.tolist(), traffic.arbitration_id.tolist()
    duration, start = lasts.tolist(), begin.tolist()
    for low, count in zip(first.tolist(), size.tolist(), strict=True):
        now, coming, high = release[low], low, low + count
        waiting: list[tuple[int, int]] = []
        for _ in range(count):
            while coming < high and release[coming] <= now:
                heapq.heappush(waiting, (priority[coming], coming))
                coming += 1
            _, sender = heapq.heappop(waiting)
            start[sender] = now
            now += duration[sender]
    begin[:] = start
