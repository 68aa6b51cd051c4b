"""The payload rule: flag frames whose bits move as benign traffic never moved them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.id_sequences import Bools, IdSequences, Ints
from tutelage.tasks.can.rule_windows import RuleVerdict, benign_frames, window_max, with_frames
from tutelage.tasks.can.scratch import ROWS, zeros

_BITS = 64


class PayloadState(TypedDict):
    """`PayloadRule` as plain JSON."""

    ids: list[int]
    fixed: list[int]
    value: list[int]
    largest: list[int]


@dataclass(frozen=True, slots=True)
class PayloadRule:
    """Alarm on a bit that never moved and now does, or on more bits moving at once than ever did.

    A frame is compared with what its identifier always said, and with the frame of the identifier
    before it in time. The score is the largest of the window's frames, each the number of fixed
    bits that are wrong or ``distance / (largest + 1)``, with the Hamming distance to the frame
    before: one or more is an alarm. Identifiers never seen, or seen once, are left to
    `UnseenIdCountRule`. The frame after an injected one may be flagged in its stead.

    Args:
        ids: The known identifiers, ascending.
        fixed: Of each, the bits that never moved, as a mask of the little-endian payload.
        value: What these bits are.
        largest: Largest benign distance between a frame and the one before, in bits.
    """

    ids: tuple[int, ...]
    fixed: tuple[int, ...]
    value: tuple[int, ...]
    largest: tuple[int, ...]

    @classmethod
    def fit(cls, captures: Sequence[Frames], rows: int = ROWS) -> Self:
        """Learn from the frames that are labelled benign.

        Args:
            captures: The frames.
            rows: Of how many it learns at once.

        Raises:
            DataError: No frame is labelled benign.
        """
        return cls._learn([benign_frames(c) for c in captures], rows)

    @classmethod
    def calibrated(cls, frames: Frames) -> Self:
        """Learn from a stretch taken to be benign, labels unread.

        Raises:
            DataError: The stretch has no frames.
        """
        return cls._learn([frames])

    @classmethod
    def _learn(cls, captures: Sequence[Frames], rows: int = ROWS) -> Self:
        held = with_frames(captures)
        ids = np.unique(np.concatenate([c.ids for c in held]))
        sequence, kinds = IdSequences.group(held, ids, rows), len(ids)
        value, moved = np.zeros(kinds, np.uint64), np.zeros(kinds, np.uint64)
        largest = np.zeros(kinds, np.int64)
        for _, piece, _ in sequence.pieces(rows=rows):
            value[piece.code] = piece.word
        for _, piece, own in sequence.pieces(1, rows):
            code = piece.code[own]
            np.bitwise_or.at(moved, code, piece.word[own] ^ value[code])
            np.maximum.at(largest, code, _distance(piece)[own])
        once = np.bincount(sequence.code, minlength=kinds) < 2
        fixed = np.where(once, np.uint64(0), ~moved)
        largest[once] = _BITS
        return cls(
            tuple(ids.tolist()),
            tuple(fixed.tolist()),
            tuple((value & fixed).tolist()),
            tuple(largest.tolist()),
        )

    def frame_scores(self, frames: Frames, rows: int = ROWS) -> tuple[NDArray[np.float32], Bools]:
        """Return each frame's score (n,) and whether it is flagged (n,), in the capture's order.

        Args:
            frames: n frames.
            rows: Of how many are judged at once.
        """
        score: NDArray[np.float32] = zeros(len(frames), np.float32)
        flagged: Bools = zeros(len(frames), np.bool_)
        known = IdSequences.group([frames], np.array(self.ids, np.uint32), rows)
        fixed, value = (np.array(v, np.uint64) for v in (self.fixed, self.value))
        largest = np.array(self.largest)
        for _, piece, own in known.pieces(1, rows):
            code, row = piece.code[own], piece.row[own]
            wrong = np.bitwise_count((piece.word[own] & fixed[code]) ^ value[code])
            score[row] = np.maximum(wrong, _distance(piece)[own] / (largest[code] + 1.0))
            flagged[row] = score[row] >= 1.0
        return score, flagged

    def windows(self, frames: Frames, window: int, stride: int) -> RuleVerdict:
        """Judge each window of ``frames``: an alarm where it holds a flagged frame."""
        score = window_max(self.frame_scores(frames)[0], window, stride)
        return RuleVerdict(score, score >= 1.0)

    def to_json(self) -> PayloadState:
        """Return the rule as plain JSON."""
        return {
            "ids": list(self.ids),
            "fixed": list(self.fixed),
            "value": list(self.value),
            "largest": list(self.largest),
        }

    @classmethod
    def from_json(cls, state: PayloadState) -> Self:
        """Return the rule that `to_json` described."""
        return cls(
            tuple(state["ids"]),
            tuple(state["fixed"]),
            tuple(state["value"]),
            tuple(state["largest"]),
        )


def _distance(sequence: IdSequences) -> Ints:
    """Return (n,) bits by which each payload differs from the one before; 0 for the first."""
    distance = np.zeros(len(sequence), np.int64)
    same = sequence.key[1:] == sequence.key[:-1]
    hop = np.bitwise_count(sequence.word[1:] ^ sequence.word[:-1])
    distance[1:] = np.where(same, hop, 0)
    return distance
