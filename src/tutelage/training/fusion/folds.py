"""Folds of held-out samples by stretches of time: neighbours never stand in two folds."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tutelage.core.errors import DataError

LEFT_OUT = -1
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def time_folds(stretch: Ints, label: Ints, folds: int, gap: int) -> tuple[Ints, Ints]:
    """Deal stretches out to folds: those with positives evenly by these, the others by samples.

    Long stretches are cut into pieces first, and all of them where too few hold the rarer class;
    the samples about a cut are left out.

    Args:
        stretch: (n,) ascending, samples of one stretch follow each other in time.
        label: (n,) 0 or 1.
        folds: How many.
        gap: Samples left out on both sides of a cut.

    Returns:
        For each sample its fold, or `LEFT_OUT`; and its piece (n,), ascending.

    Raises:
        DataError: A class is missing, or too rare for so many folds.
    """
    _require_classes(label)
    lengths = np.unique(stretch, return_counts=True)[1]
    longest = math.ceil(len(label) / (2 * folds))
    piece, used = _cut(stretch, -(-lengths // longest), gap)
    if _holding(piece[used], label[used]) < folds:
        piece, used = _cut(stretch, np.maximum(-(-lengths // longest), folds), gap)
    fold = _deal(piece, used, label, folds)
    if any(len(np.unique(label[fold == k])) < 2 for k in range(folds)):
        held = _holding(stretch, label)
        fewer = min(held, folds - 1)
        more = "Give longer or more captures."
        raise DataError(
            f"{folds} folds need both classes in {folds} stretches of held-out time; of the "
            f"{len(lengths)} stretches {held} hold the rarer one",
            hint=f"Set mode.folds={fewer}, or: {more}" if fewer > 1 else more,
        )
    return fold, piece


def _deal(piece: Ints, used: Bools, label: Ints, folds: int) -> Ints:
    """Give each piece, the largest first, to the fold that has least of what it holds."""
    numbers = np.unique(piece[used])
    positives = np.array([label[used & (piece == number)].sum() for number in numbers])
    negatives = np.array([(label[used & (piece == number)] == 0).sum() for number in numbers])
    fold = np.full(len(label), LEFT_OUT)
    load = np.zeros((folds, 2), np.int64)
    for at in np.lexsort((numbers, -negatives, -positives)):
        first, second = (0, 1) if positives[at] else (1, 0)
        target = int(np.lexsort((load[:, second], load[:, first]))[0])
        load[target] += (positives[at], negatives[at])
        fold[used & (piece == numbers[at])] = target
    return fold


def _require_classes(label: Ints) -> None:
    for value, name in ((1, "attacked"), (0, "normal")):
        if not (label == value).any():
            raise DataError(
                f"none of the {len(label)} held-out samples is {name}: no fusion can be learned",
                hint="Hold out more (data.validation_fraction), or give more captures.",
            )


def _holding(piece: Ints, label: Ints) -> int:
    """How many pieces hold the rarer class."""
    return min(len(np.unique(piece[label == value])) for value in (0, 1))


def _cut(stretch: Ints, pieces: Ints, gap: int) -> tuple[Ints, Bools]:
    """Cut each stretch into so many pieces of equal length; mark what is not about a cut."""
    _, first, place, count = np.unique(
        stretch, return_index=True, return_inverse=True, return_counts=True
    )
    at = np.arange(len(stretch)) - first[place]
    before = np.cumsum(pieces) - pieces
    piece = before[place] + at * pieces[place] // count[place]
    cuts = np.flatnonzero((np.diff(piece) != 0) & (np.diff(place) == 0))
    used = np.ones(len(stretch), bool)
    for shift in range(-gap + 1, gap + 1):
        used[np.clip(cuts + shift, 0, len(stretch) - 1)] = False
    return piece, used
