"""What a model says of simulated units' receptive fields, beside what is true of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from tutelage.core.records import Table
from tutelage.tasks.neural.evaluation.fields import FieldShape
from tutelage.tasks.neural.simulator import UnitTruth
from tutelage.tasks.neural.simulator.units import KINDS

Fields = Mapping[str, tuple[UnitTruth, FieldShape]]
"""What is true of units, and what was found, by name."""


def errors(true: UnitTruth, found: FieldShape) -> tuple[float, float, float]:
    """Return how far a field is off: pixels, degrees (not-a-number without bars), frames."""
    centre = float(np.hypot(found.y - true.y, found.x - true.x))
    degrees = np.nan
    if true.orientation is not None:
        apart = abs(found.orientation - true.orientation) % 180
        degrees = min(apart, 180 - apart)
    return centre, degrees, abs(found.latency - true.latency)


def truth_tables(fields: Fields) -> Iterator[Table]:
    """Set what was found beside what is true, unit by unit and by kind; none without any unit."""
    if fields:
        yield _by_unit(fields)
        yield _by_kind(fields)


def _by_unit(fields: Fields) -> Table:
    columns = (
        "unit", "kind", "y", "true y", "x", "true x", "orientation", "true orientation",
        "latency", "true latency", "second axis",
    )  # fmt: skip
    rows = [
        (
            name, true.kind, _short(found.y), _short(true.y), _short(found.x), _short(true.x),
            None if true.orientation is None else _short(found.orientation),
            None if true.orientation is None else _short(true.orientation),
            _short(found.latency), _short(true.latency), round(found.second, 2),
        )
        for name, (true, found) in fields.items()
    ]  # fmt: skip
    return Table(
        title="Receptive fields against the truth",
        columns=columns,
        rows=tuple(rows),
        note="Centres in pixels, orientations in degrees, latencies in frames. Second axis: energy "
        "of the second direction that moves the rate beside the first's, 0 of a linear unit, "
        "towards 1 of a complex cell.",
    )


def _by_kind(fields: Fields) -> Table:
    rows = []
    for kind in KINDS:
        pairs = [pair for pair in fields.values() if pair[0].kind == kind]
        if not pairs:
            continue
        off = np.median([errors(*pair) for pair in pairs], axis=0)
        second = float(np.median([found.second for _, found in pairs]))
        values = (None if np.isnan(each) else round(float(each), 2) for each in (*off, second))
        rows.append((kind, len(pairs), *values))
    return Table(
        title="Receptive fields recovered",
        columns=("kind", "units", "centre off", "orientation off", "latency off", "second axis"),
        rows=tuple(rows),
        note="Medians over units: how far from the truth, in pixels, degrees and frames.",
    )


def _short(value: float) -> float:
    return round(float(value), 1)
