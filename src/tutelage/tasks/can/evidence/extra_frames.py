"""Frames too many: how a frame stands in its identifier's rhythm, and whether it fits in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tutelage.tasks.can.id_sequences import Bools, Floats, IdSequences, Ints

REACH = 4
"""Frames of the same identifier that a frame is compared with, before it and after it."""
HORIZON = 1.25
"""Seconds after which a frame is judged with what has come: a period of the slowest usual cycle."""
FOREIGN_BITS = 4
"""A payload that differs by more bits than any benign one and these is foreign: a state that
changes flips a few, another sender's payload about half of what it fills."""
FLAM = 0.15
"""A frame this near to another, in periods, may be an answer to it as much as a repetition."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What is known of K identifiers' cycles, in ascending order of the identifiers.

    Args:
        period: (K,) seconds, the median gap; 0 where there were too few frames.
        jitter: (K,) standard deviation of the gaps, in periods, from their median deviation.
        least: (K,) deficit, in frames, above which a frame is one too many.
    """

    period: Floats
    jitter: Floats
    least: Floats


def deficit(sequences: IdSequences, period: Floats) -> Floats:
    """Return (n,) the frames too many about each frame, from the time that its neighbours span.

    For every pair of one of the `REACH` frames before it and one of those after it, within the
    `HORIZON`, the frames between them less the periods between them; the mean over the pairs. 0 in
    a regular cycle, 1 at a frame injected into one, whatever its phase; the mean keeps a jitter of
    standard deviation s periods down to s * sqrt(2 / REACH). 0 at the ends of a sequence.

    Args:
        sequences: n frames.
        period: (K,) seconds.
    """
    span = period[sequences.code]
    known = span > 0
    span = np.where(known, span, 1.0)
    before, after = (_mean_phase(sequences, span, side) for side in (-1, 1))
    found: Floats = np.where(known, np.nan_to_num(before - after), 0.0)
    return found


def _mean_phase(sequences: IdSequences, span: Floats, side: int) -> Floats:
    """Return (n,) how late the frames on one side are on average, in periods; NaN without any."""
    total, count = np.zeros(len(sequences)), np.zeros(len(sequences), np.int64)
    for k in range(1, min(REACH, len(sequences) - 1) + 1):
        here = slice(k, None) if side < 0 else slice(None, -k)
        there = slice(None, -k) if side < 0 else slice(k, None)
        away = sequences.time[there] - sequences.time[here]
        counts = sequences.key[there] == sequences.key[here]
        if side > 0:
            counts &= away <= HORIZON
        total[here] += np.where(counts, away / span[here] - side * k, 0.0)
        count[here] += counts
    with np.errstate(invalid="ignore"):
        mean: Floats = total / count
    return mean


@dataclass(frozen=True, slots=True)
class Extras:
    """What speaks of each of n frames.

    Args:
        deficit: (n,) frames too many about it.
        best: (n,) whether it explains the deficit better than its neighbours do.
        single: (n,) whether the cycle is whole again without it: the mark of an injected frame.
        isolated: (n,) bits of its payload that stand alone.
        hop: (n,) bits by which it differs from a neighbour.
        before: (n,) periods since the frame before.
        after: (n,) periods until the one after.
    """

    deficit: Floats
    best: Bools
    single: Bools
    isolated: Ints
    hop: Ints
    before: Floats
    after: Floats


def extras(sequences: IdSequences, rhythm: Rhythm) -> Extras:
    """Find the frames that are one too many.

    A frame explains a deficit when the gap that it would leave behind is one period; a payload
    whose bits change and change back breaks ties, in units of the jitter. A sender that starts its
    cycle anew, after an event, leaves one gap short and the next one whole; an injected frame
    leaves the cycle as it was, so that both are short (or one of them nearly nothing).
    """
    code = sequences.code
    late = deficit(sequences, rhythm.period)
    span = np.where(rhythm.period > 0, rhythm.period, np.nan)[code]
    before, after = (
        np.nan_to_num(gap / span, nan=np.inf, posinf=np.inf) for gap in sequences.gaps()
    )
    left = before + after
    isolated, jitter = sequences.isolated_bits(), rhythm.jitter[code]
    least = rhythm.least[code]
    candidate = (late > least) & (left < 2.0 - least)
    tie = np.clip(2.0 * jitter, 0.02, 0.25)
    misfit = np.abs(left - 1.0) - tie * np.minimum(isolated / 8.0, 1.0)
    cost = np.pad(np.where(candidate, misfit, np.inf), 1, constant_values=np.inf)
    best = candidate & (cost[1:-1] < cost[:-2]) & (cost[1:-1] <= cost[2:])
    short = 1.0 - np.minimum(0.3, 3.0 * jitter)
    within = ((before < short) & (after < short)) | (np.minimum(before, after) < FLAM)
    whole = np.abs(left - 1.0) <= np.maximum(0.15, 4.5 * jitter)
    return Extras(late, best, best & whole & within, isolated, sequences.hop(), before, after)
