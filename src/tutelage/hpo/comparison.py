"""Whether one trial is better than another over the same folds, and intervals of their means."""

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
    """Two trials compared fold by fold.

    Args:
        trial: Number of the one.
        other: Number of the other.
        difference: The one's mean score less the other's, with its interval.
        p_value: Two-sided; null where the folds are too few.
    """

    trial: int
    other: int
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


def over_folds(values: Sequence[float], folds: int) -> Interval:
    """Return the mean over folds, with the interval of the corrected standard error."""
    if len(values) < 2 or folds < 2:
        return Interval(statistics.fmean(values))
    return _around(
        statistics.fmean(values), corrected_standard_error(values, folds), len(values) - 1
    )


def over_seeds(values: Sequence[float]) -> Interval:
    """Return the mean over independent values, with Student's interval."""
    if len(values) < 2:
        return Interval(statistics.fmean(values))
    error = statistics.stdev(values) / math.sqrt(len(values))
    return _around(statistics.fmean(values), error, len(values) - 1)


def paired_test(
    trial: int, values: Sequence[float], other: int, others: Sequence[float], folds: int
) -> PairedTest:
    """Compare two trials by the corrected resampled t-test of Nadeau & Bengio.

    Args:
        trial: Number of the one.
        values: Its score in each fold.
        other: Number of the other.
        others: Its score in the same folds.
        folds: Folds of one repeat.
    """
    differences = [a - b for a, b in zip(values, others, strict=True)]
    interval = over_folds(differences, folds)
    if interval.low is None:
        return PairedTest(trial, other, interval, None)
    error = corrected_standard_error(differences, folds)
    if error == 0:
        return PairedTest(trial, other, interval, 1.0 if interval.mean == 0 else 0.0)
    from scipy.stats import t

    p_value = 2 * float(t.sf(abs(interval.mean) / error, len(differences) - 1))
    return PairedTest(trial, other, interval, p_value)


def gap(dev: Sequence[float], folds: int, test: Sequence[float]) -> Interval:
    """Return by how much the score in cross-validation is above that of the tests.

    The interval is Welch's, of the folds' spread and the seeds'; that of the test samples
    themselves is not in it.

    Args:
        dev: The chosen trial's score in each fold.
        folds: Folds of one repeat.
        test: The score of each refitted model on the tests.
    """
    mean = statistics.fmean(dev) - statistics.fmean(test)
    if len(dev) < 2 or folds < 2 or len(test) < 2:
        return Interval(mean)
    parts = (corrected_standard_error(dev, folds) ** 2, statistics.variance(test) / len(test))
    total = sum(parts)
    if total == 0:
        return Interval(mean, mean, mean)
    freedom = total**2 / (parts[0] ** 2 / (len(dev) - 1) + parts[1] ** 2 / (len(test) - 1))
    return _around(mean, math.sqrt(total), freedom)


def _around(mean: float, error: float, freedom: float) -> Interval:
    from scipy.stats import t

    width = float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return Interval(mean, mean - width, mean + width)
