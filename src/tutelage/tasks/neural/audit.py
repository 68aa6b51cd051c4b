"""`tutelage audit neural`: repeats across parts, drifts, block-wise stimuli, weak units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tutelage.core.records import AuditStamp, Table
from tutelage.task import Audit
from tutelage.tasks.neural.config import NeuralConfig
from tutelage.tasks.neural.data.split import TEST, TRAIN, split_sessions, stimulus_digests
from tutelage.tasks.neural.evaluation.ceilings import correlation
from tutelage.tasks.neural.sessions.read import chosen, read_sessions, require_responses
from tutelage.tasks.neural.sessions.session import Ints, Session

LEAKS, WARNS = "leak", "warning"
NEIGHBOURS = 10
"""Training rows nearest in time whose mean response predicts a test row, to show drifts."""
DRIFT = 0.1
"""Correlation of that prediction from which a session is said to drift."""
FEW_SPIKES = 50


def audit(config: NeuralConfig, cache: Path) -> Audit:
    """Look at each session, and at what its parts share with those of the others.

    *Leaking* means that a stimulus both trains and tests. The split by content prevents that; a
    split by stretches, or one that a file brings along, may not.

    Raises:
        DataError: The data are missing, empty, unreadable or malformed.
    """
    every = read_sessions(config.data, cache)
    require_responses(every, config.data)
    wanted = chosen(every, config.data)
    parts = split_sessions(every, config.data.split, config.data.train_rows)
    pairs = [p for p, use in zip(zip(every, parts, strict=True), wanted, strict=True) if use]
    drifts = [drift(session, part) for session, part in pairs]
    findings = [*_shared(pairs), *_each(pairs, drifts)]
    kinds = {kind for kind, _ in findings}
    verdict = "leaking" if LEAKS in kinds else "warnings" if kinds else "clean"
    stamp = AuditStamp(verdict=verdict, findings=tuple(text for _, text in findings))
    return Audit(stamp, (_inventory(pairs, drifts),))


def drift(session: Session, part: Ints) -> float:
    """Return how well the training rows nearest in time predict the test rows: a mean correlation.

    No stimulus takes part; what it predicts are slow drifts, and stimuli shown class by class.
    """
    train, test = np.flatnonzero(part == TRAIN), np.flatnonzero(part == TEST)
    near = np.searchsorted(train, test)
    offsets = np.arange(-(NEIGHBOURS // 2), NEIGHBOURS - NEIGHBOURS // 2)
    picked = train[np.clip(near[:, None] + offsets, 0, len(train) - 1)]
    counts = np.maximum(session.valid[picked].sum(axis=1), 1)
    expected = session.responses[picked].sum(axis=1, dtype=np.float64) / counts
    recorded = np.where(session.valid[test], session.responses[test], np.nan)
    found = correlation(expected, recorded.astype(np.float64))
    return float(np.nanmean(found)) if np.isfinite(found).any() else 0.0


def _shared(pairs: Sequence[tuple[Session, Ints]]) -> Iterator[tuple[str, str]]:
    """Stimuli that train in one place and test in another."""
    digests = [np.array(stimulus_digests(session), np.uint64) for session, _ in pairs]
    shown = [
        {part: set(np.unique(own[s.trial[p == part]]).tolist()) for part in (TRAIN, TEST)}
        for (s, p), own in zip(pairs, digests, strict=True)
    ]
    trains = set[int]().union(*(each[TRAIN] for each in shown))
    for (session, _), own, mine in zip(pairs, digests, shown, strict=True):
        stretches = len(own) == 1  # one long trial: its content is in every part
        repeats = len(own) - len(np.unique(own))
        if repeats:
            yield WARNS, f"session {session.id}: {repeats} stimuli are shown again in other trials"
        if not stretches and (both := len(mine[TEST] & trains)):
            yield LEAKS, f"session {session.id}: {both} stimuli that test also train"


def _each(
    pairs: Sequence[tuple[Session, Ints]], drifts: Sequence[float]
) -> Iterator[tuple[str, str]]:
    for (session, part), slow in zip(pairs, drifts, strict=True):
        if slow >= DRIFT:
            yield (
                WARNS,
                f"session {session.id}: the {NEIGHBOURS} training rows nearest in time predict "
                f"the test rows with a correlation of {slow:.2f}, without any stimulus: read the "
                "block-demeaned scores too",
            )
        spikes = session.responses[part == TEST].sum(axis=0)
        if weak := int((spikes < FEW_SPIKES).sum()):
            yield WARNS, f"session {session.id}: {weak} units have under {FEW_SPIKES} test spikes"
        if missing := float(1 - session.valid.mean()):
            yield WARNS, f"session {session.id}: {missing:.1%} of the responses are not valid"


def _inventory(pairs: Sequence[tuple[Session, Ints]], drifts: Sequence[float]) -> Table:
    columns = (
        "session", "animal", "kind", "rows", "units", "train", "validation", "test", "left out",
        "stimuli", "mean rate", "drift r",
    )  # fmt: skip
    rows = []
    for (session, part), slow in zip(pairs, drifts, strict=True):
        counts = [int((part == each).sum()) for each in (0, 1, 2, -1)]
        rows.append(
            (
                session.id,
                session.animal,
                "images" if session.static else "movie",
                len(session),
                session.units,
                *counts,
                len(set(stimulus_digests(session))),
                round(float(session.responses[session.valid].mean()), 3),
                round(slow, 3),
            )
        )
    return Table(title="Sessions", columns=columns, rows=tuple(rows))
