"""`read_sessions`: every session that the settings name, checked, and alike in its behaviour."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tutelage.core.errors import DataError, UnknownNameError
from tutelage.core.files import digest_json
from tutelage.core.fingerprint import source_digest
from tutelage.tasks.neural.config import NeuralData
from tutelage.tasks.neural.sessions.cache import cached
from tutelage.tasks.neural.sessions.recording import checked
from tutelage.tasks.neural.sessions.session import Session
from tutelage.tasks.neural.sessions.sources import Source, find_sources

_log = logging.getLogger(__name__)


def sessions_fingerprint(data: NeuralData) -> str:
    """Digest the content of all sessions that ``data`` names.

    Raises:
        DataError: They are missing or unreadable.
    """
    if data.root is None:
        return digest_json(["simulated", simulation_settings(data)])
    return digest_json([source.digest() for source in find_sources(data)])


def read_sessions(data: NeuralData, cache: Path) -> list[Session]:
    """Return the sessions in order of their ids; without `data.root`, simulated ones.

    They are all read, before `data.only` and `data.leave_out`: how a stimulus is split may
    depend on who else has seen it. See `chosen`.

    Args:
        data: Which, and what they hold.
        cache: Folder of things that can be made again.

    Raises:
        DataError: One is missing, unreadable or malformed, or two have one id.
    """
    folder = cache / "sessions"
    if data.root is None:
        from tutelage.tasks.neural.simulator import simulate_session

        settings = simulation_settings(data)
        sessions = [
            cached(
                folder,
                digest_json([settings, number, source_digest()]),
                lambda number=number: simulate_session(settings, number).session,  # type: ignore[misc]
            )
            for number in range(data.simulated_sessions)
        ]
    else:
        sessions = [_read(source, data, folder) for source in find_sources(data)]
    sessions.sort(key=lambda session: session.id)
    ids = [session.id for session in sessions]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise DataError(f"two sessions are called {twice[0]!r}", where=data.root)
    return with_behaviour(sessions[: data.max_sessions], data)


def chosen(sessions: Sequence[Session], data: NeuralData) -> list[bool]:
    """Return which of the sessions `data.only` and `data.leave_out` leave.

    Raises:
        UnknownNameError: They name a session that is not there.
        DataError: They leave none.
    """
    ids = [session.id for session in sessions]
    for name in (*data.only, *data.leave_out):
        if name not in ids:
            raise UnknownNameError("session", name, ids, where=str(data.root or "simulated data"))
    wanted = [name in (data.only or ids) and name not in data.leave_out for name in ids]
    if not any(wanted):
        raise DataError("data.only and data.leave_out leave no session", where=data.root)
    return wanted


def require_responses(sessions: Sequence[Session], data: NeuralData) -> None:
    """See that in each session something was recorded.

    Raises:
        DataError: One holds stimuli alone.
    """
    for session in sessions:
        if not session.valid.any():
            raise DataError(
                f"session {session.id}: responses: not in the file",
                where=data.root,
                hint="Give responses (T, N). `tutelage predict` alone goes without.",
            )


def with_behaviour(sessions: Sequence[Session], data: NeuralData) -> list[Session]:
    """Give all sessions the same behavioural signals, in the same order.

    Raises:
        DataError: A session lacks a signal that `data.behaviour` names.
    """
    shared = data.behaviour
    for session in sessions if shared else ():
        absent = [name for name in shared if name not in session.behaviour_names]
        if absent:
            held = ", ".join(session.behaviour_names) or "none"
            raise DataError(
                f"session {session.id}: behaviour: {absent[0]!r} is configured but absent",
                where=data.root,
                hint=f"It holds {held}; leave the session out, or change data.behaviour.",
            )
    if not shared and sessions:
        first, *others = (session.behaviour_names for session in sessions)
        shared = tuple(name for name in first if all(name in names for names in others))
    return [_only_behaviour(session, shared) for session in sessions]


def _only_behaviour(session: Session, names: tuple[str, ...]) -> Session:
    if names == session.behaviour_names:
        return session
    if not names or session.behaviour is None:
        return replace(session, behaviour=None, behaviour_names=())
    columns = [session.behaviour_names.index(name) for name in names]
    kept = np.ascontiguousarray(session.behaviour[:, columns])
    return replace(session, behaviour=kept, behaviour_names=names)


def _read(source: Source, data: NeuralData, folder: Path) -> Session:
    key = digest_json([source.digest(), data.responses, data.silent_units, source_digest()])
    return cached(folder, key, lambda: checked(source.read(), data), source.foreign)


def simulation_settings(data: NeuralData) -> dict[str, int | float]:
    """Return what the embedded recordings are made by."""
    return {
        "sessions": data.simulated_sessions,
        "seconds": data.simulated_seconds,
        "units": data.simulated_units,
        "seed": data.simulated_seed,
        "shared": data.simulated_stimuli == "shared",
    }
