"""What trains and what is held out in a fold of the captures' time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tutelage.core.folds import HELD_OUT, FoldUnits, held_out_units
from tutelage.tasks.can.captures import load_dataset
from tutelage.tasks.can.config import CANData
from tutelage.tasks.can.division import Division, divide_named, divide_pool
from tutelage.tasks.can.pool import Piece, Pool, read_pool
from tutelage.tasks.can.splits import CaptureSplit, near, window_times

if TYPE_CHECKING:
    from tutelage.tasks.can.datamodule import TestCapture


def pool_units(pool: Pool) -> FoldUnits:
    """Return the pieces of a pool as what folds are dealt from."""
    return FoldUnits(
        ids=tuple(piece.id for piece in pool.pieces),
        groups=tuple(piece.group for piece in pool.pieces),
        strata=tuple(piece.stratum for piece in pool.pieces),
        sizes=tuple(piece.size for piece in pool.pieces),
    )


def units_of_windows(pool: Pool, tests: Iterable[TestCapture]) -> list[str]:
    """Return the piece of each window of some captures, capture by capture."""
    units: list[str] = []
    for test in tests:
        names = np.full(len(test.store), "", object)
        for piece in pool.pieces:
            if piece.capture == test.capture.label:
                names[piece.mask(len(names))] = piece.id
        units += names[test.windows.numpy()].tolist()
    return units


def divide(data: CANData, cache: Path) -> Division:
    """Divide captures as `data.fold` says.

    Null: by their names and their time. ``all``: whatever may train does, and what tests without
    folds tests. A number: the fold's pieces are held out, to validate and to be scored; what trains
    is the rest of the pool but for what is closer to them than `data.embargo_seconds`.

    Raises:
        ConfigError: There is no such split file or fold.
        DataError: The data are missing or malformed, the split is of other data or leaks, or
            nothing is left to train or validate with.
    """
    if data.fold is None:
        return divide_named(data, cache)
    if data.fold == "all":
        if data.split_file is not None:
            held_out_units(pool_units(read_pool(data, cache)), data)
        return divide_pool(data, cache)
    pool = read_pool(data, cache)
    held = held_out_units(pool_units(pool), data)
    pieces: dict[str, list[tuple[Piece, bool]]] = defaultdict(list)
    for piece, out in zip(pool.pieces, held, strict=True):
        pieces[piece.capture].append((piece, out))
    splits = []
    for capture in load_dataset(data, cache, labels=pieces):
        start, end = window_times(capture.frames, data.window, data.stride)
        inside = np.zeros((2, len(start)), bool)
        for piece, out in pieces[capture.label]:
            inside[int(out)] |= piece.mask(len(start))
        train = inside[0] & ~near(inside[1], start, end, data.embargo_seconds)
        if train.any() or inside[1].any():
            splits.append(CaptureSplit(capture, train, inside[1], inside[1], HELD_OUT))
    return Division(splits, pool.kept, pool.findings)
