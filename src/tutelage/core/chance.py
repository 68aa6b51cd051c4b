"""What may be chance: intervals of means over seeds and folds, and paired tests of differences."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its interval of `CONFIDENCE`.

    Args:
        mean: The mean.
        low: Lower end; null where one value can't tell.
        high: Upper end; null likewise.
    """

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class PairedTest:
    """Two settings or models compared on what both were scored on.

    Args:
        difference: The one's mean score less the other's, with its interval.
        p_value: Two-sided; null where there is too little to tell.
    """

    difference: Interval
    p_value: float | None


def corrected_standard_error(values: Sequence[float], folds: int) -> float:
    """Return the standard error of a mean over folds, whose training data overlap.

    Nadeau & Bengio 2003, "Inference for the generalization error", Machine Learning 52, equation 8:
    the variance of the J values is multiplied by 1/J + n_test/n_train in place of 1/J, here
    n_test/n_train = 1/(folds - 1). Without the correction two settings that are alike differ
    "significantly" far too often.

    Args:
        values: One for each fold of each repeat, at least two.
        folds: Folds of one repeat, at least two.
    """
    spread = statistics.variance(values)
    return math.sqrt((1 / len(values) + 1 / (folds - 1)) * spread)


def standard_error(values: Sequence[float]) -> float:
    """Return the standard error of a mean of independent values, at least two."""
    return statistics.stdev(values) / math.sqrt(len(values))


def over_folds(values: Sequence[float], folds: int) -> Interval:
    """Return the mean over folds, with the interval of the corrected standard error."""
    if len(values) < 2 or folds < 2:
        return Interval(statistics.fmean(values))
    return _around(values, corrected_standard_error(values, folds))


def over_seeds(values: Sequence[float]) -> Interval:
    """Return the mean over independent values, with Student's interval."""
    if len(values) < 2:
        return Interval(statistics.fmean(values))
    return _around(values, standard_error(values))


def paired_test(
    values: Sequence[float], others: Sequence[float], folds: int | None = None
) -> PairedTest:
    """Compare scores pair by pair by a t-test.

    Over folds it is the corrected resampled one of Nadeau & Bengio, else Student's.

    Args:
        values: The one's scores.
        others: The other's scores of the same seeds, or in the same folds.
        folds: Folds of one repeat, where each score is of a fold.
    """
    apart = [a - b for a, b in zip(values, others, strict=True)]
    if len(apart) < 2 or (folds is not None and folds < 2):
        return PairedTest(Interval(statistics.fmean(apart)), None)
    error = standard_error(apart) if folds is None else corrected_standard_error(apart, folds)
    found = _around(apart, error)
    if error == 0:
        return PairedTest(found, 1.0 if found.mean == 0 else 0.0)
    return PairedTest(found, student_p(found.mean / error, len(apart) - 1))


def _around(values: Sequence[float], error: float) -> Interval:
    mean, width = statistics.fmean(values), student_t(len(values) - 1) * error
    return Interval(mean, mean - width, mean + width)


def student_t(degrees: int, level: float = CONFIDENCE) -> float:
    """Return the t that a share ``level`` of Student's distribution lies between -t and t of.

    Args:
        degrees: Degrees of freedom, at least 1.
        level: The share, between 0 and 1.
    """
    below, above = 0.0, math.pi / 2
    for _ in range(60):  # halves the angle atan(t / sqrt(degrees)) down to the last bit
        middle = (below + above) / 2
        if _within(middle, degrees) < level:
            below = middle
        else:
            above = middle
    return math.sqrt(degrees) * math.tan((below + above) / 2)


def student_p(t: float, degrees: int) -> float:
    """Return the share of Student's distribution that is at least as far from 0 as ``t``."""
    return max(0.0, 1 - _within(math.atan(abs(t) / math.sqrt(degrees)), degrees))


def _within(angle: float, degrees: int) -> float:
    """The share between -t and t, for t = sqrt(degrees) tan(angle).

    Abramowitz & Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    cosine, odd = math.cos(angle), degrees % 2
    term = total = (cosine if odd else 1.0) if degrees > 1 else 0.0
    for k in range(2 + odd, degrees, 2):
        term *= (k - 1) / k * cosine * cosine
        total += term
    series = math.sin(angle) * total
    return 2 / math.pi * (angle + series) if odd else series


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number, in the order given.

    Holm 1979, "A simple sequentially rejective multiple test procedure": the chance that any
    difference that is none is called one stays as small as for a single test.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, least = [0.0] * len(p_values), 0.0
    for place, number in enumerate(order):
        least = max(least, min(1.0, p_values[number] * (len(p_values) - place)))
        adjusted[number] = least
    return adjusted
