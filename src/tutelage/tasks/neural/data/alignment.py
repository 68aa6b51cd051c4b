"""Sessions in the shape that a trained model knows: units by their ids, never by their places."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tutelage.core.errors import DataError
from tutelage.tasks.neural.preprocessing import SessionCard
from tutelage.tasks.neural.sessions.session import Session


def aligned(session: Session, card: SessionCard) -> tuple[Session, list[str]]:
    """Order a session's units and signals as a model's card has them.

    Units that the model knows and the session lacks are never valid; units that the model does not
    know are left out. Both are noted, but of a session in which nothing was recorded.

    Raises:
        DataError: The frames are of another size, no unit is known, or a signal is absent.
    """
    height, width = session.stimulus.shape[2:]
    if (height, width) != (card.height, card.width):
        raise DataError(
            f"session {session.id}: stimulus: frames of {height} × {width}",
            hint=f"The model was trained on frames of {card.height} × {card.width}.",
        )
    place = {unit: at for at, unit in enumerate(session.unit_ids)}
    known = [unit for unit in card.unit_ids if unit in place]
    if session.units and not known:
        held = ", ".join(session.unit_ids[:5])
        raise DataError(
            f"session {session.id}: unit_ids: none of its units ({held}, …) is known to the model",
            hint=f"It knows {', '.join(card.unit_ids[:5])}, …",
        )
    notes = []
    if session.units and (lacking := len(card.unit_ids) - len(known)):
        notes.append(f"session {session.id}: {lacking} units of the model are absent")
    if unknown := session.units - len(known):
        notes.append(f"session {session.id}: {unknown} units left out: the model has none such")
    shape = (len(session), card.units)
    responses, valid = np.zeros(shape, np.float32), np.zeros(shape, np.bool_)
    columns = [at for at, unit in enumerate(card.unit_ids) if unit in place]
    source = [place[unit] for unit in known]
    responses[:, columns], valid[:, columns] = (
        session.responses[:, source],
        session.valid[:, source],
    )
    signals = _signals(session, card)
    return (
        replace(signals, responses=responses, valid=valid, unit_ids=card.unit_ids, expected=None),
        notes,
    )


def _signals(session: Session, card: SessionCard) -> Session:
    absent = [name for name in card.behaviour if name not in session.behaviour_names]
    if absent:
        raise DataError(
            f"session {session.id}: behaviour: {absent[0]!r} is absent",
            hint=f"The model was trained with {', '.join(card.behaviour)}.",
        )
    if not card.behaviour or session.behaviour is None:
        return replace(session, behaviour=None, behaviour_names=())
    columns = [session.behaviour_names.index(name) for name in card.behaviour]
    chosen = np.ascontiguousarray(session.behaviour[:, columns])
    return replace(session, behaviour=chosen, behaviour_names=card.behaviour)
