"""How well any model could do: what repeats of one stimulus say of a unit's noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.neural.data.split import stimulus_digests
from tutelage.tasks.neural.evaluation.predictions import Predictions

Double = NDArray[np.float64]
MIN_EXPLAINABLE = 0.15
"""Least share of a unit's variance that the stimulus explains, for FEVE to mean anything."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """Frames that were shown R times or more, in the order of their stimulus.

    Args:
        rates: (M, R, N) what the model expects at each showing.
        responses: (M, R, N) what was recorded; not-a-number where not valid.
    """

    rates: Double
    responses: Double


def repeated(predictions: Predictions) -> Repeated | None:
    """Return the frames whose stimulus was shown several times; null without any.

    Every stimulus counts with as many of its showings as the least shown repeated one has.
    """
    session = predictions.session
    digests = np.array(stimulus_digests(session), np.uint64)
    trial = session.trial[predictions.rows]
    start = np.searchsorted(session.trial, trial)  # rows of a trial lie together, in order
    keys = np.stack([digests[trial], (predictions.rows - start).astype(np.uint64)], axis=1)
    _, groups, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    groups = groups.ravel()
    many = counts[counts > 1]
    if len(many) < 2:
        return None
    least = int(many.min())
    order = np.argsort(groups, kind="stable")
    first = np.cumsum(counts) - counts
    rank = np.empty(len(groups), np.int64)
    rank[order] = np.arange(len(groups)) - first[groups[order]]
    kept = order[(counts[groups[order]] > 1) & (rank[order] < least)]
    shape = (-1, least, predictions.rates.shape[1])
    responses = np.where(predictions.valid, predictions.responses, np.nan).astype(np.float64)
    return Repeated(
        predictions.rates[kept].astype(np.float64).reshape(shape), responses[kept].reshape(shape)
    )


def correlation(x: Double, y: Double) -> Double:
    """Return (N,) Pearson correlations of two (M, N) arrays over rows where both are numbers."""
    known = np.isfinite(x) & np.isfinite(y)
    count = known.sum(axis=0)
    x, y = np.where(known, x, 0), np.where(known, y, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        dx = np.where(known, x - x.sum(axis=0) / count, 0)
        dy = np.where(known, y - y.sum(axis=0) / count, 0)
        spread = np.sqrt((dx**2).sum(axis=0) * (dy**2).sum(axis=0))
        found: Double = np.where(spread > 1e-9, (dx * dy).sum(axis=0) / spread, np.nan)
    return found


def reliability(frames: Repeated) -> Double:
    """Return (N,) CCmax: the correlation of the mean over repeats with the true mean response.

    sqrt(2h / (1 + h)) with h the correlation of two halves' means (Schoppe et al. 2016,
    doi:10.3389/fncom.2016.00010), over the splits of even and odd and of early and late showings;
    not-a-number where h is not positive.
    """
    repeats = frames.responses.shape[1]
    showing = np.arange(repeats)
    halves = [showing % 2 == 0, showing < repeats // 2] if repeats > 2 else [showing == 0]
    h = np.mean(
        [
            correlation(_mean(frames.responses[:, half]), _mean(frames.responses[:, ~half]))
            for half in halves
        ],
        axis=0,
    )
    positive = np.where(h > 0, h, np.nan)
    ceiling: Double = np.sqrt(2 * positive / (1 + positive))
    return ceiling


def normalised_correlation(frames: Repeated) -> Double:
    """Return (N,) CCnorm: the correlation with the mean over repeats, over `reliability`."""
    found: Double = correlation(_mean(frames.rates), _mean(frames.responses)) / reliability(frames)
    return found


def oracle(frames: Repeated) -> Double:
    """Return (N,) correlations of each showing with the mean of the others (leave one out)."""
    repeats = frames.responses.shape[1]
    others = np.stack(
        [_mean(np.delete(frames.responses, at, axis=1)) for at in range(repeats)], axis=1
    )
    units = frames.responses.shape[2]
    return correlation(others.reshape(-1, units), frames.responses.reshape(-1, units))


def explained(frames: Repeated) -> Double:
    """Return (N,) FEVE: the share of the explainable variance that is explained.

    1 - (MSE - s) / (V - s) with s the mean variance over repeats (Cadena et al. 2019,
    doi:10.1371/journal.pcbi.1006897); not-a-number where the stimulus explains too little.
    """
    responses = frames.responses
    with np.errstate(invalid="ignore", divide="ignore"):
        noise = _mean(_variance(responses, axis=1), axis=0)
        total = _variance(responses.reshape(-1, responses.shape[2]), axis=0)
        error = _mean(((responses - frames.rates) ** 2).reshape(-1, responses.shape[2]), axis=0)
        share = 1 - (error - noise) / (total - noise)
        known = (total - noise) / total > MIN_EXPLAINABLE
    found: Double = np.where(known, share, np.nan)
    return found


def _mean(values: Double, axis: int = 1) -> Double:
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Double = np.where(known, values, 0).sum(axis=axis) / known.sum(axis=axis)
    return mean


def _variance(values: Double, axis: int) -> Double:
    """Return the unbiased variance along an axis over what is a number."""
    count = np.isfinite(values).sum(axis=axis)
    apart = values - np.expand_dims(_mean(values, axis), axis)
    squares = np.where(np.isfinite(apart), apart, 0) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Double = squares.sum(axis=axis) / (count - 1)
    return found
