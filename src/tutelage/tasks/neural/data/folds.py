"""Images, trials or stretches of time as units of a cross-validation, and the parts of a fold."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from tutelage.core.errors import DataError
from tutelage.core.folds import FoldUnits, held_out_units
from tutelage.tasks.neural.config import NeuralData
from tutelage.tasks.neural.data.split import (
    LEFT_OUT,
    TEST,
    TRAIN,
    VALIDATION,
    Dealt,
    deal,
    finished,
)
from tutelage.tasks.neural.sessions.session import Ints, Session

Digests = NDArray[np.uint64]


def row_digests(dealt: Dealt) -> Digests:
    """Return (T,) the digest of each row's group: its image, its trials, or its stretch of time."""
    digests: Digests = np.array(dealt.content, np.uint64)[dealt.groups]
    return digests


def unit_name(digest: int) -> str:
    """Name a unit by its digest."""
    return f"{digest:016x}"


def session_units(
    sessions: Sequence[Session], wanted: Sequence[bool], data: NeuralData
) -> FoldUnits:
    """Return what would train or validate in some sessions as units of a cross-validation.

    A unit is what the split keeps whole: all that shows one image or trial, in whatever session,
    or a stretch of time. Its size is its rows, its stratum the session that it is of (of several
    the one with the fewest units).

    Args:
        sessions: All of them, in order: how one is split depends on who else has seen its stimuli.
        wanted: Which of them are used; the units are theirs.
        data: How they are split.
    """
    return _units(sessions, wanted, deal(sessions, data.split))


def _units(
    sessions: Sequence[Session], wanted: Sequence[bool], dealt: Sequence[Dealt]
) -> FoldUnits:
    sizes: Counter[int] = Counter()
    shown_in: dict[int, list[str]] = defaultdict(list)
    for session, one in compress(zip(sessions, dealt, strict=True), wanted):
        found, counts = np.unique(row_digests(one)[one.part != TEST], return_counts=True)
        for digest, count in zip(found.tolist(), counts.tolist(), strict=True):
            sizes[digest] += count
            shown_in[digest].append(session.id)
    having = Counter(name for names in shown_in.values() for name in names)
    return FoldUnits(
        tuple(map(unit_name, sizes)),
        strata=tuple(min(names, key=lambda n: (having[n], n)) for names in shown_in.values()),
        sizes=tuple(sizes.values()),
    )


def fold_parts(
    sessions: Sequence[Session], wanted: Sequence[bool], data: NeuralData
) -> tuple[list[Ints], list[Digests]]:
    """Return the parts that ``data.fold`` makes of the sessions, and the unit of each row.

    With a number, the rows that the fold holds out validate, those of the split's test are left
    out, and the rest trains, but for an embargo around both. With ``all``, what would validate
    trains.

    Args:
        sessions: All of them, in order.
        wanted: Which of them are used; the units are theirs.
        data: Names the split file and the fold.

    Returns:
        (T,) int64 and (T,) uint64 for each session.

    Raises:
        ConfigError: There is no such split file or fold.
        DataError: The folds were dealt from other data, or leave a session nothing to train on.
    """
    dealt = deal(sessions, data.split)
    units = _units(sessions, wanted, dealt)
    held = set(compress(units.ids, held_out_units(units, data)))
    out = np.array([int(name, 16) for name in sorted(held)], np.uint64)
    digests = [row_digests(one) for one in dealt]
    parts = []
    for session, one, mine in zip(sessions, dealt, digests, strict=True):
        part = np.where(np.isin(mine, out), VALIDATION, TRAIN)
        part = np.where(one.part == TEST, TEST, part)
        part = finished(session, one, part, data.split, data.train_rows)
        parts.append(part if data.fold == "all" else np.where(part == TEST, LEFT_OUT, part))
    _refuse_empty(list(compress(sessions, wanted)), list(compress(parts, wanted)), data)
    return parts, digests


def _refuse_empty(sessions: Sequence[Session], parts: Sequence[Ints], data: NeuralData) -> None:
    """Refuse a fold that leaves a session nothing to train on, or to be scored on.

    Raises:
        DataError: It does.
    """
    scored = TEST if data.fold == "all" else VALIDATION
    for session, part in zip(sessions, parts, strict=True):
        for needed, what in ((TRAIN, "trains"), (scored, "is held out or tests")):
            if needed not in part:
                raise DataError(
                    f"session {session.id}: nothing of it {what} in this fold",
                    where=data.split_file,
                    hint="Deal stratified folds, which share out each session, or fewer.",
                )
