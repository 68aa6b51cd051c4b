"""`States`: samples as a combiner sees them, which knows no domain; and batches of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor


class StateBatch(NamedTuple):
    """B samples, each with the one that follows it in time.

    Args:
        state: (B, S) float32, the experts' margins first.
        label: (B,) int64, 0 or 1.
        following: (B, S) the state of the next sample of the same stretch.
        last: (B,) bool, whether there is none; then `following` repeats the state.
    """

    state: Tensor
    label: Tensor
    following: Tensor
    last: Tensor


@dataclass(frozen=True, slots=True)
class States:
    """n held-out samples, in order of time within each stretch.

    Args:
        state: (n, S) float32; the first E columns are the experts' margins: above 0 is an alarm.
        label: (n,) int64, 0 or 1.
        stretch: (n,) int64, ascending: samples of one stretch follow each other in time.
        alarm: (n, E) bool, what each expert says alone, at its own threshold.
        columns: Names of the S columns.
        experts: Names of the E experts.
        gap: Samples that have to lie between two stretches so that they share nothing.
        elsewhere: The same samples, row by row, as they would look in surroundings that the experts
            don't know, once for each such view; samples and views fall into one fold.
    """

    state: Tensor
    label: Tensor
    stretch: Tensor
    alarm: Tensor
    columns: tuple[str, ...]
    experts: tuple[str, ...]
    gap: int = 1
    elsewhere: tuple[States, ...] = ()

    def __len__(self) -> int:
        return len(self.label)

    @property
    def width(self) -> int:
        """S, the columns of a state."""
        return len(self.columns)

    def rows(self, chosen: Tensor) -> States:
        """Return some samples, (m,) ascending rows or a mask (n,)."""
        return States(
            self.state[chosen],
            self.label[chosen],
            self.stretch[chosen],
            self.alarm[chosen],
            self.columns,
            self.experts,
            self.gap,
            tuple(view.rows(chosen) for view in self.elsewhere),
        )

    def in_stretches(self, stretch: Tensor) -> States:
        """Return the samples and their views in other stretches (n,), ascending."""
        views = tuple(view.in_stretches(stretch) for view in self.elsewhere)
        return replace(self, stretch=stretch, elsewhere=views)

    def with_views(self) -> States:
        """Return the samples and then each view of them, as samples of stretches of their own."""
        parts, after = [replace(self, elsewhere=())], 0
        for view in self.elsewhere:
            after += int(self.stretch.max()) + 1
            parts.append(replace(view, stretch=view.stretch + after))
        return replace(
            parts[0],
            state=torch.cat([part.state for part in parts]),
            label=torch.cat([part.label for part in parts]),
            stretch=torch.cat([part.stretch for part in parts]),
            alarm=torch.cat([part.alarm for part in parts]),
        )

    def batch(self, rows: Tensor) -> StateBatch:
        """Return the samples at ``rows`` (B,), each with what follows it."""
        after = (rows + 1).clamp(max=len(self) - 1)
        last = (after == rows) | (self.stretch[after] != self.stretch[rows])
        after = torch.where(last, rows, after)
        return StateBatch(self.state[rows], self.label[rows], self.state[after], last)
