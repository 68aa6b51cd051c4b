"""What a training step sees: `NeuralBatch`, made of contiguous chunks of one session or several."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class SessionChunk:
    """B stretches of one session: C frames of history, then L frames whose responses are known.

    Images are stretches of C = 0 and L = 1. A classic window is a stretch of L = 1.

    Args:
        session: The session's id.
        stimulus: (B, 1, C + L, H, W) uint8: channel, time, height, width.
        responses: (B, L, N) float32, spike counts a bin (or dF/F); 0 where not valid.
        valid: (B, L, N) bool, which responses count.
        behaviour: (B, C + L, K) float32, standardised; null where the session has none.
        past: (B, C, N) float32, the units' responses in the frames of history; 0 where not valid.
        frames: (B,) int64, the session's row of each stretch's first predicted frame.
        weight: Weight of this session's loss; over an epoch the mean is 1.
        shown: (B,) int64, numbers of what is shown: stretches of a batch with one number show the
            same. Null: not known.
    """

    session: str
    stimulus: Tensor
    responses: Tensor
    valid: Tensor
    behaviour: Tensor | None
    past: Tensor
    frames: Tensor
    weight: float = 1.0
    shown: Tensor | None = None

    @property
    def context(self) -> int:
        """C, the frames of history."""
        return self.stimulus.shape[2] - self.responses.shape[1]

    @property
    def samples(self) -> int:
        """B · L, the frames that are predicted."""
        return self.responses.shape[0] * self.responses.shape[1]

    def none(self) -> Self:
        """Return the chunk without its stretches, B = 0."""
        return replace(
            self,
            stimulus=self.stimulus[:0],
            responses=self.responses[:0],
            valid=self.valid[:0],
            behaviour=None if self.behaviour is None else self.behaviour[:0],
            past=self.past[:0],
            frames=self.frames[:0],
            shown=None if self.shown is None else self.shown[:0],
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Return the chunk on a device."""
        return replace(
            self,
            stimulus=self.stimulus.to(device, non_blocking=non_blocking),
            responses=self.responses.to(device, non_blocking=non_blocking),
            valid=self.valid.to(device, non_blocking=non_blocking),
            behaviour=None
            if self.behaviour is None
            else self.behaviour.to(device, non_blocking=non_blocking),
            past=self.past.to(device, non_blocking=non_blocking),
            frames=self.frames.to(device, non_blocking=non_blocking),
            shown=None if self.shown is None else self.shown.to(device, non_blocking=non_blocking),
        )


@dataclass(frozen=True, slots=True)
class NeuralBatch:
    """The chunks of one step.

    Args:
        parts: Each of one session; one part, where each step sees one session.
    """

    parts: tuple[SessionChunk, ...]

    @property
    def samples(self) -> int:
        """Frames that are predicted, over all parts."""
        return sum(part.samples for part in self.parts)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Return the batch on a device."""
        return replace(self, parts=tuple(part.to(device, non_blocking) for part in self.parts))
