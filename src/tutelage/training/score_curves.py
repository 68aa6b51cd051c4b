"""How many are found at which price, over all thresholds of a score, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tutelage.core.blocks import drawn_times
from tutelage.core.records import Figure, Line, Panel

Floats = NDArray[np.float64]
THRESHOLDS: Final = 512
"""Thresholds that are looked at: quantiles of the scores."""
GRID: Final = np.linspace(0, 1, 101)
"""Where along its axis a curve is told."""
LEVEL: Final = 0.95
DRAWS: Final = 200


def score_curves(
    title: str,
    scores: Mapping[str, NDArray[np.float32]],
    truth: NDArray[np.bool_],
    blocks: NDArray[np.int64],
    seed: int = 0,
) -> Figure | None:
    """Return ROC and precision-recall curves; null where all are true, or none.

    Intervals, of the first score alone, are of 95 %, by blocks drawn anew with replacement, since
    what lies in one block is not independent (Efron 1979).

    Args:
        title: Of the figure.
        scores: Name to scores (n,); larger ones are more suspicious.
        truth: (n,) what is to be found.
        blocks: (n,) which block each belongs to, from 0.
        seed: Seed of the draws.
    """
    if truth.all() or not truth.any():
        return None
    roc: list[Line] = []
    precision: list[Line] = []
    for name, score in scores.items():
        right, wrong = _counts(score, truth, blocks)
        weights = _weights(len(right), 0 if roc else DRAWS, seed)
        for curve, lines in ((_roc, roc), (_precision, precision)):
            lines.append(_line(name, *np.split(curve(right, wrong, weights), [1])))
    panels = (
        Panel(title="ROC", lines=tuple(roc), across="false alarm rate", up="found"),
        Panel(title="Precision and recall", lines=tuple(precision), across="found", up="right"),
    )
    note = f"Band: {LEVEL:.0%} interval by {DRAWS} draws of {int(blocks.max()) + 1} blocks."
    return Figure(title=title, panels=panels, note=note)


def _weights(blocks: int, draws: int, seed: int) -> Floats:
    """Return (1 + draws, blocks) how often each block counts: once, then as it was drawn."""
    drawn = drawn_times(blocks, draws, np.random.default_rng(seed))
    return np.concatenate([np.ones((1, blocks)), drawn])


def _counts(
    score: NDArray[np.float32], truth: NDArray[np.bool_], blocks: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Return (blocks, thresholds + 1) what is found, rightly and wrongly, above ever lower ones.

    The first column is of a threshold above all scores, the last one of none.
    """
    _, place = np.unique(score, return_inverse=True)
    edges = np.unique(np.quantile(place, np.linspace(0, 1, THRESHOLDS), method="lower"))
    step = len(edges) - np.searchsorted(edges, place, side="right")
    columns, rows = len(edges) + 1, int(blocks.max()) + 1
    cell = blocks * columns + step + 1

    def counted(weights: NDArray[np.bool_]) -> Floats:
        counts = np.bincount(cell, weights=weights, minlength=rows * columns)
        return counts.reshape(rows, columns).cumsum(1)

    return counted(truth), counted(~truth)


def _roc(right: Floats, wrong: Floats, weights: Floats) -> Floats:
    """Return (draws, grid) the share that is found at no more than each false alarm rate."""
    found, alarms = _shares(weights @ right), _shares(weights @ wrong)
    rows = [
        share[np.searchsorted(rate, GRID, side="right") - 1]
        for share, rate in zip(found, alarms, strict=True)
    ]
    return np.array(rows).reshape(-1, len(GRID))


def _precision(right: Floats, wrong: Floats, weights: Floats) -> Floats:
    """Return (draws, grid) the share that is right where at least each share is found."""
    found, missed = weights @ right, weights @ wrong
    precision = found[:, 1:] / np.maximum(found + missed, 1)[:, 1:]
    rows = [
        each[np.minimum(np.searchsorted(share, GRID), len(each) - 1)]
        for each, share in zip(precision, _shares(found)[:, 1:], strict=True)
    ]
    return np.array(rows).reshape(-1, len(GRID))


def _shares(counts: Floats) -> Floats:
    """Return each row as shares of its last one; all found where there was nothing to find."""
    total = counts[:, -1:]
    return np.divide(counts, total, out=np.ones_like(counts), where=total > 0)


def _line(name: str, values: Floats, draws: Floats) -> Line:
    """Tell a curve and its interval at all places at which one of them bends."""
    outer = (1 - LEVEL) / 2
    bounds = np.quantile(draws, [outer, 1 - outer], axis=0) if len(draws) else values[:0]
    told = np.round(np.concatenate([values, bounds]), 4)
    bends = (np.diff(told) != 0).any(0)
    kept = np.concatenate([[True], bends]) | np.concatenate([bends, [True]])
    rows = [tuple(row) for row in told[:, kept].tolist()]
    low, high = rows[1:] or ((), ())
    at = tuple(np.round(GRID[kept], 4).tolist())
    return Line(name=name, values=rows[0], at=at, low=low, high=high)
