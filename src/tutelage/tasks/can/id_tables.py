"""`IdTables`: what a traffic profile says of each id, as tables by token, ready for windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.profile import UNKNOWN, TrafficProfile

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class IdTables:
    """Tables over V + 1 tokens; row 0 stands for every unknown id.

    Args:
        profile: What they were made of.
        known: (V + 1,) float32, 1 for an id of the vocabulary, else 0.
        frequency: (V + 1,) float32, 1 / median benign gap in Hz, 0 where there is none.
        gap_spread: (V + 1,) float32, at most 8.
        per_max_count: (V + 1,) float32, 1 / max_count, 0 for unknown ids.
        changes_expected: (V + 1,) float32, bytes that change in a usual step; 0 for unknown ids.
        surprise: ((V + 1) * 256,) float32, -ln P(exactly these bytes change) at token * 256 + bit
            mask, bytes taken as independent; 0 for unknown ids.
    """

    profile: TrafficProfile
    known: Floats
    frequency: Floats
    gap_spread: Floats
    per_max_count: Floats
    changes_expected: Floats
    surprise: Floats

    @classmethod
    def of(cls, profile: TrafficProfile) -> IdTables:
        """Prepare a profile."""
        known = np.ones(len(profile) + 1, np.float32)
        known[UNKNOWN] = 0
        return cls(
            profile=profile,
            known=known,
            frequency=_with_unknown(_inverse(profile.median_gap)),
            gap_spread=_with_unknown(np.minimum(profile.gap_spread, 8.0)),
            per_max_count=_with_unknown(_inverse(profile.max_count.astype(np.float64))),
            changes_expected=_with_unknown(profile.byte_change_rate.sum(axis=1)),
            surprise=_surprise(profile.byte_change_rate),
        )


def _inverse(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)


def _with_unknown(values: NDArray[np.float64]) -> Floats:
    return np.append(0.0, values).astype(np.float32)


def _surprise(rate: NDArray[np.float64]) -> Floats:
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    table = -(np.log(rate) @ bits.T + np.log1p(-rate) @ (1 - bits).T)
    return np.vstack([np.zeros((1, 256)), table]).astype(np.float32).ravel()
