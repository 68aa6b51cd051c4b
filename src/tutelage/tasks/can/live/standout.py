"""`Standouts`: which ids of an alarmed window are farthest from their baselines, and in what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.graphs import NODE_FEATURES, PROFILE_FEATURES, Graphs
from tutelage.tasks.can.profile import UNKNOWN

FAR = 4.0
"""Deviations from which an id counts as involved in an alarm."""

MOST = 5
"""Ids that are named at most."""

_OF_KNOWN = tuple(name for name in PROFILE_FEATURES if name not in ("known", "gap_spread"))
_OF_UNKNOWN = ("count_minmax", "max_hamming", "mean_gap", "min_gap", "share_so_far")


@dataclass(frozen=True, slots=True)
class Standout:
    """An id that stands out in a window.

    Args:
        arbitration_id: The raw id.
        known: Whether it is of the vocabulary.
        feature: What is farthest from the usual; see `NODE_FEATURES`.
        value: The feature's value in this window.
        deviations: How far it is from its mean in training, in standard deviations.
    """

    arbitration_id: int
    known: bool
    feature: str
    value: float
    deviations: float

    def __str__(self) -> str:
        what = f"{self.feature} {self.value:.2f}, {self.deviations:+.1f} deviations"
        return f"0x{self.arbitration_id:03X}{'' if self.known else ' (unknown id)'}: {what}"

    def to_json(self) -> dict[str, object]:
        """The whole as JSON values."""
        return {
            "id": f"0x{self.arbitration_id:03X}",
            "known": self.known,
            "feature": self.feature,
            "value": round(self.value, 4),
            "deviations": round(self.deviations, 2),
        }


class Standouts:
    """Names the ids of a window that are farthest from what training saw.

    For a known id these are the features that are relative to the id's own baseline: its rate, its
    gaps, its silence, how its payload changes. For an unknown one it is its share of the traffic,
    its gaps and how many bits change. This is what is unusual about the traffic; it need not be
    what the network looked at.

    Args:
        mean: (F,) mean of each node feature in training.
        std: (F,) its standard deviation.
    """

    def __init__(self, mean: NDArray[np.float32], std: NDArray[np.float32]) -> None:
        self._mean, self._std = mean, std
        self._of_known, self._of_unknown = (
            np.array([name in names for name in NODE_FEATURES])
            for names in (_OF_KNOWN, _OF_UNKNOWN)
        )

    def of(self, graphs: Graphs, window: int) -> list[Standout]:
        """Return the ids that stand out in one window, the farthest first; at least one.

        Where most ids of the window are known, unknown ones come before all others.

        Args:
            graphs: Windows.
            window: Which of them.
        """
        rows = slice(*graphs.node_ptr[window : window + 2].tolist())
        x, known = graphs.x[rows], graphs.id_index[rows] != UNKNOWN
        away = (x - self._mean) / self._std
        away *= np.where(known[:, None], self._of_known, self._of_unknown)
        feature = np.abs(away).argmax(axis=1)
        nodes = np.arange(len(x))
        signed = away[nodes, feature]
        foreign = ~known & (known.mean() > 0.5)
        order = np.lexsort((-np.abs(signed), ~foreign))
        involved = [n for n in order.tolist() if foreign[n] or abs(signed[n]) >= FAR][:MOST]
        ids = graphs.arbitration_id[rows]
        return [
            Standout(
                int(ids[node]),
                bool(known[node]),
                NODE_FEATURES[feature[node]],
                float(x[node, feature[node]]),
                float(signed[node]),
            )
            for node in involved or order[:1].tolist()
        ]
