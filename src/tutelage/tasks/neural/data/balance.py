"""How much each session's loss weighs, so that sessions, animals or units count alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

Balance = Literal["none", "session", "animal", "unit"]


def session_weights(
    balance: Balance, shares: Sequence[float], sessions: Sequence[tuple[str, int]]
) -> list[float]:
    """Return each session's weight; over an epoch's loss the mean is 1.

    Args:
        balance: What counts alike: each frame (``none``), session, animal (and in it each session)
            or unit.
        shares: Each session's share of the loss while all weigh alike, on any scale.
        sessions: Animal and number of units of each.
    """
    count = np.array(shares, np.float64)
    animals = Counter(animal for animal, _ in sessions)
    wanted = {  # a session's share of the epoch's loss
        "none": count,
        "session": np.ones(len(count)),
        "animal": np.array([1 / animals[animal] for animal, _ in sessions]),
        "unit": np.array([units for _, units in sessions], np.float64),
    }[balance]
    weights = wanted / np.maximum(count, 1e-12)
    scaled: list[float] = (weights * count.sum() / max((weights * count).sum(), 1e-12)).tolist()
    return scaled
