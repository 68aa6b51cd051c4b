"""Diagnostic exchanges that only read: a tester asks, a control unit answers, nothing heeds it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.id_sequences import Bools, Ints

ANSWER_SECONDS = 0.15
"""Longest wait for an answer: P2 of a server, 50 ms, and 100 ms on the way (ISO 14229-2)."""
EXCHANGE_SECONDS = 2.0
"""Time from a request within which the frames of a long answer have to come."""
READS = frozenset({1, 2, 3, 5, 6, 7, 9, 0x0A, 0x19, 0x1A, 0x21, 0x22, 0x3E})
"""Services that read, of ISO 15031-5, ISO 14229-1 and ISO 14230-3, and the tester's presence."""
_SINGLE, _FIRST, _CONSECUTIVE, _FLOW = range(4)
_FUNCTIONAL, _ANSWERS = 0x7DF, range(0x7E8, 0x7F0)


def is_diagnostic(arbitration_id: NDArray[np.uint32]) -> Bools:
    """Return (n,) which identifiers are of the ranges that diagnostics use.

    The 11-bit ones from 0x700 on, which lose every arbitration against a vehicle's traffic, and
    the normal fixed addresses of 29 bits, 0x18DAxxxx (ISO 15765-2).
    """
    short = (arbitration_id >= 0x700) & (arbitration_id <= 0x7FF)
    found: Bools = short | ((arbitration_id & 0x1FFF0000) == 0x18DA0000)
    return found


def read_exchanges(frames: Frames) -> Bools:
    """Return (n,) which frames belong to a well-formed diagnostic exchange that only reads.

    A request in a single frame for one of `READS`; the first frame on the answering identifier
    after it (8 above the request's, or with both addresses swapped), which names that
    service and comes within `ANSWER_SECONDS`; for a long answer the flow control, and its
    consecutive frames as long as they count on, within `EXCHANGE_SECONDS`. Labels are not read, and
    nothing further away than that time decides about a frame.

    Source: ISO 15765-2:2016 (segments), ISO 14229-1:2020 (services).
    """
    found = np.zeros(len(frames), np.bool_)
    rows = np.flatnonzero(is_diagnostic(frames.arbitration_id))
    if not len(rows):
        return found
    ids = frames.arbitration_id[rows].astype(np.int64)
    requests = rows[_asks(frames.payload[rows])]
    by_id = {int(identifier): rows[ids == identifier] for identifier in np.unique(ids)}
    for identifier in np.unique(frames.arbitration_id[requests]).tolist():
        asked = requests[frames.arbitration_id[requests] == identifier]
        for answering in _answering(identifier):
            if answering in by_id:
                _mark(frames, asked, by_id, answering, found)
    return found


def _asks(payload: NDArray[np.uint8]) -> Bools:
    """Return (n,) which payloads are a request to read in a single frame, padded evenly."""
    length = payload[:, 0]
    place = np.arange(8)
    behind = place > length[:, None]
    low = np.where(behind, payload, 255).min(axis=1)
    high = np.where(behind, payload, 0).max(axis=1)
    even = ~behind.any(axis=1) | (low == high)
    reads: Bools = np.isin(payload[:, 1], list(READS)) & (length >= 1) & (length <= 7) & even
    return reads


def _answering(identifier: int) -> tuple[int, ...]:
    """Return the identifiers on which a request is answered."""
    if identifier == _FUNCTIONAL:
        return tuple(_ANSWERS)
    if identifier <= 0x7FF:
        return (identifier + 8,)
    return (_swapped(identifier),)


def _swapped(identifier: int) -> int:
    target, source = (identifier >> 8) & 0xFF, identifier & 0xFF
    return (identifier & ~0xFFFF) | source << 8 | target


def _mark(
    frames: Frames, asked: Ints, by_id: dict[int, Ints], answering: int, found: Bools
) -> None:
    """Mark the exchanges that some requests (rows) begin, where they are answered in time."""
    answers = by_id[answering]
    place = np.searchsorted(answers, asked, side="right")
    asked, place = asked[place < len(answers)], place[place < len(answers)]
    answer = answers[place]
    said, service = frames.payload[answer].astype(np.int64), frames.payload[asked, 1] + 0x40
    kind, length = said[:, 0] >> 4, said[:, 0] & 0xF
    refused = (said[:, 1] == 0x7F) & (said[:, 2] == service - 0x40) & (length == 3)
    single = (kind == _SINGLE) & (length >= 1) & (length <= 7)
    single &= (said[:, 1] == service) | refused
    first = (kind == _FIRST) & (said[:, 2] == service)
    in_time = frames.timestamp[answer] - frames.timestamp[asked] <= ANSWER_SECONDS
    real = (single | first) & in_time
    found[asked[real]] = found[answer[real]] = True
    tester = answering - 8 if answering <= 0x7FF else _swapped(answering)
    for at in np.flatnonzero(first & in_time).tolist():  # once for each long answer
        until = float(frames.timestamp[asked[at]]) + EXCHANGE_SECONDS
        _mark_rest(frames, answers[place[at] :], by_id.get(tester), until, found)


def _mark_rest(
    frames: Frames, answers: Ints, flows: Ints | None, until: float, found: Bools
) -> None:
    """Mark what follows the first frame of a long answer: consecutive frames, and flow control."""
    head = frames.payload[answers[0]].astype(np.int64)
    total = ((head[0] & 0xF) << 8) | head[1]
    rest = answers[1 : 1 + int(-(-(total - 6) // 7))]
    counted = _CONSECUTIVE << 4 | (np.arange(1, len(rest) + 1) & 0xF)
    right = (frames.payload[rest, 0] == counted) & (frames.timestamp[rest] <= until)
    whole = rest[: int(np.argmin(right)) if not right.all() else len(rest)]
    found[whole] = True
    if flows is not None:
        last = whole[-1] if len(whole) else answers[0]
        said = flows[(flows > answers[0]) & (flows <= last)]
        permits = np.isin(frames.payload[said, 0], [_FLOW << 4 | status for status in range(3)])
        found[said[permits]] = True
