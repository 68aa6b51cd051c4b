"""Ridge regression of many units at once, each with the strength that validation prefers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Single = NDArray[np.float32]
STRENGTHS = np.logspace(-2, 5, 15, dtype=np.float32)
"""Multiples of the mean squared singular value per row."""


def ridge_predictions(
    train: tuple[Single, Single], validation: tuple[Single, Single], features: Single
) -> tuple[Single, Single]:
    """Fit every unit and predict.

    Solved through the eigenvectors of the smaller Gram matrix, so that all strengths cost one
    decomposition.

    Args:
        train: (n, F) standardised features and (n, N) targets; targets may be not-a-number, and
            count as the unit's mean then.
        validation: (m, F) and (m, N), by which each unit's strength is chosen.
        features: (t, F) to predict for.

    Returns:
        (t, N) predictions, and (N,) mean squared errors on validation.
    """
    x, y = train
    mean = _mean(y)
    centred = np.nan_to_num(y - mean)
    dual = len(x) <= x.shape[1]
    gram = x @ x.T if dual else x.T @ x
    values, vectors = np.linalg.eigh(gram)
    values = np.maximum(values, 0)
    kept = values > 1e-6 * values[-1]
    values, vectors = values[kept], vectors[:, kept]
    basis = x.T @ (vectors / np.sqrt(values)) if dual else vectors  # (F, k), orthonormal
    scores = (basis.T @ (x.T @ centred)) / values[:, None]  # (k, N), without any ridge
    seen = validation[0] @ basis
    scale = float(values.mean())
    shrunk = [_shrunk(values, strength * scale) for strength in STRENGTHS]
    errors = np.stack([_mean((seen @ (s * scores) + mean - validation[1]) ** 2) for s in shrunk])
    best = errors.argmin(axis=0)
    shrink = np.concatenate([shrunk[place] for place in best], axis=1)
    predicted = (features @ basis) @ (shrink * scores) + mean
    return predicted.astype(np.float32), errors.min(axis=0).astype(np.float32)


def _mean(values: Single) -> Single:
    """Return the mean of each column over what is a number; 0 where nothing is."""
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=0)
    mean: Single = total / np.maximum(known.sum(axis=0), 1)
    return mean.astype(np.float32)


def _shrunk(values: Single, strength: float) -> Single:
    shrunk: Single = (values / (values + strength))[:, None]
    return shrunk


def standardised(train: Single, *others: Single) -> list[Single]:
    """Return features (rows, F) with mean 0 and deviation 1 in training."""
    mean, std = train.mean(axis=0), np.maximum(train.std(axis=0), 1e-6)
    return [(each - mean) / std for each in (train, *others)]
