"""Signals that several identifiers carry alike: found by how well one predicts another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.evidence.learning import learn_patterns
from tutelage.tasks.can.frames import Frames

_GRID = 0.05
"""Seconds between the samples on which fields are compared first."""
_SLOWEST = 0.25
"""Seconds between an identifier's frames from which on it is too slow to be compared."""
_SECOND = 20
"""Samples in a second."""
_TRAVEL = 4.0
"""Spans that a field travels, second by second, until its course is known: up and down twice."""
_VALUES = 16
"""Different values that a field has to take for its course to say anything."""
_SMOOTH = 0.1
"""Mean step from frame to frame, in standard deviations, above which a field is no signal."""
_ALIKE = 0.999
"""Correlation of two fields that carry the same signal."""
_APART = 0.1
"""Largest residual, as a share of the span, that two fields of the same signal have."""
_LEAST = 0.02
"""Share of the span below which twins may differ: a fast manoeuvre or a small lie."""
_TRIED = 8
"""Partners of a field whose residuals are measured at each frame."""
PARTNERS = 3
"""Other identifiers that a field is compared with at most; at least two are needed."""
_FIELDS = 2
"""Fields of an identifier that are kept."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Field:
    """An unsigned number of one or two octets in an identifier's payload.

    Args:
        arbitration_id: The identifier.
        low: Place of its low octet.
        high: Place of its high octet; that of the low one where there is none.
    """

    arbitration_id: int
    low: int
    high: int

    def values(self, word: NDArray[np.uint64]) -> Floats:
        """Return (n,) its values in payload words (n,)."""
        low = word >> np.uint64(8 * self.low) & np.uint64(255)
        if self.low == self.high:
            return low.astype(np.float64)
        high = word >> np.uint64(8 * self.high) & np.uint64(255)
        return (low + high * np.uint64(256)).astype(np.float64)

    def overlaps(self, other: Field) -> bool:
        """Whether the two share an octet."""
        return bool({self.low, self.high} & {other.low, other.high})


@dataclass(frozen=True, slots=True)
class Twin:
    """How another identifier's field predicts a field: ``slope * value + offset``.

    Args:
        field: The other field.
        slope: Units of the field for one of the other.
        offset: The field's value where the other is 0.
        residual: Largest difference in calibration; at least a fiftieth of its span.
    """

    field: Field
    slope: float
    offset: float
    residual: float


@dataclass(frozen=True, slots=True)
class Check:
    """A field and the twins that it has to agree with.

    Args:
        field: The field.
        twins: Two or three, of other identifiers each.
        seen: Frames in calibration.
    """

    field: Field
    twins: tuple[Twin, ...]
    seen: int


class _Drive:
    """One capture's payloads by identifier."""

    def __init__(self, frames: Frames) -> None:
        order = np.argsort(frames.arbitration_id, kind="stable")
        ids, first = np.unique(frames.arbitration_id[order], return_index=True)
        word = np.ascontiguousarray(frames.payload).view("<u8").ravel()
        time = np.maximum.accumulate(frames.timestamp)
        self.rows = dict(zip(ids.tolist(), np.split(order, first[1:]), strict=True))
        self.word = {i: word[r] for i, r in self.rows.items()}
        self.time = {i: time[r] for i, r in self.rows.items()}
        self.begin, self.end = float(time[0]), float(time[-1])

    def held(self, field: Field, times: Floats) -> Floats:
        """Return (n,) the field's latest values at ``times``; NaN before its first."""
        at = np.searchsorted(self.time[field.arbitration_id], times, side="right") - 1
        values = field.values(self.word[field.arbitration_id])
        return np.where(at >= 0, values[np.maximum(at, 0)], np.nan)

    def before(self, field: Field, identifier: int) -> Floats:
        """Return (n,) the field's latest values at each of an identifier's frames."""
        at = np.searchsorted(self.rows[field.arbitration_id], self.rows[identifier]) - 1
        values = field.values(self.word[field.arbitration_id])
        return np.where(at >= 0, values[np.maximum(at, 0)], np.nan)


