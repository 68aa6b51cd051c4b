"""Baselines beside a model: the mean rate, a linear-nonlinear model, the Gabor-energy ridge."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tutelage.tasks.neural.data.datamodule import MultiDatasetDM
from tutelage.tasks.neural.data.split import TRAIN, VALIDATION
from tutelage.tasks.neural.evaluation.predictions import Predictions
from tutelage.tasks.neural.evaluation.ridge import ridge_predictions, standardised
from tutelage.tasks.neural.models.config import GaborFrontend
from tutelage.tasks.neural.models.frontends import GaborEnergy
from tutelage.tasks.neural.sessions.session import Ints, Session

MEAN_RATE, LN, GABOR, TRUTH = "mean_rate", "linear_nonlinear", "gabor_ridge", "true_rate"
LEAST_RATE = 0.05
"""Smallest predicted rate as a share of the unit's mean: a prediction of none allows no spike."""
LAG_BINS = ((0, 2), (2, 4), (4, 6), (6, 10))
"""Frames of the past whose features are averaged, for movies."""
IMAGES, MOVIES = GaborFrontend(), GaborFrontend(wavelengths=(5.0, 9.0), orientations=4)
_BLOCK = 512
Single = NDArray[np.float32]


def baseline_predictions(
    data: MultiDatasetDM, place: int, predictions: Predictions
) -> Mapping[str, Predictions]:
    """Return what each baseline expects of the frames that a model predicted.

    All are fitted on the session's training rows alone, and choose their ridge on its validation
    rows, or, where there are none, on the last tenth of the training rows. Of simulated recordings
    the true rate is there too: no model can do better.

    Args:
        data: The recordings.
        place: Which session.
        predictions: Its frames.
    """
    session = data.sessions[place]
    mean = np.array(data.learned.sessions[session.id].mean_rates, np.float32)
    found = {MEAN_RATE: np.broadcast_to(mean, predictions.rates.shape)}
    rows = [np.flatnonzero(data.parts[place] == part) for part in (TRAIN, VALIDATION)]
    if not len(rows[1]):
        rows = np.split(rows[0], [len(rows[0]) * 9 // 10])
    if all(len(each) > 1 for each in rows):
        rows.append(predictions.rows)
        found[LN] = _linear_nonlinear(session, rows, mean)
        found[GABOR] = _gabor_ridge(session, rows, mean)
    if session.expected is not None:
        found[TRUTH] = session.expected[predictions.rows]
    return {name: predictions.with_rates(rates) for name, rates in found.items()}


def _linear_nonlinear(session: Session, rows: list[Ints], mean: Single) -> Single:
    """Ridge from pixels to responses, rectified."""
    scale = 2 if session.stimulus.shape[2] >= 24 else 1
    pixels = _frame_features(session, lambda frames: F.avg_pool2d(frames, scale))
    linear, _ = _fitted(session, pixels, rows, _responses(session))
    rates: Single = np.maximum(linear, LEAST_RATE * mean)
    return rates


def _gabor_ridge(session: Session, rows: list[Ints], mean: Single) -> Single:
    """Ridge from Gabor amplitudes (roots of energies) and luminance to roots of responses.

    A square is expected to be the expected root's square and its variance.
    """
    bank = GaborEnergy(IMAGES if session.static else MOVIES).eval()

    def energies(frames: Tensor) -> Tensor:
        clip: Tensor = bank(frames[None, :, 0])
        return clip[0]

    amplitudes = _frame_features(session, energies)
    roots = np.sqrt(np.maximum(_responses(session), 0))
    predicted, variance = _fitted(session, amplitudes, rows, roots)
    squares = np.square(np.maximum(predicted, 0)) + variance
    rates: Single = np.maximum(squares, LEAST_RATE * mean)
    return rates


def _responses(session: Session) -> Single:
    return np.where(session.valid, session.responses, np.float32(np.nan))


def _fitted(
    session: Session, features: Single, rows: list[Ints], targets: Single
) -> tuple[Single, Single]:
    """Fit on the first rows, choose on the second, predict the third."""
    train, held, tested = standardised(*(_with_past(session, features, each) for each in rows))
    return ridge_predictions((train, targets[rows[0]]), (held, targets[rows[1]]), tested)


def _with_past(session: Session, features: Single, rows: Ints) -> Single:
    """Return (n, F'), features of some frames; of movies, of bins of the past side by side."""
    if session.static:
        return features[rows]
    starts = np.searchsorted(session.trial, session.trial[rows])
    parts = []
    for first, last in LAG_BINS:
        lags = [np.maximum(rows - lag, starts) for lag in range(first, last)]
        parts.append(np.mean([features[each] for each in lags], axis=0))
    return np.concatenate(parts, axis=1)


def _frame_features(session: Session, features: Callable[[Tensor], Tensor]) -> Single:
    """Return (T, F), what is computed of each frame, a block of frames at a time."""
    parts = []
    for at in range(0, len(session), _BLOCK):
        frames = session.stimulus[at : at + _BLOCK].astype(np.float32)
        with torch.inference_mode():
            found = features((torch.from_numpy(frames) - 127.5) / 64)
        parts.append(found.flatten(1).numpy())
    return np.concatenate(parts)
