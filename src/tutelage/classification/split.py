"""Which examples train, validate and test: whole groups, each class in about equal shares."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tutelage.classification.config import ClassificationData
from tutelage.classification.examples import Examples, Ints
from tutelage.core.errors import DataError
from tutelage.core.folds import FoldUnits
from tutelage.core.records import AuditStamp, Table
from tutelage.training.samplers import permutation

TRAIN, VALIDATION, TEST = range(3)
PARTS: Final = ("train", "validation", "test")
FEW: Final = 20
"""Examples of a part below which its scores are doubtful: one more right moves them by 5 %."""


def split_examples(examples: Examples, data: ClassificationData) -> Ints:
    """Return (n,) the part of each example: whole groups, of each class about its share.

    Raises:
        DataError: A part would be empty.
    """
    firsts = np.unique(examples.together)
    drawn = firsts[permutation(data.split_seed, 0, len(firsts)).numpy()]
    order = drawn[np.argsort(examples.labels[drawn], kind="stable")]
    part = np.full(len(examples), TRAIN)
    tests = _spread(len(order), data.test_share)
    part[order[tests]] = TEST
    rest = order[~tests]
    part[rest[_spread(len(rest), data.validation_share / (1 - data.test_share))]] = VALIDATION
    part = part[examples.together]
    for number, name in enumerate(PARTS):
        if not (part == number).any():
            said = f"{len(examples)} examples, {len(firsts)} of them different, leave none for"
            hint = "Give more of them, or other shares: data.validation_share, data.test_share."
            raise DataError(f"{said} {name}", where=data.root, hint=hint)
    return part


def _spread(count: int, share: float) -> NDArray[np.bool_]:
    """Return (count,) which places are taken, evenly, so that ``share`` of any stretch is."""
    turns = np.floor(np.arange(count + 1) * share + 0.5)
    taken: NDArray[np.bool_] = np.diff(turns) > 0
    return taken


def pool_units(examples: Examples, data: ClassificationData) -> tuple[FoldUnits, Ints]:
    """Return what folds are dealt from, whole groups, and the rows (m,) that they are made of."""
    rows = np.flatnonzero(split_examples(examples, data) != TEST)
    firsts, sizes = np.unique(examples.together[rows], return_counts=True)
    strata = (examples.classes[y] for y in examples.labels[firsts].tolist())
    units = FoldUnits(tuple(examples.units(firsts)), None, tuple(strata), tuple(sizes.tolist()))
    return units, rows


def audit_tables(examples: Examples, data: ClassificationData) -> tuple[AuditStamp, Table]:
    """Return the verdict on examples, and how many of each class are in each part."""
    part, labels = split_examples(examples, data), examples.labels
    counts = np.zeros((len(examples.classes), len(PARTS)), int)
    np.add.at(counts, (labels, part), 1)
    rows = tuple((n, *c) for n, c in zip(examples.classes, counts.tolist(), strict=True))
    found = findings(examples, part)
    stamp = AuditStamp(verdict="warnings" if found else "clean", findings=tuple(found))
    return stamp, Table(title="Examples by class and part", columns=("class", *PARTS), rows=rows)


def findings(examples: Examples, part: Ints) -> list[str]:
    """Say what makes scores on some examples, (n,) of whose parts are given, doubtful."""
    if examples.y is None:
        return []
    found = []
    labels, least, most = examples.labels, *(np.zeros(len(examples), np.int64) for _ in range(2))
    least += len(examples.classes)
    np.minimum.at(least, examples.same, labels)
    np.maximum.at(most, examples.same, labels)
    if torn := int((least < most)[examples.same].sum()):
        found.append(f"{torn} examples are the same as one of another class")
    absent = np.bincount(labels, minlength=len(examples.classes)) == 0
    if absent.any():
        names = ", ".join(np.array(examples.classes)[absent])
        found.append(f"no example is of class {names}")
    for number, name in enumerate(PARTS):
        here = np.bincount(labels[part == number], minlength=len(absent))
        if 0 < here.sum() < FEW:
            found.append(f"{name} has {here.sum()} of {len(labels)} examples: too few to tell much")
        if here.any() and (missing := (here == 0) & ~absent).any():
            names = ", ".join(np.array(examples.classes)[missing])
            found.append(f"{name} has none of class {names}")
    return found
