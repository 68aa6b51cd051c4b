"""Operating points: thresholds for N false alarms an hour, chosen on held-out benign windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tutelage.core.records import Table
from tutelage.tasks.can.config import CANEvaluation

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class OperatingPoints:
    """Thresholds that each detector needs for some rates of false alarms.

    Args:
        k: Windows that an alarm took when they were chosen.
        n: Windows that it looked back on.
        hours: Held-out benign time that they were chosen on.
        per_hour: (P,) the rates that were asked for: benign windows under alarm in an hour.
        thresholds: For each detector, (P,) the score that a window must exceed.
    """

    k: int
    n: int
    hours: float
    per_hour: tuple[float, ...]
    thresholds: Mapping[str, tuple[float, ...]]

    @classmethod
    def choose(cls, scores: Mapping[str, Scores], hours: float, settings: CANEvaluation) -> Self:
        """Choose them from held-out benign windows.

        Args:
            scores: For each detector, (W,) scores of these windows, after k of n.
            hours: Their time.
            settings: Which rates, and k of n.
        """
        chosen = {
            name: tuple(threshold_at(score, hours, rate) for rate in settings.operating_points)
            for name, score in scores.items()
        }
        return cls(settings.k, settings.n, hours, settings.operating_points, chosen)

    def fits(self, settings: CANEvaluation) -> bool:
        """Whether the same rates are asked for, and alarms take the same k of n windows."""
        asked = (settings.k, settings.n, settings.operating_points)
        return (self.k, self.n, self.per_hour) == asked

    def of(self, detector: str) -> dict[float, float]:
        """The threshold of a detector at each rate; empty for one that has none."""
        chosen = self.thresholds.get(detector)
        return dict(zip(self.per_hour, chosen, strict=True)) if chosen else {}

    def to_json(self) -> dict[str, object]:
        """The whole as JSON values."""
        return {
            "k": self.k,
            "n": self.n,
            "hours": self.hours,
            "per_hour": list(self.per_hour),
            "thresholds": {name: list(values) for name, values in self.thresholds.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the points that `to_json` described."""
        thresholds = {name: tuple(map(float, v)) for name, v in value["thresholds"].items()}
        per_hour = tuple(map(float, value["per_hour"]))
        return cls(int(value["k"]), int(value["n"]), float(value["hours"]), per_hour, thresholds)


def threshold_at(score: Scores, hours: float, per_hour: float) -> float:
    """Return the lowest threshold that no more than ``per_hour * hours`` windows exceed.

    Where that is less than one window it is the highest score.

    Args:
        score: (W,) scores of benign windows, at least one.
        hours: Their time.
        per_hour: False alarms that are allowed in an hour.
    """
    allowed = int(per_hour * hours)
    if allowed >= len(score):
        return float(np.finfo(np.float32).min)
    at = len(score) - 1 - allowed
    threshold = float(np.partition(score, at)[at])
    return max(threshold, float(np.finfo(np.float32).min))


def operating_table(
    scores: Mapping[str, Mapping[str, float]], splits: Sequence[str], points: OperatingPoints
) -> Table:
    """Share of attacks found, and false alarms an hour that came out, by split and operating point.

    Rates for which the held-out time gives the same thresholds share a row.

    Args:
        scores: For each detector, its flat metrics.
        splits: Test splits.
        points: What the thresholds were chosen for.
    """
    names, kinds = tuple(points.thresholds), ("event_recall", "false_alarms_per_hour")
    alike: dict[tuple[float, ...], list[float]] = {}
    for at, rate in enumerate(points.per_hour):
        chosen = tuple(points.thresholds[name][at] for name in names)
        alike.setdefault(chosen, []).append(rate)
    rows: list[tuple[str | float | None, ...]] = []
    for split in splits:
        for rates in alike.values():
            keys = [f"{split}/{kind}@{rates[0]:g}" for kind in kinds]
            found = (scores[name].get(key) for name in names for key in keys)
            rows.append((split, ", ".join(f"{rate:g}" for rate in rates), *found))
    columns = (column for name in names for column in (f"{name}: found", "came out"))
    note = (
        f"Thresholds were chosen on {points.hours * 3600:.0f} s of benign traffic held out from "
        f"training; fewer than {1 / points.hours:.0f} false alarms an hour mean none in that time."
    )
    title = "Attacks found at so many false alarms an hour"
    return Table(
        title=title, columns=("test split", "aimed at", *columns), rows=tuple(rows), note=note
    )
