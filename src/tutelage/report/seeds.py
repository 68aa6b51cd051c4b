"""Several runs of one configuration that differ by their seed: means with confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tutelage.core.chance import CONFIDENCE, student_t
from tutelage.core.records import RunRecord, Table
from tutelage.core.store import Run
from tutelage.report.settings import differences

SEED, ROOT = "training.seed", "data.root"
APART = ("run", "execution", "tracking")
"""Sections of settings that change no result."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over n independent values and the half width of its confidence interval.

    Args:
        mean: The mean.
        half_width: Student's t with n - 1 degrees of freedom times the standard error; null for a
            single value, which says nothing of how far others would be.
        lowest: The smallest value.
        highest: The largest value.
        n: How many there are.
    """

    mean: float
    half_width: float | None
    lowest: float
    highest: float
    n: int

    def as_json(self) -> dict[str, object]:
        """The values that ``--json`` prints."""
        return {
            "mean": self.mean,
            "half_width": self.half_width,
            "lowest": self.lowest,
            "highest": self.highest,
            "n": self.n,
        }


def interval(values: Sequence[float], level: float = CONFIDENCE) -> Interval:
    """Return the mean of independent values and its two-sided confidence interval.

    The interval is the mean plus and minus ``t * s / sqrt(n)``, with s the sample's standard
    deviation; it is right where values are about normally distributed, and is not cut at 0 or 1.

    Args:
        values: At least one.
        level: Share of such intervals that hold the true mean.
    """
    n, lowest, highest = len(values), min(values), max(values)
    if lowest == highest:
        return Interval(lowest, 0.0 if n > 1 else None, lowest, highest, n)
    mean = math.fsum(values) / n
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = student_t(n - 1, level) * deviation / math.sqrt(n)
    return Interval(mean, half, lowest, highest, n)


def seeds_of(runs: Sequence[Run]) -> tuple[int, ...]:
    """The seed of each run, where the runs are finished and differ by that alone; else nothing.

    What they were computed from must be the same: the data's content, the parents, the source.
    Where they ran and under which policy does not count, nor does where the data lie.
    """
    records = [run.record for run in runs]
    prints = {(r.fingerprints.data, r.fingerprints.parents, r.fingerprints.source) for r in records}
    if len(prints) != 1 or any(run.status != "finished" for run in runs):
        return ()
    apart = differences(runs)
    seeds = apart.pop(SEED, ())
    other = [k for k in apart if k.partition(".")[0] not in APART and k != ROOT]
    return () if other or len(set(seeds)) < len(runs) else tuple(int(str(s)) for s in seeds)


def seed_intervals(records: Sequence[RunRecord]) -> dict[str, Interval]:
    """Mean and interval of every metric, over the runs that have it."""
    return _intervals([record.metrics for record in records])


def _intervals(columns: Sequence[Mapping[str, float]]) -> dict[str, Interval]:
    keys = dict.fromkeys(key for column in columns for key in column)
    return {key: interval([c[key] for c in columns if key in c]) for key in keys}


def seed_table(records: Sequence[RunRecord]) -> Table:
    """Every metric of whole splits: mean, interval and range over seeds, each baseline's mean."""
    found = seed_intervals(records)
    names = dict.fromkeys(name for record in records for name in record.baselines)
    beside = {n: _intervals([r.baselines.get(n, {}) for r in records]) for n in names}
    rows = tuple(
        (
            *(
                key,
                _brief(one.mean),
                one.half_width,
                _brief(one.lowest),
                _brief(one.highest),
                one.n,
            ),
            *(_brief(column[key].mean) if key in column else None for column in beside.values()),
        )
        for key, one in found.items()
        if key.count("/") == 1
    )
    columns = ("metric", "mean", "±", "lowest", "highest", "n", *names)
    note = (
        "± is half the width of the mean's 95 % confidence interval over n seeds, by Student's t. "
        "Columns of baselines hold their means."
    )
    return Table(title=f"Mean of {len(records)} seeds", columns=columns, rows=rows, note=note)


def _brief(value: float) -> float | int:
    """A whole number above 1 as such: most likely it counts something."""
    return int(value) if abs(value) > 1 and value.is_integer() else value
