"""`TimingModel`: identifiers' cycles, and the frames that are one too many in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.evidence.detector import Detector
from tutelage.tasks.can.evidence.diagnostics import read_exchanges
from tutelage.tasks.can.evidence.extra_frames import (
    FOREIGN_BITS,
    Extras,
    Rhythm,
    deficit,
    extras,
)
from tutelage.tasks.can.evidence.surprise import LARGEST, MILLI, Evidence, Feature
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.id_sequences import (
    Bools,
    Floats,
    IdSequences,
    Ints,
    Words,
    median_gaps,
    median_of_each,
)

SIGMAS, SURPRISE = 6.0, 9.0
"""A deficit of 6 standard deviations is met once in 10^9 frames of a normal jitter."""
LEAST, MOST = 0.5, 0.8
"""Bounds of the deficit that counts: halfway to an injected frame; beyond the second, the jitter
hides one."""
FEW, MANY = 5, 100
"""An identifier needs the first number of frames for a period; with the second, a cycle that was
never left is believed to be kept."""
CONTAMINATED = 0.2
"""Share of an identifier's frames that label-free calibration may set aside as injected."""
EVENTS = 0.02
"""Share of frames out of rhythm that a label-free stretch may have, which may be injected."""
_NORMAL = 1.4826
_FAST = 0.7


class TimingJSON(TypedDict):
    """`TimingModel` as plain JSON."""

    ids: list[int]
    frames: list[int]
    period: list[float]
    jitter: list[float]
    least: list[float]
    steady: list[bool]
    isolated: list[int]
    hop: list[int]
    fastest: float
    payloads: list[list[int]]


@dataclass(frozen=True, slots=True)
class TimingModel(Detector):
    """Finds injected frames among an identifier's own, from benign traffic alone.

    A single frame too many is called injected where the identifier has kept its cycle for `MANY`
    frames, or where its payload is foreign. In a burst, where the cycle is lost, a frame is called
    injected where it is foreign, or comes sooner after another than the fastest cycle on the bus.
    Senders that change their rate or answer events are left alone: their payloads go on.

    An identifier that was never seen is evidence in itself. Of one that was seen less than `FEW`
    times, payloads are compared. Neither counts in a diagnostic exchange that only reads.

    Args:
        ids: (K,) known identifiers, ascending.
        frames: (K,) frames of each in calibration.
        rhythm: Their cycles.
        steady: (K,) whether the cycle was never left.
        isolated: (K,) most bits that changed and changed back.
        hop: (K,) most bits that differed between neighbours.
        fastest: Seconds, the tenth percentile of the periods.
        payloads: For each identifier seen less than `FEW` times, its payloads; else none.
    """

    ids: NDArray[np.uint32]
    frames: Ints
    rhythm: Rhythm
    steady: Bools
    isolated: Ints
    hop: Ints
    fastest: float
    payloads: tuple[tuple[int, ...], ...]

    @classmethod
    def learn(cls, traffic: Sequence[Frames], unread: bool) -> Self:
        """Learn cycles and payloads; of an unread stretch, a few frames too many are set aside."""
        ids = np.unique(np.concatenate([np.unique(c.arbitration_id) for c in traffic]))
        sequences, kinds = IdSequences.group(traffic, ids), len(ids)
        frames = np.bincount(sequences.code, minlength=kinds)
        payloads = _payloads(sequences, frames)
        if unread:
            sequences = _without_injected(sequences, frames)
        rhythm = _rhythm(sequences, kinds)
        found = extras(sequences, rhythm)
        left = found.before + found.after
        odd = left < 2.0 - np.maximum(LEAST, SIGMAS * rhythm.jitter)[sequences.code]
        if unread:
            odd &= ~_injected(sequences, found, kinds)
        events = np.bincount(sequences.code[odd], minlength=kinds)
        isolated, hop = np.zeros(kinds, np.int64), np.zeros(kinds, np.int64)
        np.maximum.at(isolated, sequences.code, found.isolated)
        np.maximum.at(hop, sequences.code, found.hop)
        timed = (rhythm.period > 0) & (rhythm.least <= MOST) & (frames >= FEW)
        return cls(
            ids,
            frames,
            rhythm,
            (frames >= MANY) & (events <= (EVENTS if unread else 0.0) * frames),
            isolated,
            hop,
            float(np.quantile(rhythm.period[timed], 0.1)) if timed.any() else 0.0,
            payloads,
        )

    def evidence(self, frames: Frames) -> Evidence:
        """Judge each frame of a capture."""
        evidence = Evidence.none(frames)
        sequences = IdSequences.group([frames], self.ids)
        expected = read_exchanges(frames)
        unseen = ~expected
        unseen[sequences.row] = False
        self._note(evidence, np.flatnonzero(unseen), Feature.UNSEEN_ID, SURPRISE)
        found, code = extras(sequences, self.rhythm), sequences.code
        foreign_words = sequences.row[self._foreign_words(sequences)]
        foreign_words = foreign_words[~expected[foreign_words]]
        self._note(evidence, foreign_words, Feature.UNSEEN_PAYLOAD, SURPRISE)
        timed = ((self.rhythm.least <= MOST) & (self.frames >= FEW))[code]
        foreign = (found.isolated > self.isolated[code] + FOREIGN_BITS) | (
            found.hop > self.hop[code] + FOREIGN_BITS
        )
        steady = self.steady[code]
        span = np.where(self.rhythm.period > 0, self.rhythm.period, np.nan)[code]
        gap = np.minimum(found.before, found.after)
        single = found.single & (found.deficit < 1.0 + self.rhythm.least[code])
        injected = np.where(
            single, steady | foreign, foreign | (steady & (gap < _FAST * self.fastest / span))
        )
        flagged = timed & found.best & injected
        surprise = SURPRISE * (found.deficit / self.rhythm.least[code]) ** 2
        row = sequences.row[flagged]
        self._note(evidence, row, Feature.EXTRA_FRAME, surprise[flagged])
        evidence.measured[row] = (gap * span)[flagged]
        evidence.expected[row] = span[flagged]
        return evidence

    def _note(
        self, evidence: Evidence, rows: Ints, feature: Feature, surprise: Floats | float
    ) -> None:
        evidence.score[rows] = np.minimum(surprise, LARGEST / MILLI)
        evidence.feature[rows] = feature

    def _foreign_words(self, sequences: IdSequences) -> Bools:
        """Return (n,) which payloads of seldom seen identifiers are far from any that was seen."""
        foreign = np.zeros(len(sequences), np.bool_)
        for code in np.flatnonzero(self.frames < FEW):
            rows = np.flatnonzero(sequences.code == code)
            seen = np.array(self.payloads[code], np.uint64)
            apart = np.bitwise_count(sequences.word[rows][:, None] ^ seen).min(axis=1)
            foreign[rows] = apart > FOREIGN_BITS
        return foreign

    def to_json(self) -> TimingJSON:
        """Return the model as plain JSON."""
        return {
            "ids": self.ids.tolist(),
            "frames": self.frames.tolist(),
            "period": self.rhythm.period.tolist(),
            "jitter": self.rhythm.jitter.tolist(),
            "least": self.rhythm.least.tolist(),
            "steady": self.steady.tolist(),
            "isolated": self.isolated.tolist(),
            "hop": self.hop.tolist(),
            "fastest": self.fastest,
            "payloads": [list(words) for words in self.payloads],
        }

    @classmethod
    def from_json(cls, state: TimingJSON) -> Self:
        """Return the model that `to_json` described."""
        rhythm = Rhythm(
            np.array(state["period"], np.float64),
            np.array(state["jitter"], np.float64),
            np.array(state["least"], np.float64),
        )
        return cls(
            np.array(state["ids"], np.uint32),
            np.array(state["frames"], np.int64),
            rhythm,
            np.array(state["steady"], np.bool_),
            np.array(state["isolated"], np.int64),
            np.array(state["hop"], np.int64),
            float(state["fastest"]),
            tuple(tuple(words) for words in state["payloads"]),
        )


