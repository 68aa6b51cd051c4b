"""The gap between what held-out data promised and what the tests kept, with its interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from tutelage.core.chance import CONFIDENCE, Interval, corrected_standard_error


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
    from scipy.stats import t  # that of `core.chance` knows whole degrees of freedom only

    width = float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * math.sqrt(total)
    return Interval(mean, mean - width, mean + width)
