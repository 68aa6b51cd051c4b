"""How far two ways of training are apart: the mean difference over seeds and its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean, stdev

from scipy.stats import t as student


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """Return the bounds of 95 % of the mean of two or more differences, by Student's t."""
    count = len(differences)
    half = student.ppf(0.975, count - 1) * stdev(differences) / math.sqrt(count)
    return mean(differences) - half, mean(differences) + half


def apart(differences: Sequence[float]) -> str:
    """Say how far two ways are apart, and whether draws alone would part them so."""
    said = f"apart by {mean(differences):+.4f} over {len(differences)} seeds"
    if len(differences) < 2:
        return said
    low, high = interval(differences)
    verdict = "within noise" if low <= 0 <= high else "more than noise"
    return f"{said}, 95 % from {low:+.4f} to {high:+.4f}: {verdict}"