def _rhythm(sequences: IdSequences, kinds: int) -> Rhythm:
    """Learn each identifier's cycle; medians bear up to half of the frames being out of it."""
    period = median_gaps(sequences, kinds)
    within = sequences.key[1:] == sequences.key[:-1]
    code = sequences.code[1:][within]
    off = np.abs(np.diff(sequences.time)[within] - period[code])
    span = np.where(period > 0, period, 1.0)
    jitter = np.maximum(0.01, _NORMAL * median_of_each(off, code, kinds) / span)
    late = deficit(sequences, period)
    middle = median_of_each(late, sequences.code, kinds)
    spread = median_of_each(np.abs(late - middle[sequences.code]), sequences.code, kinds)
    return Rhythm(period, jitter, np.maximum(LEAST, SIGMAS * _NORMAL * spread))


def _injected(sequences: IdSequences, found: Extras, kinds: int) -> Bools:
    """Return which frames of an unlabelled stretch look injected."""
    usual = median_of_each(found.isolated.astype(np.float64), sequences.code, kinds)
    return found.single | (found.best & (found.isolated > usual[sequences.code] + FOREIGN_BITS))


def _without_injected(sequences: IdSequences, frames: Ints) -> IdSequences:
    """Take out the frames that look injected, of identifiers where they are few enough to be."""
    kinds, whole = len(frames), sequences
    for _ in range(3):
        rhythm = _rhythm(sequences, kinds)
        rhythm = replace(rhythm, least=np.minimum(rhythm.least, 0.6))
        out = _injected(sequences, extras(sequences, rhythm), kinds)
        if not out.any():
            break
        sequences = sequences.keep(~out)
    left = np.bincount(sequences.code, minlength=kinds)
    spoiled = left < (1.0 - CONTAMINATED) * frames
    if not spoiled.any():
        return sequences
    kept = np.isin(whole.row, sequences.row) | spoiled[whole.code]
    return whole.keep(kept)


def _payloads(sequences: IdSequences, frames: Ints) -> tuple[tuple[int, ...], ...]:
    """Return the distinct payloads of the identifiers that were seen less than `FEW` times."""
    rare: list[Words] = [np.zeros(0, np.uint64)] * len(frames)
    for code in np.flatnonzero(frames < FEW):
        rare[code] = np.unique(sequences.word[sequences.code == code])
    return tuple(tuple(int(word) for word in words) for words in rare)
