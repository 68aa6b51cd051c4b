"""`IdSequences`: a capture's frames grouped by identifier, with grouped medians over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.rule_windows import id_codes
from tutelage.tasks.can.scratch import ROWS, Spool, blocks, selected, zeros

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class IdSequences:
    """Frames of known identifiers, grouped by key and in time order within it.

    Those of more than `ROWS` frames lie in temporary files, and are worked on in `pieces`.

    Args:
        key: (n,) groups, ascending: capture and identifier.
        code: (n,) positions of the identifier.
        time: (n,) seconds.
        word: (n,) the payload as one little-endian number.
        row: (n,) where each stood in the captures, laid end to end.
    """

    key: Ints
    code: Ints
    time: Floats
    word: Words
    row: Ints

    def __len__(self) -> int:
        return len(self.key)

    def __getitem__(self, rows: slice) -> IdSequences:
        """A view of consecutive ones."""
        return IdSequences(
            self.key[rows], self.code[rows], self.time[rows], self.word[rows], self.row[rows]
        )

    @classmethod
    def group(
        cls, captures: Sequence[Frames], ids: NDArray[np.uint32], rows: int = ROWS
    ) -> IdSequences:
        """Group the frames whose identifier is one of the ascending ``ids`` (K,).

        Args:
            captures: The frames.
            ids: The identifiers.
            rows: Of how many frames it takes the order at once.
        """
        if sum(map(len, captures)) > rows:
            return _group_in_blocks(captures, ids, rows)
        frames = captures[0] if len(captures) == 1 else Frames.concatenate(captures)
        lengths = [len(c) for c in captures]
        code = id_codes(frames.arbitration_id, ids)
        key = np.repeat(np.arange(len(captures)) * len(ids), lengths) + code
        order = np.lexsort((frames.timestamp, key))
        order = order[code[order] < len(ids)]
        word = np.ascontiguousarray(frames.payload).view("<u8").ravel()
        time = frames.timestamp[order]
        return cls(key[order], code[order], time, word[order], order.astype(np.int64))

    def keep(self, mask: Bools) -> IdSequences:
        """Return the frames where ``mask`` (n,) holds."""
        return IdSequences(
            selected(self.key, mask),
            selected(self.code, mask),
            selected(self.time, mask),
            selected(self.word, mask),
            selected(self.row, mask),
        )

    def pieces(
        self, reach: int = 0, rows: int = ROWS
    ) -> Iterator[tuple[slice, IdSequences, slice]]:
        """Yield which frames a piece is about, these with their neighbours, and their place there.

        Args:
            reach: Neighbours that come with a piece on either side.
            rows: Frames of a piece.
        """
        for part in blocks(len(self), rows):
            low = max(0, part.start - reach)
            own = slice(part.start - low, part.stop - low)
            yield part, self[low : part.stop + reach], own

    def each(
        self,
        of: Callable[[IdSequences], NDArray[Any]],
        kind: DTypeLike,
        reach: int = 0,
        rows: int = ROWS,
    ) -> NDArray[Any]:
        """Return (n,) what ``of`` says of each frame, piece by piece.

        Args:
            of: What is said of the frames of a piece.
            kind: Type of what is said.
            reach: Neighbours on either side on which it depends.
            rows: Frames of a piece.
        """
        if len(self) <= rows:
            return of(self)
        found = zeros(len(self), kind)
        for part, piece, own in self.pieces(reach, rows):
            found[part] = of(piece)[own]
        return found

    def inner(self) -> Bools:
        """Return (n - 2,) whether the frames before and after each inner one share its key."""
        shares: Bools = self.key[2:] == self.key[:-2]
        return shares

    def gaps(self) -> tuple[Floats, Floats]:
        """Return the seconds since the frame before, and until the one after, infinite at ends."""
        before, after = np.full(len(self), np.inf), np.full(len(self), np.inf)
        gap = np.where(self.key[1:] == self.key[:-1], np.diff(self.time), np.inf)
        before[1:] = after[:-1] = gap
        return before, after

    def isolated_bits(self) -> Ints:
        """Return (n,) how many bits differ from both neighbours, which agree on them; 0 at ends."""
        bits = np.zeros(len(self), np.int64)
        hop = self.word[1:] ^ self.word[:-1]
        bits[1:-1] = np.where(self.inner(), np.bitwise_count(hop[1:] & hop[:-1]), 0)
        return bits

    def hop(self) -> Ints:
        """Return (n,) the larger number of bits by which each differs from a neighbour."""
        step = np.bitwise_count(self.word[1:] ^ self.word[:-1]).astype(np.int64)
        larger = np.zeros(len(self), np.int64)
        larger[1:] = np.where(self.key[1:] == self.key[:-1], step, 0)
        larger[:-1] = np.maximum(larger[:-1], larger[1:])
        return larger


def _group_in_blocks(captures: Sequence[Frames], ids: NDArray[np.uint32], rows: int) -> IdSequences:
    """Group frames block by block: count, give each key its stretch, fill, then order by time."""
    kinds = len(ids)
    counts = np.zeros((len(captures), kinds), np.int64)
    for own, frames in zip(counts, captures, strict=True):
        for part in blocks(len(frames), rows):
            code = id_codes(frames.arbitration_id[part], ids)
            own += np.bincount(code, minlength=kinds + 1)[:kinds]
    ends = np.cumsum(counts).reshape(counts.shape)
    free, total, start = ends - counts, int(counts.sum()), 0
    kinds_of = (np.int64, np.int64, np.float64, np.uint64, np.int64)
    found = IdSequences(*(zeros(total, kind) for kind in kinds_of))
    for number, frames in enumerate(captures):
        for part in blocks(len(frames), rows):
            code = id_codes(frames.arbitration_id[part], ids)
            order = np.argsort(code, kind="stable")[: np.count_nonzero(code < kinds)]
            code = code[order]
            own = np.bincount(code, minlength=kinds)
            place = np.arange(len(code)) + (free[number] - np.cumsum(own) + own)[code]
            found.key[place] = code + number * kinds
            found.code[place] = code
            found.time[place] = frames.timestamp[part][order]
            word = np.ascontiguousarray(frames.payload[part]).view("<u8").ravel()
            found.word[place] = word[order]
            found.row[place] = order + (start + part.start)
            free[number] += own
        start += len(frames)
    for high, count in zip(ends.ravel().tolist(), counts.ravel().tolist(), strict=True):
        _order_by_time(found[high - count : high], rows)
    return found


def _order_by_time(group: IdSequences, rows: int) -> None:
    """Bring one key's frames in order of time, in place; of equal times the former stays first.

    Clocks step back by little, so there are many places that no frame has to cross: a piece ends
    at one where every time before is at most every time after.
    """
    time = group.time
    if not any((time[p][1:] < time[p][:-1]).any() for p in _overlapping(len(time), rows)):
        return
    least: Floats = zeros(len(time), np.float64)
    after = np.inf
    for part in reversed([*blocks(len(time), rows)]):
        least[part] = np.minimum.accumulate(time[part][::-1])[::-1]
        np.minimum(least[part], after, out=least[part])
        after = float(least[part.start])
    start, size = 0, rows
    while start < len(time):
        stop = min(start + size, len(time))
        if stop < len(time):
            latest = np.maximum.accumulate(time[start:stop])
            safe = np.flatnonzero(latest <= least[start + 1 : stop + 1])
            if not len(safe):
                size *= 2
                continue
            stop = start + int(safe[-1]) + 1
        order = np.argsort(time[start:stop], kind="stable")
        for column in (group.time, group.word, group.row):
            column[start:stop] = column[start:stop][order]
        start, size = stop, rows


def _overlapping(count: int, rows: int) -> Iterator[slice]:
    """Yield slices of which each holds the first row of the next one, too."""
    return (slice(part.start, part.stop + 1) for part in blocks(count, rows))


def median_of_each(values: Floats, code: Ints, kinds: int, rows: int = ROWS) -> Floats:
    """Return the (kinds,) median of ``values`` (n,) of each code; 0 where it has fewer than two."""
    count = np.bincount(code, minlength=kinds)
    first = np.cumsum(count) - count
    if len(values) > rows:
        ordered = _ordered_in_blocks(values, code, first, rows)
    else:
        ordered = values[np.lexsort((values, code))]
    some = count >= 2
    median = np.zeros(kinds)
    low, high = (first + (count - 1) // 2)[some], (first + count // 2)[some]
    median[some] = (ordered[low] + ordered[high]) / 2.0
    return median


def _ordered_in_blocks(values: Floats, code: Ints, first: Ints, rows: int) -> Floats:
    """Return (n,) the values by code, ascending; those of a code begin at ``first`` (kinds,)."""
    ordered: Floats = zeros(len(values), np.float64)
    free = first.copy()
    for part in blocks(len(values), rows):
        order = np.argsort(code[part], kind="stable")
        kind = code[part][order]
        own = np.bincount(kind, minlength=len(first))
        ordered[np.arange(len(kind)) + (free - np.cumsum(own) + own)[kind]] = values[part][order]
        free += own
    for low, high in zip(first.tolist(), free.tolist(), strict=True):
        ordered[low:high].sort()
    return ordered


def median_gaps(sequences: IdSequences, kinds: int, rows: int = ROWS) -> Floats:
    """Return the (kinds,) median gap of each identifier; 0 where it has fewer than two gaps."""
    gaps, codes = Spool(np.float64), Spool(np.int64)
    for part in _overlapping(len(sequences), rows):
        piece = sequences[part]
        within = piece.key[1:] == piece.key[:-1]
        gaps.append(np.diff(piece.time)[within])
        codes.append(piece.code[1:][within])
    return median_of_each(gaps.array(), codes.array(), kinds, rows)
