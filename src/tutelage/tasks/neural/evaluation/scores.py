"""Scores of every unit of a session, and what they come to over units and sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.core.blocks import Blocks, blocks_of
from tutelage.tasks.neural.config import NeuralEvaluation
from tutelage.tasks.neural.evaluation.ceilings import (
    correlation,
    explained,
    normalised_correlation,
    oracle,
    reliability,
    repeated,
)
from tutelage.tasks.neural.evaluation.predictions import Predictions
from tutelage.tasks.neural.evaluation.statistics import UnitStatistics
from tutelage.tasks.neural.sessions.session import Ints, Session

Double = NDArray[np.float64]
MODEL_FREE = ("oracle", "cc_max", "spikes")
"""Columns that say something of the data, whatever the model."""


@dataclass(frozen=True, slots=True)
class UnitScores:
    """Scores of one session's units.

    Args:
        session: Its id.
        animal: Whose it is.
        unit_ids: (N,) the units' names.
        columns: (N,) values by the metric's name; not-a-number where it is undefined.
    """

    session: str
    animal: str
    unit_ids: tuple[str, ...]
    columns: Mapping[str, Double]


def score_units(predictions: Predictions, settings: NeuralEvaluation) -> UnitScores:
    """Score each unit of a session."""
    session = predictions.session
    columns = _basic(predictions, slice(None))
    columns["corr_block_demeaned"] = demeaned_correlation(predictions, settings.block_rows)
    if session.stimulus_type is not None:
        kinds = session.stimulus_type[predictions.rows]
        for number, name in enumerate(session.stimulus_types):
            if (chosen := np.flatnonzero(kinds == number)).size:
                scores = _basic(predictions, chosen)
                columns |= {f"{key}_{name}": scores[key] for key in ("bps", "corr")}
    frames = repeated(predictions)
    if frames is not None:
        columns["cc_norm"] = normalised_correlation(frames)
        columns["cc_max"] = reliability(frames)
        columns["feve"] = explained(frames)
        columns["oracle"] = oracle(frames)
    columns["spikes"] = predictions.responses.sum(axis=0, dtype=np.float64)
    return UnitScores(session.id, session.animal, session.unit_ids, columns)


def _basic(predictions: Predictions, rows: slice | Ints) -> dict[str, Double]:
    statistics = UnitStatistics(predictions.rates.shape[1])
    statistics.update(
        torch.from_numpy(predictions.rates[rows]),
        torch.from_numpy(predictions.responses[rows]),
        torch.from_numpy(predictions.valid[rows]),
    )
    return {name: values.numpy() for name, values in statistics.compute().items()}


def demeaned_correlation(predictions: Predictions, block_rows: int) -> Double:
    """Return (N,) correlations after each recording block's mean is taken from both sides.

    What is left can't come from slow drifts, nor from images that were shown block by block.
    """
    block = recording_blocks(predictions.session, block_rows)[predictions.rows]
    groups = np.unique(block, return_inverse=True)[1]
    parts = [
        _demeaned(np.where(predictions.valid, values, np.nan).astype(np.float64), groups)
        for values in (predictions.rates, predictions.responses)
    ]
    return correlation(parts[0], parts[1])


def recording_blocks(session: Session, block_rows: int) -> Ints:
    """Return (T,) the block of each row: as recorded, else trials of a movie, else so many rows."""
    if session.block is not None:
        return session.block
    rows = np.arange(len(session), dtype=np.int64)
    if not session.static and session.trial[-1] > 0:
        return session.trial
    return rows // block_rows


def _demeaned(values: Double, groups: Ints) -> Double:
    """Take the mean of each group from its rows; rows of a group alone become 0."""
    shape = (int(groups.max()) + 1, values.shape[1])
    known = np.isfinite(values)
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, groups, np.where(known, values, 0))
    np.add.at(count, groups, known)
    left: Double = values - (total / np.maximum(count, 1))[groups]
    return left


def summarise(sessions: Sequence[UnitScores]) -> dict[str, float]:
    """Return each metric's mean over units, then over the sessions that have it.

    The number of spikes is left out, and a metric that no unit has.
    """
    names = dict.fromkeys(name for scores in sessions for name in scores.columns)
    found = {}
    for name in names:
        if name == "spikes":
            continue
        means = [mean for scores in sessions if (mean := _mean(scores, name)) is not None]
        if means:
            found[name] = float(np.mean(means))
    return found


def corr_blocks(split: str, sessions: Sequence[UnitScores]) -> tuple[Blocks, ...]:
    """Return the mean correlation by its neurons: those of a session count as one session."""
    known = [np.isfinite(scores.columns["corr"]) for scores in sessions]
    shares = np.concatenate([which / max(1, which.sum()) for which in known])
    corr = np.concatenate([np.nan_to_num(scores.columns["corr"]) for scores in sessions])
    items = [scores.columns["spikes"].tobytes() for scores in sessions]
    items += [name.encode() for scores in sessions for name in (scores.session, *scores.unit_ids)]
    return blocks_of(f"{split}/corr", "neurons", corr * shares, shares, items)


def _mean(scores: UnitScores, name: str) -> float | None:
    values = scores.columns.get(name)
    if values is None or not np.isfinite(values).any():
        return None
    return float(np.nanmean(values))


def interval(
    sessions: Sequence[UnitScores], name: str, resamples: int, confidence: float, seed: int = 0
) -> tuple[float, float] | None:
    """Return the bootstrap interval of a metric's mean over units, then sessions.

    Sessions are drawn with replacement, and in each drawn one its units; units of one session
    share its noise, so that units alone would give too narrow an interval.

    Args:
        sessions: Scores of each session's units.
        name: The metric.
        resamples: How many.
        confidence: Share of the resamples inside.
        seed: Of the drawing.
    """
    columns = [scores.columns[name] for scores in sessions if name in scores.columns]
    values = [column[np.isfinite(column)] for column in columns]
    values = [column for column in values if len(column)]
    if not values or not resamples:
        return None
    random = np.random.default_rng(seed)
    means = np.stack(  # (sessions, resamples): every session's units, drawn anew
        [v[random.integers(len(v), size=(resamples, len(v)))].mean(axis=1) for v in values]
    )
    drawn = random.integers(len(values), size=(len(values), resamples))
    totals = means[drawn, np.arange(resamples)].mean(axis=0)
    low, high = np.quantile(totals, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
