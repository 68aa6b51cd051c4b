"""What the training rows tell of each session: mean rates, and scales of stimulus and behaviour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tutelage.core.files import digest_bytes
from tutelage.tasks.neural.data.split import TRAIN
from tutelage.tasks.neural.preprocessing import Preprocessing, SessionCard
from tutelage.tasks.neural.sessions.session import Ints, Session

_BLOCK = 4096


def learn(sessions: Sequence[Session], parts: Sequence[Ints]) -> Preprocessing:
    """Learn the preprocessing from training rows alone.

    Args:
        sessions: Of one kind, images or movies.
        parts: (T,) part of each row, a session each.
    """
    pairs = list(zip(sessions, parts, strict=True))
    mean, std = _stimulus_scale(pairs)
    return Preprocessing(
        sessions={session.id: _card(session, part) for session, part in pairs},
        static=sessions[0].static,
        stimulus_mean=mean,
        stimulus_std=std,
        trained_on={session.id: part_digest(part) for session, part in pairs},
    )


def part_digest(part: Ints) -> str:
    """Digest which rows train, so that a later split can be held against it."""
    return digest_bytes(np.ascontiguousarray(part, np.int64).tobytes())


def _card(session: Session, part: Ints) -> SessionCard:
    rows = np.flatnonzero(part == TRAIN)
    valid = session.valid[rows]
    counts = np.maximum(valid.sum(axis=0), 1)
    totals = session.responses[rows].sum(axis=0, dtype=np.float64)
    rates = np.maximum(totals, 0.5) / counts  # half a spike: its logarithm is a bias
    mean, std = np.zeros(0), np.zeros(0)
    if session.behaviour is not None:
        signals = session.behaviour[rows].astype(np.float64)
        mean, std = signals.mean(axis=0), np.maximum(signals.std(axis=0), 1e-6)
    return SessionCard(
        id=session.id,
        animal=session.animal,
        unit_ids=session.unit_ids,
        height=session.stimulus.shape[2],
        width=session.stimulus.shape[3],
        mean_rates=tuple(rates.tolist()),
        rate_hz=session.rate_hz,
        behaviour=session.behaviour_names,
        behaviour_mean=tuple(mean.tolist()),
        behaviour_std=tuple(std.tolist()),
    )


def _stimulus_scale(pairs: Sequence[tuple[Session, Ints]]) -> tuple[float, float]:
    """Return mean and standard deviation of the training pixels, exact, a block at a time."""
    count = total = squares = 0.0
    for session, part in pairs:
        rows = np.flatnonzero(part == TRAIN)
        for at in range(0, len(rows), _BLOCK):
            pixels = session.stimulus[rows[at : at + _BLOCK]].astype(np.float32)
            count += pixels.size
            total += float(pixels.sum(dtype=np.float64))
            squares += float(np.square(pixels).sum(dtype=np.float64))
    mean = total / count
    return mean, max(squares / count - mean * mean, 1e-12) ** 0.5
