"""`IdHistory`: the last frame of each id so far, which the id's next frame is compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.capture_index import (
    Columns,
    Observed,
    log_share,
    payload_integers,
    predecessors,
    rank_ids,
)
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.id_tables import IdTables
from tutelage.tasks.can.profile import UNKNOWN

REMEMBERED = 1 << 17
"""Ids that are remembered, beyond which those unseen for longest are forgotten."""

_FEW = 200
"""Frames up to which looking ids up one by one is faster than sorting them (measured)."""

Before = tuple[NDArray[np.float64], NDArray[np.uint64], NDArray[np.int64], NDArray[np.int32]]


class IdHistory:
    """What has to be known of the past to describe the next frames.

    Args:
        tables: What is known of the ids.

    ``forgotten`` counts ids beyond `REMEMBERED` that were dropped, longest unseen first, none of
    the vocabulary: if one comes back it is taken for a new one. Standard identifiers are too few
    for that; a flood of random 29-bit ones is not. ``highest`` is the highest id so far.
    """

    def __init__(self, tables: IdTables) -> None:
        self._surprise = tables.surprise
        self._tokens = {id: at for at, id in enumerate(tables.profile.ids.tolist(), 1)}
        self._last: dict[int, tuple[float, int, int]] = {}
        self.frames = 0
        self.forgotten = 0
        self.highest = 0

    def compare(self, frames: Frames) -> Columns:
        """Describe the next n > 0 frames, each beside its id's previous one, and remember them."""
        payload = payload_integers(frames)
        look = self._one_by_one if len(frames) <= _FEW else self._at_once
        before_time, before_payload, earlier, token = look(frames, payload)
        share = log_share(earlier, np.arange(self.frames, self.frames + len(frames)))
        self.frames += len(frames)
        if len(self._last) > REMEMBERED + len(self._tokens):
            self._forget()
        now = Observed(
            frames.arbitration_id,
            token,
            frames.timestamp,
            payload,
            share,
            frames.dlc,
            frames.label,
        )
        return Columns.compare(now, before_time, before_payload, earlier == 0, self._surprise)

    def _one_by_one(self, frames: Frames, payload: NDArray[np.uint64]) -> Before:
        last, tokens = self._last, self._tokens
        ids, times = frames.arbitration_id.tolist(), frames.timestamp.tolist()
        found = []
        for id, time, data in zip(ids, times, payload.tolist(), strict=True):
            before = last.get(id, _NEVER)
            found.append(before)
            last[id] = (time, data, before[2] + 1)
        self.highest = max(self.highest, *ids)
        time_before, payload_before, earlier = zip(*found, strict=True)
        return (
            np.array(time_before),
            np.array(payload_before, np.uint64),
            np.array(earlier),
            np.array([tokens.get(id, UNKNOWN) for id in ids], np.int32),
        )

    def _at_once(self, frames: Frames, payload: NDArray[np.uint64]) -> Before:
        ids, rank = rank_ids(frames.arbitration_id)
        previous, within = predecessors(rank)
        distinct = ids.tolist()
        seen = [self._last.get(id, _NEVER) for id in distinct]
        count = np.array([entry[2] for entry in seen])
        earlier = within + count.take(rank)
        begins = previous < 0
        time_before, payload_before = frames.timestamp.take(previous), payload.take(previous)
        time_before[begins] = np.array([entry[0] for entry in seen]).take(rank[begins])
        data = np.array([entry[1] for entry in seen], np.uint64)
        payload_before[begins] = data.take(rank[begins])
        row = np.empty(len(ids), np.intp)
        row[rank] = np.arange(len(rank))
        now = (frames.timestamp.take(row), payload.take(row), earlier.take(row) + 1)
        self._last.update(
            zip(distinct, zip(*(column.tolist() for column in now), strict=True), strict=True)
        )
        self.highest = max(self.highest, distinct[-1])
        token = np.array([self._tokens.get(id, UNKNOWN) for id in distinct], np.int32)
        return time_before, payload_before, earlier, token.take(rank)

    def _forget(self) -> None:
        """Drop half of the unknown ids, those unseen for longest."""
        strange = [id for id in self._last if id not in self._tokens]
        strange.sort(key=lambda id: self._last[id][0])
        for id in strange[: len(strange) // 2]:
            del self._last[id]
        self.forgotten += len(strange) // 2


_NEVER = (0.0, 0, 0)
