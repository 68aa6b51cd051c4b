"""`Opinions`: what experts say of held-out rows, whose unit is the domain's: word, cell, query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


class OpinionBatch(NamedTuple):
    """B rows.

    Args:
        outputs: (B, E, C) float32, what each expert says.
        target: (B, ...) what was true, as the likelihood takes it.
        key: (B,) int64, whose weights the row takes.
        state: (B, S) float32, what a gate may look at; S may be 0.
    """

    outputs: Tensor
    target: Tensor
    key: Tensor
    state: Tensor


@dataclass(frozen=True, slots=True)
class Opinions:
    """n held-out rows.

    Args:
        outputs: (n, E, C) float32, probabilities, rates or similarities.
        target: (n, ...) what was true.
        key: (n,) int64, 0 to K − 1: rows of one key may have weights of their own.
        group: (n,) int64: rows of one group (a document, an image, a trial) never stand in two
            folds.
        state: (n, S) float32, what a gate may look at.
        experts: Names of the E experts.
        keys: Names of the K keys: units, directions of search, or one.
    """

    outputs: Tensor
    target: Tensor
    key: Tensor
    group: Tensor
    state: Tensor
    experts: tuple[str, ...]
    keys: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.outputs)

    def rows(self, chosen: Tensor) -> Opinions:
        """Return some rows, numbers (m,) or a mask (n,)."""
        return Opinions(
            self.outputs[chosen],
            self.target[chosen],
            self.key[chosen],
            self.group[chosen],
            self.state[chosen],
            self.experts,
            self.keys,
        )

    def batch(self, rows: Tensor) -> OpinionBatch:
        """Return the rows with the numbers ``rows`` (B,)."""
        return OpinionBatch(self.outputs[rows], self.target[rows], self.key[rows], self.state[rows])
