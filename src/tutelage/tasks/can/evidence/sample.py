"""A share of more traffic than detectors can learn from: stretches from all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.scratch import blocks

STRETCHES = 16
"""Stretches of a sample."""
AROUND = 1 << 12
"""Frames from the first one on of an identifier that is in none of them."""


def sampled(traffic: Sequence[Frames], most: int) -> Sequence[Frames]:
    """Return stretches of traffic with about ``most`` frames in all; the whole if it has no more.

    They are equally long and lie evenly over the whole. What a capture's end cuts off of one is
    left out where it is less than a quarter.

    Args:
        traffic: Captures, each with frames.
        most: Frames of a sample.
    """
    total = sum(map(len, traffic))
    if total <= most:
        return traffic
    length = max(1, most // STRETCHES)
    starts = np.linspace(0, total - length, STRETCHES).astype(np.int64).tolist()
    found, begin = list[Frames](), 0
    for frames in traffic:
        for start in starts:
            own = frames[max(0, start - begin) : max(0, start + length - begin)]
            if 4 * len(own) >= length:
                found.append(own)
        begin += len(frames)
    return found


def of_other_ids(sample: Sequence[Frames], traffic: Sequence[Frames]) -> Iterator[Frames]:
    """Yield a short stretch for each identifier that is in the traffic and in no sample of it.

    With them, none seems never to have been seen.
    """
    if sample is traffic:
        return
    known = {identifier for frames in sample for identifier in frames.ids.tolist()}
    for frames in traffic:
        for rows in blocks(len(frames)):
            ids, first = np.unique(frames.arbitration_id[rows], return_index=True)
            for identifier, row in sorted(zip(ids.tolist(), first.tolist(), strict=True)):
                if identifier not in known:
                    stretch = frames[rows.start + row : rows.start + row + AROUND]
                    known.update(stretch.ids.tolist())
                    yield stretch
