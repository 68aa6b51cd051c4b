"""Deal the texts of a set out to training, validation and tests, and keep alike ones apart."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from tutelage.tasks.ner.config import NERData
from tutelage.tasks.ner.labels import Integers
from tutelage.tasks.ner.near_duplicates import Pairs, find_pairs
from tutelage.tasks.ner.sets import TEST, TRAIN, VALIDATION, TextSet
from tutelage.tasks.ner.splits import families, hold_out, straddling


@dataclass
class Parts:
    """Numbers of texts, ascending, and what was found when they were dealt out.

    Args:
        train: Those that train.
        validation: Those that are held out.
        tests: Those of each test split.
        findings: Sentences on what was left out.
        leaks: Whether alike texts are on both sides of a split.
        units: Names of the texts that a fold holds out, as units of a cross-validation.
    """

    train: Integers
    validation: Integers
    tests: dict[str, Integers]
    findings: list[str] = field(default_factory=list)
    leaks: bool = False
    units: tuple[str, ...] = ()


def deal(texts: TextSet, data: NERData) -> Parts:
    """Decide which texts train, are held out and test.

    A part that a file is named for is its texts; else whole families of texts are held out. Then
    training texts that are like held-out or test texts, and held-out ones that are like test
    texts, are left out, or kept and said, as `data.cross_split` has it.
    """
    pairs = find_pairs(texts.documents, data.near_duplicate)
    family = families(texts.documents, pairs)
    names = np.array(named(texts, family, data).parts, dtype=np.str_)
    tests = {
        str(name): np.flatnonzero(names == name)
        for name in np.unique(names)
        if str(name).startswith(TEST)
    }
    train, validation = (np.flatnonzero(names == part) for part in (TRAIN, VALIDATION))
    parts = Parts(train, validation, tests)
    keep_apart(texts, family, pairs, data, parts)
    return parts


def keep_apart(texts: TextSet, family: Integers, pairs: Pairs, data: NERData, parts: Parts) -> None:
    """Take out of training and validation what is like texts of other parts, or say it is there.

    Args:
        texts: The set.
        family: (texts,) family of each.
        pairs: Which texts are alike.
        data: What becomes of such texts.
        parts: What is changed.
    """
    testing = np.sort(np.concatenate([*parts.tests.values(), np.zeros(0, np.int64)]))
    apart = _Apart(texts, family, pairs.original, data.cross_split == "keep", parts)
    parts.validation = apart(VALIDATION, parts.validation, testing)
    parts.train = apart(TRAIN, parts.train, np.concatenate([parts.validation, testing]))


def named(
    texts: TextSet, family: Integers, data: NERData, *, test_fraction: float | None = None
) -> TextSet:
    """Return the set with a part for each text; those of files that name none are dealt out.

    Args:
        texts: The set.
        family: (texts,) family of each.
        data: Shares and seed.
        test_fraction: Share that tests where no file is named so; null takes that of ``data``, 0
            lets none test.
    """
    names = np.array(texts.parts, dtype=object)
    share = data.test_fraction if test_fraction is None else test_fraction
    names[names == ""] = TRAIN
    if not texts.has(TEST) and share:
        _hold_out(names, family, TEST, share, data.split_seed)
    if not texts.has(VALIDATION):
        _hold_out(names, family, VALIDATION, data.validation_fraction, data.split_seed + 1)
    return replace(texts, parts=tuple(map(str, names)))


def _hold_out(names: object, family: Integers, part: str, share: float, seed: int) -> None:
    assert isinstance(names, np.ndarray)
    train = np.flatnonzero(names == TRAIN)
    names[train[hold_out(family[train], share, seed)]] = part


@dataclass(frozen=True, slots=True)
class _Apart:
    """Takes out of a part what is like a text of another, or says that it is there."""

    texts: TextSet
    family: Integers
    original: Integers
    keep: bool
    parts: Parts

    def __call__(self, part: str, gives_way: Integers, stays: Integers) -> Integers:
        found = straddling(self.family, self.original, gives_way, stays)
        if not len(found.texts):
            return gives_way
        one, other = (self.texts.documents[int(n[0])].where for n in (found.texts, found.likes))
        done = "kept, as data.cross_split says" if self.keep else "left out"
        self.parts.findings.append(
            f"{len(found.texts)} {part} texts are like held-out or test texts, or of one group "
            f"with them, {found.same} the very same: {done} (first: {one} and {other})"
        )
        self.parts.leaks |= self.keep
        return gives_way if self.keep else np.setdiff1d(gives_way, found.texts)
