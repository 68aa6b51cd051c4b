"""Which batch size to take: pure functions over tables of measured sizes, and the memory model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from tutelage.core.errors import RunFailedError
from tutelage.training.probe import Probe
from tutelage.training.sizable import TYPICAL_DRAWS

_FURTHEST = 2.0
PLATEAU = 3


@dataclass(frozen=True)
class SizeRow:
    """One measured size: a line of the table that explains a choice.

    Args:
        size: Samples in the batch.
        cost: Nodes + edges of the worst-case batch for graphs, else its samples.
        steps: Timed steps, all visits together.
        step_seconds: Mean over the typical batches of the wall time of each one's fastest step,
            since a neighbour only ever adds time; None when it ran out of memory.
        throughput: Samples a second at that time; 0 when it ran out of memory.
        peak_bytes: Lowest peak of its visits, above the process before its first step: memory that
            the allocator kept from a larger size is not this one's.
        out_of_memory: The step did not fit.
    """

    size: int
    cost: int
    steps: int
    step_seconds: float | None
    throughput: float
    peak_bytes: int
    out_of_memory: bool


def summarise(probes: Sequence[Probe]) -> SizeRow:
    """Pool all visits to one size."""
    exhausted = any(probe.out_of_memory for probe in probes)
    mean = None if exhausted else _mean_of_fastest([probe.seconds for probe in probes])
    return SizeRow(
        size=probes[0].size,
        cost=probes[0].cost,
        steps=sum(len(probe.seconds) for probe in probes),
        step_seconds=mean,
        throughput=probes[0].size / mean if mean else 0.0,
        peak_bytes=min(probe.peak_bytes for probe in probes),
        out_of_memory=exhausted,
    )


def _mean_of_fastest(visits: Sequence[Sequence[float]]) -> float:
    """Average over the typical batches, which took turns in each visit, their fastest steps."""
    draws = range(TYPICAL_DRAWS)
    return fmean(min(one for visit in visits for one in visit[k::TYPICAL_DRAWS]) for k in draws)


@dataclass(frozen=True)
class MemoryModel:
    """Peak memory as ``a + b * size``, never trusted beyond twice the largest measured size.

    Args:
        intercept: Bytes at size 0.
        slope: Bytes a sample; never negative.
        headroom: The most by which a measured peak exceeded the line, added to each prediction.
        largest: The largest measured size.
    """

    intercept: float
    slope: float
    headroom: float
    largest: int

    @classmethod
    def fit(cls, rows: Iterable[SizeRow]) -> MemoryModel:
        """Fit the line to every row that fitted in memory.

        Raises:
            RunFailedError: Fewer than two sizes were measured.
        """
        measured = [row for row in rows if not row.out_of_memory]
        if len({row.size for row in measured}) < 2:
            raise RunFailedError("a memory model needs two measured batch sizes")
        sizes = np.array([row.size for row in measured], dtype=np.float64)
        peaks = np.array([row.peak_bytes for row in measured], dtype=np.float64)
        slope = max(0.0, float(np.polyfit(sizes, peaks, 1)[0]))
        intercept = float(np.mean(peaks - slope * sizes))
        headroom = float(np.max(peaks - intercept - slope * sizes))
        return cls(intercept, slope, max(0.0, headroom), int(sizes.max()))

    def predict(self, size: int) -> int:
        """Return the predicted peak in bytes.

        Raises:
            RunFailedError: ``size`` is more than twice the largest measured one.
        """
        if size > _FURTHEST * self.largest:
            raise RunFailedError(
                f"memory at batch size {size} can't be foretold: the largest measured is"
                f" {self.largest}, and the model is not trusted beyond twice that"
            )
        return max(0, round(self.intercept + self.headroom + self.slope * size))

    def largest_inside(self, limit: float) -> int:
        """Return the largest size that can be foretold and stays inside ``limit`` bytes."""
        furthest = int(_FURTHEST * self.largest)
        if self.predict(furthest) <= limit:
            return furthest
        return max(0, int((limit - self.intercept - self.headroom) / self.slope))


def has_plateaued(rows: Sequence[SizeRow], tolerance: float) -> bool:
    """Say whether the last three sizes brought less than half the tolerance over those before."""
    if len(rows) <= PLATEAU:
        return False
    before = max(row.throughput for row in rows[:-PLATEAU])
    return max(row.throughput for row in rows[-PLATEAU:]) < before * (1 + tolerance / 2)


def candidates(rows: Iterable[SizeRow], share: float) -> list[SizeRow]:
    """Return the rows that reach ``share`` of the best throughput, smallest size first."""
    fitting = sorted((row for row in rows if not row.out_of_memory), key=lambda row: row.size)
    best = max((row.throughput for row in fitting), default=0.0)
    return [row for row in fitting if row.throughput >= share * best]


def select(rows: Iterable[SizeRow], tolerance: float, limit: float) -> SizeRow | None:
    """Return the smallest size near the peak throughput of those inside ``limit``.

    Args:
        rows: Every measured size.
        tolerance: The share of the peak that may be given up for a smaller batch.
        limit: Bytes that a step's peak may reach.

    Returns:
        The row, or None when no size fits.
    """
    inside = [row for row in rows if row.peak_bytes <= limit]
    return next(iter(candidates(inside, 1 - tolerance)), None)
