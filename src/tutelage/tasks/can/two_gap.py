"""The two-gap rule: flag frames that come between a periodic identifier's own, without training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.id_sequences import (
    Bools,
    Floats,
    IdSequences,
    Ints,
    median_gaps,
)
from tutelage.tasks.can.rule_windows import (
    RuleVerdict,
    benign_frames,
    each_window,
    window_max,
    with_frames,
)
from tutelage.tasks.can.scratch import ROWS, blocks, selected, zeros

_REGULAR = 0.75
"""A frame whose two gaps together last less than this share of two periods is one too many."""
_TIE = 0.12
"""An identifier's jitter in r, above which the payload no longer orders its frames."""
_TIE_WEIGHT, _TIE_BITS = 4.0, 16
"""How much misfit, in units of that jitter, a flip-flop of so many bits makes up for."""
_APART = 3
"""Frames on either side of a place without a low r, so that no frame is judged by one beyond it."""
_CONTAMINATED = 0.2
"""Share of an identifier's frames that label-free calibration may set aside as injected."""


class TwoGapState(TypedDict):
    """`TwoGapRule` as plain JSON."""

    ids: list[int]
    period: list[float]
    lowest: list[float]
    regular: list[bool]
    step: list[int]


@dataclass(frozen=True, slots=True)
class TwoGapRule:
    """Alarm on windows that hold a frame injected among a periodic identifier's genuine ones.

    With T the identifier's median benign gap, r_j = (t[j+1] - t[j-1]) / 2T is about 1 for a genuine
    frame and about 1/2 for an injected one. Where benign r stays at 0.75 or more, the frame that
    best explains a lower r is flagged and taken out, until none is lower; the payload's flip-flop
    breaks ties. Of other identifiers a frame is flagged whose payload differs from both
    neighbours by more bits than in benign traffic. Identifiers never seen are left to
    `UnseenIdCountRule`. The score is the largest ``1 - r`` of the window's frames (of irregular
    identifiers: their step on the same scale); flagged frames lie above 0.25.

    Args:
        ids: The known identifiers, ascending.
        period: Median benign gap of each in seconds; 0 where there were fewer than three frames.
        lowest: Smallest benign r of each.
        regular: Whether the identifier is judged by its gaps.
        step: For the others, the largest benign step in bits; -1 where there is none to compare.
    """

    ids: tuple[int, ...]
    period: tuple[float, ...]
    lowest: tuple[float, ...]
    regular: tuple[bool, ...]
    step: tuple[int, ...]

    @classmethod
    def fit(cls, captures: Sequence[Frames], rows: int = ROWS) -> Self:
        """Learn from the frames that are labelled benign.

        Args:
            captures: The frames.
            rows: Of how many it learns at once.

        Raises:
            DataError: No frame is labelled benign.
        """
        return cls._learn([benign_frames(c) for c in captures], contaminated=0.0, rows=rows)

    @classmethod
    def calibrated(cls, frames: Frames) -> Self:
        """Learn from a stretch whose labels are unread, setting aside the few frames too many.

        Raises:
            DataError: The stretch has no frames.
        """
        return cls._learn([frames], contaminated=_CONTAMINATED)

    @classmethod
    def _learn(cls, captures: Sequence[Frames], contaminated: float, rows: int = ROWS) -> Self:
        held = with_frames(captures)
        ids = np.unique(np.concatenate([c.ids for c in held]))
        sequence, kinds = IdSequences.group(held, ids, rows), len(ids)
        period = median_gaps(sequence, kinds, rows)
        flagged, ratio = _explain(sequence, period, np.full(kinds, _TIE), rows)
        frames = np.bincount(sequence.code, minlength=kinds)
        excess = np.bincount(selected(sequence.code, flagged), minlength=kinds) / frames
        genuine = np.logical_not(flagged, out=flagged)
        kept = sequence.keep(genuine)
        lowest, step = np.full(kinds, np.inf), np.full(kinds, -1, np.int64)
        np.minimum.at(lowest, kept.code, selected(ratio, genuine))
        for _, piece, own in kept.pieces(1, rows):
            np.maximum.at(step, piece.code[own], _step(piece)[own])
        regular = (excess <= contaminated) & np.isfinite(lowest)
        lowest = np.where(np.isfinite(lowest), lowest, 0.0)
        return cls(
            tuple(ids.tolist()),
            tuple(period.tolist()),
            tuple(lowest.tolist()),
            tuple(regular.tolist()),
            tuple(step.tolist()),
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
        regular = np.array(self.regular, np.bool_)
        steady = known.keep(known.each(lambda s: regular[s.code], np.bool_, rows=rows))
        tie = np.minimum(1.0 - np.array(self.lowest), _TIE)
        extra, ratio = _explain(steady, np.array(self.period), tie, rows)
        for part in blocks(len(steady), rows):
            flagged[steady.row[part]] = extra[part]
            score[steady.row[part]] = np.clip(1.0 - ratio[part], 0.0, 1.0)
        loose = known.keep(known.each(lambda s: ~regular[s.code], np.bool_, rows=rows))
        for _, piece, own in loose.pieces(1, rows):
            benign, step = np.array(self.step)[piece.code[own]], _step(piece)[own]
            judged = (benign >= 0) & (step >= 0)
            flagged[piece.row[own]] = judged & (step > benign)
            scaled = 1.0 - _REGULAR * (benign + 0.5) / (np.maximum(step, 0) + 0.5)
            score[piece.row[own]] = np.where(judged, np.clip(scaled, 0.0, 1.0), 0.0)
        return score, flagged

    def windows(self, frames: Frames, window: int, stride: int) -> RuleVerdict:
        """Judge each window of ``frames``: an alarm where it holds a flagged frame."""
        score, flagged = self.frame_scores(frames)
        hit = np.any(each_window(flagged, window, stride), axis=1)
        return RuleVerdict(window_max(score, window, stride), hit)

    def to_json(self) -> TwoGapState:
        """Return the rule as plain JSON."""
        return {
            "ids": list(self.ids),
            "period": list(self.period),
            "lowest": list(self.lowest),
            "regular": list(self.regular),
            "step": list(self.step),
        }

    @classmethod
    def from_json(cls, state: TwoGapState) -> Self:
        """Return the rule that `to_json` described."""
        return cls(
            tuple(state["ids"]),
            tuple(state["period"]),
            tuple(state["lowest"]),
            tuple(state["regular"]),
            tuple(state["step"]),
        )


def _ratio(sequences: IdSequences, period: Floats) -> Floats:
    """Return r = two gaps / two periods; infinite where a neighbour is missing."""
    r = np.full(len(sequences), np.inf)
    two = 2.0 * period[sequences.code[1:-1]]
    inner = sequences.inner() & (two > 0)
    np.divide(sequences.time[2:] - sequences.time[:-2], two, out=r[1:-1], where=inner)
    return r


def _step(sequences: IdSequences) -> Ints:
    """Return the bits by which a payload differs from its nearer neighbour; -1 at an end."""
    hop = np.bitwise_count(sequences.word[1:] ^ sequences.word[:-1]).astype(np.int64)
    step = np.full(len(sequences), -1, np.int64)
    step[1:-1] = np.where(sequences.inner(), np.minimum(hop[1:], hop[:-1]), -1)
    return step


def _explain(
    sequence: IdSequences, period: Floats, tie: Floats, rows: int = ROWS
) -> tuple[Bools, Floats]:
    """Flag frames as `_take_out` does, piece by piece.

    Where `_APART` frames on either side of a place have no low r, what is before and what is after
    don't interact: r only grows as frames are taken out, and none of these ever is.
    """
    if len(sequence) <= rows:
        return _take_out(sequence, period, tie)
    flagged: Bools = zeros(len(sequence), np.bool_)
    ratio: Floats = zeros(len(sequence), np.float64)
    start = 0
    while start < len(sequence):
        stop, low = _quiet_place(sequence, period, start, rows), max(0, start - _APART)
        own = slice(start - low, stop - low)
        taken, r = _take_out(sequence[low : stop + _APART], period, tie)
        flagged[start:stop], ratio[start:stop] = taken[own], r[own]
        start = stop
    return flagged, ratio


def _quiet_place(sequence: IdSequences, period: Floats, start: int, rows: int) -> int:
    """Return where a piece that begins at ``start`` can end, if possible within ``rows`` frames."""
    while start + rows < len(sequence):
        part = sequence[start : start + rows + _APART]
        around = np.lib.stride_tricks.sliding_window_view(_is_low(_ratio(part, period)), 2 * _APART)
        place = np.flatnonzero(~np.any(around, axis=1)[:-1]) + _APART
        if len(place):
            return start + int(place[-1])
        rows *= 2
    return len(sequence)


def _is_low(r: Floats) -> Bools:
    """Return (n,) which frames have two gaps that are too short for two periods."""
    low: Bools = np.isfinite(r) & (r < _REGULAR)
    return low


def _take_out(sequence: IdSequences, period: Floats, tie: Floats) -> tuple[Bools, Floats]:
    """Flag and take out frames until no two gaps are too short.

    A frame explains its low r when the gap that it leaves behind, 2rT, is one period; its misfit is
    |2r - 1|, less a share for a payload that flips and flops back. Each round flags, among the
    frames with r < 0.75, those that no frame within two places fits better; these do not
    interact. Identifiers without such frames are done.

    Args:
        sequence: (n,) frames.
        period: (K,) seconds.
        tie: (K,) benign jitter of r.

    Returns:
        Which frames are flagged (n,), and each one's r (n,): when it was taken out, or at the end.
    """
    flagged, ratio = np.zeros(len(sequence), np.bool_), np.full(len(sequence), np.inf)
    place = np.arange(len(sequence))
    active = sequence
    while len(active) > 2:
        r = _ratio(active, period)
        ratio[place] = r
        low = _is_low(r)
        busy = np.zeros(int(active.key[-1]) + 1, np.bool_)
        busy[active.key[low]] = True
        going = busy[active.key]
        active, place, r, low = active.keep(going), place[going], r[going], low[going]
        if not len(active):
            break
        payload = np.clip(2 * active.isolated_bits() / _TIE_BITS, -1.0, 1.0)
        misfit = np.abs(2.0 * r - 1.0) - _TIE_WEIGHT * tie[active.code] * payload
        taken = _local_minima(np.where(low, misfit, np.inf))
        flagged[place[taken]] = True
        active, place = active.keep(~taken), place[~taken]
    return flagged, ratio


def _local_minima(cost: Floats) -> Bools:
    """Return which finite costs are the least within two places, the first of equals."""
    n = len(cost)
    around = np.pad(cost, 2, constant_values=np.inf)
    before = np.minimum(around[0:n], around[1 : n + 1])
    after = np.minimum(around[3 : n + 3], around[4 : n + 4])
    least: Bools = np.isfinite(cost) & (cost < before) & (cost <= after)
    return least
