"""Curves of a run's metrics file as inline SVG: no script, no network, readable in print."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tutelage.core.errors import StoreError
from tutelage.core.store import METRICS, Run

WIDTH, HEIGHT = 320, 150
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 20
MOST_POINTS = 300
Points = list[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric over the steps of training, ready to be drawn.

    Args:
        name: The metric.
        segments: Points of each unbroken stretch, as SVG writes them; a gap is a value that is
            not finite.
        first_step: Step at the left edge.
        last_step: Step at the right edge.
        low: Value at the lower edge.
        high: Value at the upper edge.
        last: The last finite value.
    """

    name: str
    segments: tuple[str, ...]
    first_step: int
    last_step: int
    low: float
    high: float
    last: float


def curves_of(run: Run) -> list[Curve]:
    """Every metric of a run that has two points or more; none where nothing was measured.

    Raises:
        StoreError: The metrics file is damaged.
    """
    history = read_history(run.path / METRICS)
    drawn = (draw(name, points) for name, points in history.items())
    return [curve for curve in drawn if curve is not None]


def read_history(path: Path) -> dict[str, Points]:
    """Read each metric's (step, value) pairs in order; empty where there is no file.

    Raises:
        StoreError: The file can't be read or has other columns.
    """
    history: dict[str, Points] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                point = (int(row["step"]), float(row["value"]))
                history.setdefault(row["metric"], []).append(point)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"the metrics can't be read: {error}", where=path) from error
    return history


def draw(name: str, points: Sequence[tuple[int, float]]) -> Curve | None:
    """Scale points into the drawing; null where fewer than two are finite."""
    finite = [(step, value) for step, value in points if math.isfinite(value)]
    if len(finite) < 2:
        return None
    stride = -(-len(points) // MOST_POINTS)
    kept = [*points[:-1:stride], points[-1]]
    low, high = min(v for _, v in finite), max(v for _, v in finite)
    first, last = points[0][0], points[-1][0]
    across = (WIDTH - LEFT - RIGHT) / max(1, last - first)
    up = (HEIGHT - TOP - BOTTOM) / ((high - low) or 1.0)
    segments: list[list[str]] = [[]]
    for step, value in kept:
        if math.isfinite(value):
            x, y = LEFT + (step - first) * across, HEIGHT - BOTTOM - (value - low) * up
            segments[-1].append(f"{x:.1f},{y:.1f}")
        else:
            segments.append([])
    lines = tuple(" ".join(segment) for segment in segments if segment)
    return Curve(name, lines, first, last, low, high, finite[-1][1])
