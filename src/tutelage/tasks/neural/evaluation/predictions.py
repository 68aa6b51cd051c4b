"""What a model and the recording say of the same frames of one session, side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.tasks.neural.batch import SessionChunk
from tutelage.tasks.neural.data.datamodule import MultiDatasetDM
from tutelage.tasks.neural.sessions.session import Bools, Floats, Ints, Session

Predictor = Callable[[SessionChunk], torch.Tensor]
"""From stretches to (B, L, N) expected responses."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """Expected and recorded responses of one session's frames, in order.

    Args:
        session: The recording.
        rows: (M,) int64, the session's rows that are predicted.
        rates: (M, N) float32, what the model expects.
        responses: (M, N) float32, what was recorded; 0 where not valid.
        valid: (M, N) bool.
    """

    session: Session
    rows: Ints
    rates: Floats
    responses: Floats
    valid: Bools

    def with_rates(self, rates: NDArray[np.floating]) -> Self:
        """Return the same frames as another model expects them."""
        return replace(self, rates=rates.astype(np.float32))


def predict(
    data: MultiDatasetDM, part: int, place: int, rates: Predictor, device: torch.device
) -> Predictions:
    """Predict one session's frames of a part.

    Args:
        data: The recordings.
        part: Which part of the split.
        place: Which session.
        rates: The model.
        device: Where it is.
    """
    session = data.sessions[place]
    shape = (len(session), session.units)
    found, seen = np.zeros(shape, np.float32), np.zeros(len(session), np.bool_)
    for batch in data.evaluation_loader(part, place):
        for chunk in batch.parts:
            with torch.inference_mode():
                said = rates(chunk.to(device)).float().cpu().numpy()
            rows = chunk.frames.numpy()[:, None] + np.arange(said.shape[1])
            stop = data.stops(part, place, chunk.frames)
            kept = rows < stop[:, None]
            found[rows[kept]] = said[kept]
            seen[rows[kept]] = True
    chosen = np.flatnonzero(seen)
    return Predictions(
        session, chosen, found[chosen], session.responses[chosen], session.valid[chosen]
    )
