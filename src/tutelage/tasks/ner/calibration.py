"""How far a model's probabilities and its scores can be trusted: ECE, and the bootstrap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tutelage.core.records import Figure, Line, Panel, Table
from tutelage.tasks.ner.labels import Booleans

BINS: Final = 10
_LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Entities by what the model gave for them.

    Args:
        counts: (bins,) predicted entities.
        confidence: (bins,) mean score of them; NaN where there is none.
        precision: (bins,) share of them that is right; NaN where there is none.
    """

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    precision: NDArray[np.float64]

    @property
    def error(self) -> float | None:
        """Expected calibration error (Guo et al. 2017); null where nothing was predicted."""
        total = int(self.counts.sum())
        if not total:
            return None
        apart = np.abs(self.confidence - self.precision)
        return float(np.nansum(apart * self.counts) / total)

    def table(self, split: str) -> Table:
        """A row for each bin that is not empty."""
        rows = tuple(
            (f"{n / BINS:.1f}–{(n + 1) / BINS:.1f}", int(count), float(said), float(right))
            for n, (count, said, right) in enumerate(
                zip(self.counts, self.confidence, self.precision, strict=True)
            )
            if count
        )
        columns = ("score", "predicted", "mean score", "right")
        return Table(title=f"Calibration on {split}", columns=columns, rows=rows)

    def figure(self, split: str) -> Figure | None:
        """Draw how often entities of each score are right; null with fewer than two bins."""
        there = self.counts > 0
        if there.sum() < 2:
            return None
        at = tuple(np.round(self.confidence[there], 4).tolist())
        right = Line(name="right", values=tuple(np.round(self.precision[there], 4).tolist()), at=at)
        lines = (right, Line(name="as often as said", values=at, at=at))
        panel = Panel(title="Calibration", lines=lines, across="mean score", up="right")
        return Figure(title=f"Calibration on {split}", panels=(panel,))


def calibrate(scores: NDArray[np.float64], right: Booleans) -> Calibration:
    """Sort predicted entities into bins of equal width by their scores.

    Args:
        scores: (n,) of predicted entities, from 0 to 1.
        right: (n,) whether they are right.
    """
    place = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(place, weights=scores, minlength=BINS) / counts
        precision = np.bincount(place, weights=right, minlength=BINS) / counts
    return Calibration(counts, confidence, precision)


def f1_interval(counts: NDArray[np.int64], draws: int, seed: int = 0) -> tuple[float, float] | None:
    """Return the bounds between which 95 % of the F1 of texts drawn anew lie.

    Texts are drawn with replacement, as entities of one text are not independent (Efron 1979).

    Args:
        counts: (texts, 3) right, predicted and true entities of each text.
        draws: Sets of texts that are drawn; 0 gives null.
        seed: Seed of the draws.
    """
    bearing = counts[counts.any(1)]
    if not draws or not len(bearing):
        return None
    generator = np.random.default_rng(seed)
    # Texts without any entity change nothing, but how many others are drawn varies with them.
    sizes = generator.binomial(len(counts), len(bearing) / len(counts), draws)
    values = []
    for size in sizes.tolist():
        chosen = generator.integers(0, len(bearing), size)
        right, said, true = bearing[chosen].sum(0)
        values.append(2 * right / max(said + true, 1))
    low, high = np.quantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)
