"""How a benchmark ends: each target beside what came out, the figures as JSON, and a status."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

HOLDS: dict[str, Callable[[float, float], bool]] = {
    "≥": operator.ge,
    ">": operator.gt,
    "≤": operator.le,
    "<": operator.lt,
    "=": operator.eq,
}


@dataclass(frozen=True)
class Target:
    """A figure beside what it is meant to be.

    Args:
        what: The figure, with its unit.
        value: What came out.
        sign: How value and bound are compared: one of ≥ > ≤ < =.
        bound: What is asked for, in the same unit.
    """

    what: str
    value: float
    sign: str
    bound: float

    @property
    def met(self) -> bool:
        """Whether what came out is enough; never for what is not a number."""
        return bool(HOLDS[self.sign](self.value, self.bound))  # numpy has one of its own

    @property
    def line(self) -> str:
        """The line that is printed."""
        verdict = "met" if self.met else "MISSED"
        return (
            f"target {self.what} {self.sign} {number(self.bound)}: {verdict} ({number(self.value)})"
        )

    def as_json(self) -> dict[str, object]:
        """As `bench.py` reads it."""
        asked = f"{self.sign} {number(self.bound)}"
        value = None if math.isnan(self.value) else float(self.value)
        return {"what": self.what, "asked": asked, "value": value, "met": self.met}


def number(value: float) -> str:
    """A figure as it is read: thousands parted, four digits that count; – for what failed."""
    if math.isnan(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:.4g}"


def conclude(
    figures: Mapping[str, object], targets: Sequence[Target], path: Path | None
) -> NoReturn:
    """Print each target, write figures and targets, and end: with 1 where something falls short.

    Args:
        figures: What was measured, of what JSON can hold.
        targets: What was asked for; none where a script only tells.
        path: File to write to; none is written without it.

    Raises:
        SystemExit: Always; 0 if every target is met.
    """
    for target in targets:
        print(target.line, flush=True)
    if path is not None:
        told = {**figures, "targets": [target.as_json() for target in targets]}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    raise SystemExit(0 if all(target.met for target in targets) else 1)
