"""What the label-free detectors share: learning from frames alone, scoring a stream in blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, Self, TypeVar

from tutelage.tasks.can.evidence.surprise import Evidence
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.rule_windows import benign_frames, with_frames

State = TypeVar("State")


class Detector(ABC):
    """Learns what a vehicle's benign traffic is."""

    __slots__ = ()

    @classmethod
    def fit(cls, captures: Sequence[Frames]) -> Self:
        """Learn from the frames that are labelled benign.

        Raises:
            DataError: No frame is labelled benign.
        """
        return cls.learn(with_frames([benign_frames(c) for c in captures]), unread=False)

    @classmethod
    def calibrated(cls, prefix: Frames) -> Self:
        """Learn from a stretch whose labels are unread, which may hold some attack.

        Raises:
            DataError: The stretch has no frames.
        """
        return cls.learn(with_frames([prefix]), unread=True)

    @classmethod
    @abstractmethod
    def learn(cls, traffic: Sequence[Frames], unread: bool) -> Self:
        """Learn from stretches of traffic that have frames.

        Args:
            traffic: The stretches.
            unread: Whether some of their frames may be an attack's.
        """


class StreamDetector(Detector, Generic[State]):
    """A detector that scores a frame by those before it: a stream cut into pieces scores the same.

    What it has to remember of them, its state, is bounded.
    """

    __slots__ = ()
    block: ClassVar[int] = 1 << 16
    """Frames that are looked at together."""

    @abstractmethod
    def start(self) -> State:
        """Return the state before a stream's first frame."""

    @abstractmethod
    def score_block(self, frames: Frames, state: State) -> tuple[Evidence, State]:
        """Score at least one and at most `block` frames; see `score`."""

    def score(self, frames: Frames, state: State | None = None) -> tuple[Evidence, State]:
        """Score a stream's next frames (n,).

        Args:
            frames: In the order in which they came.
            state: What the last call returned; null at the stream's beginning.
        """
        state = self.start() if state is None else state
        parts = [Evidence.none(frames[:0])]
        for first in range(0, len(frames), self.block):
            evidence, state = self.score_block(frames[first : first + self.block], state)
            parts.append(evidence)
        return Evidence.concatenate(parts), state
