"""Chunks and cards of made-up sessions, for tests of the networks."""

from __future__ import annotations

import torch

from tutelage.tasks.neural.batch import SessionChunk
from tutelage.tasks.neural.preprocessing import Preprocessing, SessionCard

SIDE = 20


def card(name: str, units: int, behaviour: int = 0, side: int = SIDE) -> SessionCard:
    """A session's card; its units' mean rates rise from 0.1 in steps of 0.1."""
    return SessionCard(
        id=name,
        animal=name[0],
        unit_ids=tuple(f"{name}-{i}" for i in range(units)),
        height=side,
        width=side,
        mean_rates=tuple(0.1 * (i + 1) for i in range(units)),
        behaviour=tuple(f"signal{i}" for i in range(behaviour)),
        behaviour_mean=(0.0,) * behaviour,
        behaviour_std=(1.0,) * behaviour,
    )


def learned(*cards: SessionCard, static: bool = False) -> Preprocessing:
    """What training data would have fixed."""
    return Preprocessing({each.id: each for each in cards}, static, 120.0, 60.0)


def chunk(of: SessionCard, rows: int, context: int, length: int, seed: int = 0) -> SessionChunk:
    """Random stretches of a session; a tenth of the responses is not valid."""
    generator = torch.Generator().manual_seed(seed)
    total, units = context + length, of.units
    stimulus = torch.randint(0, 256, (rows, 1, total, of.height, of.width), generator=generator)
    behaviour = torch.randn(rows, total, len(of.behaviour), generator=generator)
    valid = torch.rand(rows, length, units, generator=generator) > 0.1
    responses = torch.poisson(torch.full((rows, total, units), 0.5), generator=generator)
    return SessionChunk(
        session=of.id,
        stimulus=stimulus.to(torch.uint8),
        responses=torch.where(valid, responses[:, context:], 0.0),
        valid=valid,
        behaviour=behaviour if of.behaviour else None,
        past=responses[:, :context],
        frames=torch.arange(rows) * total,
    )


def window(of: SessionChunk, row: int, frame: int, context: int) -> SessionChunk:
    """The classic window (1, 1, lags, H, W) that ends at one predicted frame of a stretch."""
    end = of.context + frame + 1
    everything = torch.cat([of.past, of.responses], dim=1)[row : row + 1]
    here = slice(end - 1 - context, end)
    return SessionChunk(
        session=of.session,
        stimulus=of.stimulus[row : row + 1, :, here],
        responses=everything[:, end - 1 : end],
        valid=of.valid[row : row + 1, frame : frame + 1],
        behaviour=None if of.behaviour is None else of.behaviour[row : row + 1, here],
        past=everything[:, end - 1 - context : end - 1],
        frames=of.frames[row : row + 1],
    )