def find_checks(captures: Sequence[Frames]) -> list[Check]:
    """Return, for each identifier, up to two fields that at least two others carry as well."""
    drives = [_Drive(c) for c in captures]
    barred = {
        p.arbitration_id: {c.shift // 8 for c in p.counters} for p in learn_patterns(captures)
    }
    fields = [
        f for f in _signals(drives) if not {f.low, f.high} & barred.get(f.arbitration_id, set())
    ]
    if not fields:
        return []
    samples = [np.stack([d.held(f, _times(d)) for f in fields]) for d in drives]
    travelled = _travel(samples) >= _TRAVEL
    fields = [f for f, far in zip(fields, travelled.tolist(), strict=True) if far]
    joined = np.concatenate(samples, axis=1)[travelled]
    joined = joined[:, np.isfinite(joined).all(axis=0)]
    if len(fields) <= 2 or joined.shape[1] < _VALUES:
        return []
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = np.nan_to_num(np.abs(np.corrcoef(joined)))
    owner = np.array([f.arbitration_id for f in fields])
    alike[owner[:, None] == owner[None, :]] = 0.0
    found: dict[int, list[Check]] = {}
    for place, field in enumerate(fields):
        tried = np.argsort(-alike[place], kind="stable")[:_TRIED]
        others = [fields[k] for k in tried.tolist() if alike[place, k] >= _ALIKE]
        check = _check(drives, field, others)
        if check is not None:
            found.setdefault(field.arbitration_id, []).append(check)
    return [check for checks in found.values() for check in _disjoint(checks)]


def _times(drive: _Drive) -> Floats:
    return np.arange(drive.begin, drive.end, _GRID)


def _travel(samples: Sequence[Floats]) -> Floats:
    """Return (F,) how many of its spans each field travels in samples (F, n) of each drive."""
    seconds = [s[:, ::_SECOND] for s in samples]
    every = np.concatenate(seconds, axis=1)
    highest = np.fmax.reduce(every, axis=1, initial=-np.inf)  # of none known, as of a short drive
    span = highest - np.fmin.reduce(every, axis=1, initial=np.inf)
    way = np.sum([np.nansum(np.abs(np.diff(s, axis=1)), axis=1) for s in seconds], axis=0)
    travelled: Floats = way / np.maximum(span, 1.0)
    return travelled


def _signals(drives: Sequence[_Drive]) -> list[Field]:
    """Return the fields, of identifiers that all drives have, that move smoothly."""
    shared = set.intersection(*(set(d.word) for d in drives))
    found = []
    for identifier in sorted(shared):
        words = [d.word[identifier] for d in drives]
        seconds = sum(d.end - d.begin for d in drives)
        if sum(map(len, words)) * _SLOWEST < seconds:
            continue
        pairs = [(b, b) for b in range(8)]
        pairs += [(b + 1, b) for b in range(7)] + [(b, b + 1) for b in range(7)]
        for low, high in pairs:
            field = Field(identifier, low, high)
            values = [field.values(w) for w in words]
            every = np.concatenate(values)
            step = np.concatenate([np.abs(np.diff(v)) for v in values])
            smooth = step.mean() < _SMOOTH * every.std() if len(step) else False
            if smooth and len(np.unique(every)) >= _VALUES:
                found.append(field)
    return found


def _check(drives: Sequence[_Drive], field: Field, others: Sequence[Field]) -> Check | None:
    """Return the field with its best twins, one an identifier; null where two aren't found."""
    own = np.concatenate([field.values(d.word[field.arbitration_id]) for d in drives])
    span = float(own.max() - own.min())
    twins: list[Twin] = []
    for other in others:
        held = np.concatenate([d.before(other, field.arbitration_id) for d in drives])
        both = np.isfinite(held)
        slope, offset = np.polyfit(held[both], own[both], 1)
        residual = float(np.abs(slope * held[both] + offset - own[both]).max())
        if residual <= _APART * span:
            least = max(_LEAST * span, 1.0)
            twins.append(Twin(other, float(slope), float(offset), max(residual, least)))
    best: dict[int, Twin] = {}
    for twin in sorted(twins, key=lambda t: t.residual):
        best.setdefault(twin.field.arbitration_id, twin)
    kept = tuple(best.values())[:PARTNERS]
    return Check(field, kept, len(own)) if len(kept) >= 2 else None


def _disjoint(checks: Sequence[Check]) -> list[Check]:
    """Return the checks with most twins and the closest, none sharing an octet with another."""
    kept: list[Check] = []
    for check in sorted(checks, key=lambda c: (-len(c.twins), c.twins[0].residual / _scale(c))):
        if len(kept) < _FIELDS and not any(check.field.overlaps(k.field) for k in kept):
            kept.append(check)
    return kept


def _scale(check: Check) -> float:
    """Return the field's largest value, to compare residuals by."""
    return 255.0 if check.field.low == check.field.high else 65535.0
