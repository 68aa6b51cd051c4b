"""`deal`: units into folds: k-fold, stratified, grouped, repeated; a pure function of a seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tutelage.core.errors import ConfigError, DataError
from tutelage.core.folds import FoldUnits, Split, SplitKind

Integers = NDArray[np.int64]
_REDRAWS: Final = 50


def deal(
    units: FoldUnits,
    kind: SplitKind = "kfold",
    folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
    task: str = "",
) -> Split:
    """Deal units into folds; a pure function of its arguments.

    Whole groups are dealt, whatever the kind, the larger ones first, each to the fold that has
    least (of its strata, then of all).

    Args:
        units: What is dealt.
        kind: ``kfold``: folds alike in size; ``stratified``: and in their strata; ``grouped``: as
            ``kfold``, but refused where no group has two units, since then there are no groups.
        folds: Folds of one repeat, at least 2.
        repeats: How often all are dealt, each time otherwise.
        seed: Seed of the order in which they are dealt.
        task: The task whose units they are.

    Raises:
        ConfigError: The data know no groups or strata, or so many different repeats do not exist.
        DataError: There are fewer groups than folds; says how many folds are possible.
    """
    groups = _numbers(units.groups or units.ids)
    count = int(groups.max()) + 1
    _refuse(units, count, kind, folds, repeats)
    amounts = _amounts(units, groups, kind == "stratified")
    dealt: list[Integers] = []
    seen: set[bytes] = set()
    for draw in range(repeats + _REDRAWS):
        fold = _dealt(amounts, folds, np.random.default_rng((seed, draw)))
        if fold.tobytes() not in seen:
            seen.add(fold.tobytes())
            dealt.append(fold)
        if len(dealt) == repeats:
            break
    else:
        hint = "Ask for fewer repeats or folds."
        said = f"{repeats} repeats of {folds} folds of {count} groups are not all different"
        raise ConfigError(said, hint=hint)
    return Split(
        task=task,
        kind=kind,
        folds=folds,
        repeats=repeats,
        seed=seed,
        units=units.ids,
        groups=units.groups,
        fold_of=tuple(tuple(fold[groups].tolist()) for fold in dealt),
    )


def _refuse(units: FoldUnits, groups: int, kind: SplitKind, folds: int, repeats: int) -> None:
    """Refuse what can't be dealt.

    Raises:
        ConfigError: The data know no groups or strata, or nothing was asked for.
        DataError: There are fewer groups than folds.
    """
    if folds < 2 or repeats < 1:
        raise ConfigError(f"folds={folds}, repeats={repeats}: need at least 2 folds and 1 repeat")
    if kind == "grouped" and groups == len(units.ids):
        hint = "Use kfold: each unit stands for itself."
        raise ConfigError("these data know no groups", where="kind=grouped", hint=hint)
    if kind == "stratified" and units.strata is None:
        hint = "Use kfold."
        raise ConfigError("nothing is known by which to stratify", where=f"kind={kind}", hint=hint)
    if groups < folds:
        what = "units" if units.groups is None else "groups that must stay together"
        possible = f"at most {groups} folds" if groups > 1 else "no folds"
        hint = "Ask for fewer, or give more data."
        raise DataError(f"{folds} folds of {groups} {what}: {possible} are possible", hint=hint)


def _amounts(units: FoldUnits, groups: Integers, stratified: bool) -> Integers:
    """Return (groups, strata) how much of each stratum is in each group."""
    sizes = np.array(units.sizes or [1] * len(units.ids), np.int64)
    strata = _numbers(units.strata) if stratified and units.strata else np.zeros_like(groups)
    amounts = np.zeros((int(groups.max()) + 1, int(strata.max()) + 1), np.int64)
    np.add.at(amounts, (groups, strata), sizes)
    return amounts


def _dealt(amounts: Integers, folds: int, draw: np.random.Generator) -> Integers:
    """Return (groups,) the fold of each group; folds are numbered as groups come to them.

    Groups come by size, of like size (within a factor of two) in a drawn order: in a strict order
    every repeat would be the same. A fold that has nothing yet always comes first.
    """
    order = draw.permutation(len(amounts))
    classes = np.frexp(amounts.sum(1)[order])[1]
    order = order[np.argsort(-classes, kind="stable")]
    share = amounts / amounts.sum(0)
    has = np.zeros((folds, amounts.shape[1]))
    size = np.zeros(folds)
    fold_of = np.zeros(len(amounts), np.int64)
    for group in order.tolist():
        of_strata = has @ (amounts[group] > 0)
        fold = int(np.lexsort((size, of_strata.round(12)))[0])
        fold_of[group] = fold
        has[fold] += share[group]
        size[fold] += amounts[group].sum()
    _, first = np.unique(fold_of, return_index=True)
    names = np.empty(folds, np.int64)
    names[fold_of[np.sort(first)]] = np.arange(folds)
    return names[fold_of]


def _numbers(names: Sequence[str]) -> Integers:
    """Return (n,) the number of each name among all, from 0 in order of the names."""
    return np.unique(np.array(names), return_inverse=True)[1].astype(np.int64)
