"""Training, validation and test: whole groups, so that nothing repeats across a split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.core.errors import DataError
from tutelage.tasks.multimodal.data.pairs import Pairs
from tutelage.training.samplers import random_bits

SPLITS = ("train", "validation", "test")
LARGEST_HELD_OUT = 0.02
"""Groups with more than this share of a held-out split's pictures train."""
LEAST = 2
"""Pictures without which a split can't be."""


@dataclass(frozen=True, slots=True)
class Split:
    """(n,) int64 ascending: the pictures of each part; what had to be left out, in words."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    findings: tuple[str, ...] = ()


def split_pairs(
    pairs: Pairs, ids: NDArray[np.int64], validation: float, test: float, seed: int
) -> Split:
    """Split by whole groups: as the data say where they do, else at random.

    Groups of more than 2 % of what is held out train, so that no single title makes up a test.

    Args:
        pairs: The pictures.
        ids: (N,) group of each.
        validation: Share that validates.
        test: Share that tests.
        seed: Of the choice.

    Raises:
        DataError: Too few groups for three parts, or the data name no picture of one.
    """
    part = np.array([SPLITS.index(name) if name else -1 for name in pairs.splits])
    findings: list[str] = []
    if (part >= 0).any():
        part, findings = _as_told(part, ids)
    if not (part == 2).any():
        part = _held_out(part, ids, test, 2, seed)
    if not (part == 1).any():
        part = _held_out(part, ids, validation, 1, seed + 1)
    part[part == -1] = 0
    split = Split(
        train=np.flatnonzero(part == 0),
        validation=np.flatnonzero(part == 1),
        test=np.flatnonzero(part == 2),
        findings=tuple(findings),
    )
    for name, rows in zip(SPLITS, (split.train, split.validation, split.test), strict=True):
        if len(np.unique(ids[rows])) < LEAST:
            groups = len(np.unique(ids))
            raise DataError(
                f"{len(pairs)} pictures with {groups} different captions leave "
                f"{len(np.unique(ids[rows]))} of them for {name}",
                hint="Give more pictures with captions of their own: retrieval needs at least two "
                "to choose from, in training, validation and test each.",
            )
    return split


def _as_told(
    part: NDArray[np.int64], ids: NDArray[np.int64]
) -> tuple[NDArray[np.int64], list[str]]:
    """Follow the data's own splits; a group in several keeps the last of them alone."""
    last = np.full(int(ids.max()) + 1, -1)
    np.maximum.at(last, ids, part)
    moved = (part >= 0) & (part != last[ids])
    result = np.where(part < 0, np.where(last[ids] >= 0, last[ids], 0), part)
    result[moved] = -2
    found = []
    if moved.any():
        found.append(
            f"{int(moved.sum())} pictures left out: their caption or content repeats in "
            "validation or test"
        )
    return result, found


def _held_out(
    part: NDArray[np.int64], ids: NDArray[np.int64], share: float, into: int, seed: int
) -> NDArray[np.int64]:
    """Move whole groups, in random order, until ``share`` of all pictures is held out."""
    free = (part == 0) | (part == -1)
    sizes = np.bincount(ids[free], minlength=int(ids.max()) + 1)
    wanted = max(share * len(ids), LEAST)
    order = np.argsort(random_bits(seed, 0, len(sizes)), kind="stable")
    order = order[sizes[order] > 0]
    small = order[sizes[order] <= max(1.0, LARGEST_HELD_OUT * wanted)]
    if sizes[small].sum() < wanted:  # all groups are large: begin with the smallest
        small = order[np.argsort(sizes[order], kind="stable")]
    taken = small[np.cumsum(sizes[small]) <= wanted]
    result = part.copy()
    result[free & np.isin(ids, taken)] = into
    return result
