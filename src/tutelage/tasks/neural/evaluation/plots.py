"""Figures of an evaluation: traces, receptive fields, what excites units most, kernels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.core.records import Figure, Line, Panel
from tutelage.tasks.neural.batch import SessionChunk
from tutelage.tasks.neural.data.chunks import ChunkTable, cut_chunk
from tutelage.tasks.neural.data.datamodule import MultiDatasetDM
from tutelage.tasks.neural.data.split import TRAIN
from tutelage.tasks.neural.evaluation.fields import (
    FieldShape,
    field_shape,
    model_fields,
    most_exciting,
    spike_triggered,
)
from tutelage.tasks.neural.evaluation.predictions import Predictions
from tutelage.tasks.neural.evaluation.scores import UnitScores
from tutelage.tasks.neural.rates import RateModel
from tutelage.tasks.neural.simulator import UnitTruth

Double = NDArray[np.float64]
UNITS = 6
"""Units of a session that are drawn."""
WINDOWS = 96
"""Windows over which a model's gradients are taken."""
FRAMES = 240
"""Frames of a trace."""
STA_LAGS = 8


def traces(predictions: Predictions, scores: UnitScores) -> Figure:
    """Draw predicted and recorded responses of the units that are predicted best."""
    panels = []
    for unit in _best(scores)[:3]:
        rows = slice(0, FRAMES)
        valid = predictions.valid[rows, unit]
        recorded = predictions.responses[rows, unit].tolist()
        lines = (
            Line(name="predicted", values=_values(predictions.rates[rows, unit])),
            Line(
                name="recorded",
                values=tuple(v if ok else None for v, ok in zip(recorded, valid, strict=True)),
            ),
        )
        corr = scores.columns["corr"][unit]
        title = f"{scores.session} {scores.unit_ids[unit]}, correlation {corr:.2f}"
        panels.append(Panel(title=title, lines=lines))
    return Figure(
        title=f"Responses a bin, first {FRAMES} test frames of {scores.session}",
        panels=tuple(panels),
    )


def fields_of(module: RateModel, data: MultiDatasetDM, place: int, units: Sequence[int]) -> Double:
    """Return (n, 2, lags, H, W), the model's receptive fields of some units of a session."""
    chunk = windows(data, place).to(module.device)
    return model_fields(module, chunk, units)


def windows(data: MultiDatasetDM, place: int) -> SessionChunk:
    """Return windows (L = 1) that lie evenly over a session's training frames."""
    table = data.tables[TRAIN]
    mine = np.flatnonzero(table.session == place)
    chosen = mine[np.linspace(0, len(mine) - 1, min(WINDOWS, len(mine))).astype(np.int64)]
    sizes = (1,) * table.sessions
    single = ChunkTable(
        table.session, table.start, table.start + 1, table.low, table.high, sizes, table.context
    )
    session = data.sessions[place]
    card = data.learned.sessions[session.id]
    return cut_chunk(session, card, single, torch.from_numpy(chosen))


def receptive_fields(
    module: RateModel,
    data: MultiDatasetDM,
    place: int,
    scores: UnitScores,
    truth: Mapping[str, UnitTruth],
) -> Iterator[Figure]:
    """Draw receptive fields, the spike-triggered averages, and what excites the units most."""
    session = data.sessions[place]
    units = _best(scores)[:UNITS]
    if not len(units):
        return
    marks = [_mark(truth.get(session.unit_ids[unit])) for unit in units]
    fields = fields_of(module, data, place, units)
    if np.isfinite(fields).all() and fields.any():
        yield _images(
            f"Receptive fields in the model, {session.id}",
            [
                (session.unit_ids[u], _peak(f[0]), m)
                for u, f, m in zip(units, fields, marks, strict=True)
            ],
            "The stimulus direction that moves each unit's rate the most, at its strongest lag."
            + (" A cross marks the true centre." if truth else ""),
        )
        one = windows(data, place).to(module.device)
        exciting = [most_exciting(module, one, int(unit)) for unit in units]
        yield _images(
            f"Most exciting stimuli, {session.id}",
            [
                (session.unit_ids[u], _peak(image - 127.5), m)
                for u, image, m in zip(units, exciting, marks, strict=True)
            ],
            "Found by gradient ascent at a fixed contrast; the lag of the greatest contrast.",
        )
    rows = np.flatnonzero(data.parts[place] == TRAIN)
    averages = spike_triggered(session, rows, 1 if session.static else STA_LAGS)
    yield _images(
        f"Spike-triggered averages, {session.id}",
        [(session.unit_ids[u], _peak(averages[u]), m) for u, m in zip(units, marks, strict=True)],
        "Of the training frames, at their strongest lag.",
    )


def kernels(module: RateModel) -> Figure | None:
    """Draw the core's first filters; null where it has none."""
    panels: list[Panel] = []
    for name, bank in module.kernels().items():
        for number, kernel in enumerate(bank[:8].double().cpu().numpy()):
            if kernel.shape[1:] == (1, 1):
                line = Line(name="weight", values=_values(kernel[::-1, 0, 0]))
                panels.append(Panel(title=f"{name} {number}, by lag", lines=(line,)))
            else:
                panels.append(Panel(title=f"{name} {number}", image=_image(_peak(kernel))))
    return Figure(title="Kernels", panels=tuple(panels)) if panels else None


def shapes(fields: Double) -> list[FieldShape | None]:
    """Measure fields (n, axes, lags, H, W); null for a unit that depends on no pixel."""
    return [field_shape(field) if field.any() else None for field in fields]


def _best(scores: UnitScores) -> list[int]:
    corr = scores.columns["corr"]
    known = np.flatnonzero(np.isfinite(corr))
    best: list[int] = known[np.argsort(-corr[known], kind="stable")].tolist()
    return best


def _images(
    title: str, images: Sequence[tuple[str, Double, tuple[tuple[float, float], ...]]], note: str
) -> Figure:
    panels = tuple(Panel(title=n, image=_image(image), marks=m) for n, image, m in images)
    return Figure(title=title, panels=panels, note=note)


def _mark(truth: UnitTruth | None) -> tuple[tuple[float, float], ...]:
    return () if truth is None else ((truth.y, truth.x),)


def _peak(field: Double) -> Double:
    """Return the frame (H, W) of a field (lags, H, W) with the most energy."""
    frame: Double = field[(field**2).sum(axis=(1, 2)).argmax()]
    return frame


def _image(frame: Double) -> tuple[tuple[float, ...], ...]:
    """Return an image scaled to ±99, with 0 in the middle, in whole numbers."""
    scale = 99 / max(float(np.abs(frame).max()), 1e-12)
    return tuple(tuple(float(v) for v in row) for row in np.rint(frame * scale).tolist())


def _values(values: NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in values)
