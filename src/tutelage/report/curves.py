"""Curves of a run's metrics file: what was measured in training, over its steps."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from tutelage.core.errors import StoreError
from tutelage.core.records import Line, Panel
from tutelage.core.store import METRICS, Run

MOST_POINTS = 300
PART = "_loss"
"""How names of parts of a loss end."""
MEAN = "mean of each epoch"
"""What curves of `epoch/…` are called."""
_NEVER: Final = 2**63
"""A step that no run comes to."""
Points = list[tuple[int, float]]


def curves_of(run: Run) -> list[Panel]:
    """A panel for each metric that has two finite values or more, its splits on one scale.

    Raises:
        StoreError: The metrics file is damaged.
    """
    history = read_history(run.path / METRICS)
    drawn = {name: points for name, points in history.items() if _finite(points) > 1}
    parts = {name: points for name, points in drawn.items() if name.endswith(PART)}
    metrics = dict.fromkeys(name.rpartition("/")[2] for name in drawn if name not in parts)
    return [*(_panel(metric, drawn) for metric in metrics), *_parts(parts)]


def _parts(history: Mapping[str, Points]) -> Iterator[Panel]:
    """One panel for the parts of a loss, as means over epochs; as they are where one epoch is."""
    means = {n: points for n, points in history.items() if n.startswith("epoch/")} or history
    if means:
        lines = tuple(_line(name.rpartition("/")[2], points) for name, points in means.items())
        yield Panel(title="Parts of the loss", lines=lines, across="step")


def compared_curves(runs: Mapping[str, Run]) -> list[Panel]:
    """A panel for each validation metric that two runs or more have, a line a run.

    Raises:
        StoreError: A metrics file is damaged.
    """
    lines: dict[str, list[Line]] = {}
    for name, run in runs.items():
        for metric, points in read_history(run.path / METRICS).items():
            part, _, what = metric.partition("/")
            if part == "val" and _finite(points) > 1:
                lines.setdefault(what, []).append(_line(name, points))
    return [
        Panel(title=f"Validation {metric}", lines=tuple(those), across="step")
        for metric, those in lines.items()
        if len(those) > 1
    ]


def _panel(metric: str, history: Mapping[str, Points]) -> Panel:
    """The curves of one metric, such as those of ``train/loss`` and ``val/loss``."""
    named = {name: points for name, points in history.items() if name.rpartition("/")[2] == metric}
    if named.get(f"epoch/{metric}") == named.get(f"train/{metric}"):
        named.pop(f"epoch/{metric}", None)  # epochs of one value
    lines = tuple(
        _line(MEAN if name.startswith("epoch/") else name.rpartition("/")[0], points)
        for name, points in named.items()
    )
    return Panel(title=metric, lines=lines, across="step")


def _line(name: str, points: Sequence[tuple[int, float]]) -> Line:
    stride = -(-len(points) // MOST_POINTS)
    kept = [*points[:-1:stride], points[-1]]
    last = next(value for _, value in reversed(points) if math.isfinite(value))
    values, at = tuple(y for _, y in kept), tuple(x for x, _ in kept)
    return Line(name=f"{name} {last:.4g} at last".strip(), values=values, at=at)


def _finite(points: Sequence[tuple[int, float]]) -> int:
    return sum(math.isfinite(value) for _, value in points)


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
                if not 0 <= point[0] < _NEVER:
                    raise ValueError(f"step {row['step'][:20]} is none that a run takes")
                history.setdefault(row["metric"], []).append(point)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise StoreError(f"the metrics can't be read: {error}", where=path) from error
    return history
