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

_STANDARD = 1 << 11
"""Ids of 11 bits, whose slots stand in a table."""
_NONE = -1

Ids = NDArray[np.uint32]
Slots = NDArray[np.intp]


class IdHistory:
    """What has to be known of the past to describe the next frames: a slot for each id.

    Args:
        tables: What is known of the ids.

    ``time``, ``payload`` and ``count`` hold, for each slot, when the id's last frame was, what it
    carried, and how many there were; ``token`` the id's number in the vocabulary. ``standard``
    holds the slot of each standard id, negative for one that was not seen. ``frames`` counts
    frames. ``forgotten`` counts ids beyond `REMEMBERED` that were dropped, longest unseen first,
    none of the vocabulary: if one comes back it is taken for a new one. Standard identifiers are
    too few for that; a flood of random 29-bit ones is not. ``highest`` is the highest id so far.
    """

    def __init__(self, tables: IdTables) -> None:
        self._surprise = tables.surprise
        self._tokens = {id: at for at, id in enumerate(tables.profile.ids.tolist(), 1)}
        self.standard = np.full(_STANDARD, _NONE, np.intp)
        self._extended: dict[int, int] = {}
        self._owner = np.zeros(0, np.uint32)
        self._free: list[int] = []
        self.time = np.zeros(0)
        self.payload = np.zeros(0, np.uint64)
        self.count = np.zeros(0, np.int64)
        self.token = np.zeros(0, np.int32)
        self.frames = self.forgotten = self.highest = 0

    @property
    def ids(self) -> Ids:
        """The ids that are remembered."""
        return self._owner[self.count > 0]

    def slots(self, ids: Ids) -> Slots:
        """Return the slots (n > 0,) of some ids, ascending and distinct; new ones get theirs."""
        highest = int(ids[-1])
        if highest > self.highest:
            self.highest = highest
        if highest < _STANDARD:
            slot = self.standard.take(ids)
        else:
            split = int(np.searchsorted(ids, _STANDARD))
            far = [self._extended.get(id, _NONE) for id in ids[split:].tolist()]
            slot = np.append(self.standard.take(ids[:split]), np.array(far, np.intp))
        if slot.min() == _NONE:
            new = slot == _NONE
            slot[new] = self._claim(ids[new])
        return slot

    def remember(
        self,
        slot: Slots,
        time: NDArray[np.float64],
        payload: NDArray[np.uint64],
        count: NDArray[np.int64],
        frames: int,
    ) -> None:
        """Take up the last frames of some ids, and how many each had by then."""
        self.time[slot] = time
        self.payload[slot] = payload
        self.count[slot] = count
        self.passed(frames)

    def passed(self, frames: int) -> None:
        """Count frames of which the last ones were taken up."""
        self.frames += frames
        if len(self.count) - len(self._free) > REMEMBERED + len(self._tokens):
            self._forget()

    def compare(self, frames: Frames) -> Columns:
        """Describe the next n > 0 frames, each beside its id's previous one, and remember them."""
        payload = payload_integers(frames)
        ids, rank = rank_ids(frames.arbitration_id)
        previous, within = predecessors(rank)
        slot = self.slots(ids)
        earlier = within + self.count.take(slot).take(rank)
        begins = previous < 0
        before_time, before_payload = frames.timestamp.take(previous), payload.take(previous)
        before_time[begins] = self.time.take(slot).take(rank[begins])
        before_payload[begins] = self.payload.take(slot).take(rank[begins])
        token = self.token.take(slot).take(rank)
        share = log_share(earlier, np.arange(self.frames, self.frames + len(frames)))
        row = np.empty(len(ids), np.intp)
        row[rank] = np.arange(len(rank))
        last = frames.timestamp.take(row), payload.take(row), earlier.take(row) + 1
        self.remember(slot, *last, len(frames))
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

    def _claim(self, ids: Ids) -> Slots:
        """Give slots to new ids."""
        lacking = len(ids) - len(self._free)
        if lacking > 0:
            self._grow(max(lacking, 64 + len(self.count)))
        slot = np.array([self._free.pop() for _ in ids], np.intp)
        self._owner[slot] = ids
        known = ids.tolist()
        self.token[slot] = [self._tokens.get(id, UNKNOWN) for id in known]
        near = ids < _STANDARD
        self.standard[ids[near]] = slot[near]
        self._extended.update(zip(ids[~near].tolist(), slot[~near].tolist(), strict=True))
        return slot

    def _grow(self, more: int) -> None:
        size = len(self.count)
        self._free += range(size + more - 1, size - 1, -1)
        self._owner = np.append(self._owner, np.zeros(more, np.uint32))
        self.time = np.append(self.time, np.zeros(more))
        self.payload = np.append(self.payload, np.zeros(more, np.uint64))
        self.count = np.append(self.count, np.zeros(more, np.int64))
        self.token = np.append(self.token, np.zeros(more, np.int32))

    def _forget(self) -> None:
        """Drop half of the unknown ids, those unseen for longest."""
        strange = np.flatnonzero((self.count > 0) & (self.token == UNKNOWN))
        oldest = strange[np.argsort(self.time[strange], kind="stable")][: len(strange) // 2]
        ids = self._owner[oldest]
        near = ids < _STANDARD
        self.standard[ids[near]] = _NONE
        for id in ids[~near].tolist():
            del self._extended[id]
        self.count[oldest] = 0
        self._free += oldest.tolist()
        self.forgotten += len(oldest)
