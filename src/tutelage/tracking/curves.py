"""The points of a run's curves, as `metrics.csv` has them, and which of them were sent already."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tutelage.core.errors import StoreError
from tutelage.tracking.names import metric_name


@dataclass(frozen=True, slots=True)
class Point:
    """A value of a metric: its legal name, the moment in milliseconds, the optimiser step."""

    name: str
    value: float
    moment: int
    step: int


@dataclass(frozen=True, slots=True)
class Mark:
    """How far curves were sent: up to so many points of a step, and all of the steps before.

    A resumed run writes the points after its checkpoint again, with the same values at the same
    steps: what is not beyond the mark was sent.
    """

    step: int = -1
    points: int = 0


def read_curves(path: Path, started: int) -> tuple[Point, ...]:
    """Read a metrics file; empty where there is none yet. A row that is being written is left.

    Args:
        path: The file.
        started: When the run was made, in milliseconds; a resumed run's clock goes on.

    Raises:
        StoreError: It is damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    rows = csv.DictReader(text[: text.rfind("\n") + 1].splitlines())
    try:
        return _points(rows, started)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"the metrics can't be read: {error}", where=path) from error


def _points(rows: Iterable[Mapping[str, str]], started: int) -> tuple[Point, ...]:
    points: dict[tuple[str, int], Point] = {}
    before = last = 0.0
    for row in rows:
        seconds, step, metric = float(row["seconds"]), int(row["step"]), row["metric"]
        if seconds < last:
            before += last
        last = seconds
        moment = started + round(1000 * (before + seconds))
        if (metric, step) not in points:
            points[metric, step] = Point(metric_name(metric), float(row["value"]), moment, step)
    return tuple(sorted(points.values(), key=lambda point: point.step))


def beyond(points: Sequence[Point], mark: Mark) -> tuple[Point, ...]:
    """The points that were not sent yet, in order."""
    at_mark = [point for point in points if point.step == mark.step][mark.points :]
    return (*at_mark, *(point for point in points if point.step > mark.step))


def mark_after(mark: Mark, sent: Sequence[Point]) -> Mark:
    """The mark when some more points, in order, have been sent."""
    if not sent:
        return mark
    step = sent[-1].step
    count = sum(point.step == step for point in sent)
    return Mark(step, count + (mark.points if step == mark.step else 0))
