"""Fields between delimiters, and labels, found for all lines of a block at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.frames import UNLABELLED
from tutelage.tasks.can.ingest.blocks import Lines
from tutelage.tasks.can.ingest.explain import LABEL_WORDS
from tutelage.tasks.can.ingest.fields import PAD, Bytes, Mask, Offsets, gather

_WORD = 8


def _blank_table() -> Mask:
    table = np.zeros(256, np.bool_)
    table[[9, 10, 13, 32]] = True
    return table


_BLANK = _blank_table()


@dataclass(frozen=True, slots=True)
class Fields:
    """Where the fields of each line lie.

    Args:
        buffer: The padded bytes.
        starts: (m,) first byte of every field of every line, in order.
        ends: (m,) byte just after every field.
        first: (n,) index of each line's first field.
        count: (n,) fields of each line.
    """

    buffer: Bytes
    starts: Offsets
    ends: Offsets
    first: Offsets
    count: Offsets

    def span(self, index: int | Offsets) -> tuple[Offsets, Offsets]:
        """(n,) start and end of field ``index`` of each line; an empty span where there is none."""
        missing = (index >= self.count) | (np.asarray(index) < 0)
        at = np.minimum(self.first + index, len(self.starts) - 1)
        starts, ends = self.starts[at], self.ends[at]
        if missing.any():
            ends = np.where(missing, starts, ends)
        return starts, ends


def split_at(lines: Lines, delimiter: str) -> Fields:
    """Cut lines at a one-byte delimiter; fields may be empty."""
    buffer = lines.buffer
    at = np.flatnonzero(buffer == ord(delimiter))
    at = at[np.searchsorted(at, lines.starts[0]) :]
    first_cut = _first_cuts(lines, at)
    line = np.arange(len(lines))
    cuts = np.diff(first_cut)
    starts = np.empty(len(at) + len(lines), np.int64)
    ends = np.empty_like(starts)
    first = first_cut[:-1] + line
    inner = np.ones(len(starts), np.bool_)
    inner[first] = False
    starts[first], starts[inner] = lines.starts, at + 1
    last = first + cuts
    inner[first], inner[last] = True, False
    ends[last], ends[inner] = lines.ends, at
    return Fields(buffer, starts, ends, first, cuts + 1)


def _first_cuts(lines: Lines, at: Offsets) -> Offsets:
    """(n + 1,) index of the first delimiter of each line; one pass when all have as many."""
    n = len(lines)
    per_line, rest = divmod(len(at), n)
    if per_line and not rest:
        grid = at.reshape(n, per_line)
        if (grid[:, 0] >= lines.starts).all() and (grid[:, -1] < lines.ends).all():
            return np.arange(n + 1, dtype=np.int64) * per_line
    return np.append(np.searchsorted(at, lines.starts), len(at)).astype(np.int64)


def split_at_blanks(lines: Lines) -> Fields:
    """Cut lines at runs of spaces and tabs; fields are never empty."""
    dark = ~_BLANK[lines.buffer]
    dark &= lines.buffer != 0
    starts = np.flatnonzero(dark[1:] & ~dark[:-1]) + 1
    ends = np.flatnonzero(dark[:-1] & ~dark[1:]) + 1
    skip = int(np.searchsorted(starts, lines.starts[0]))
    starts, ends = starts[skip:], ends[skip:]
    bounds = np.append(np.searchsorted(starts, lines.starts), len(starts)).astype(np.int64)
    starts, ends = np.append(starts, PAD), np.append(ends, PAD)  # an empty field for absent ones
    return Fields(lines.buffer, starts, ends, bounds[:-1], np.diff(bounds))


def digit(buffer: Bytes, starts: Offsets, ends: Offsets) -> tuple[Offsets, Mask]:
    """(n,) a single digit from 0 to 8, and where it is none (0 is given there)."""
    value = buffer[starts].astype(np.int64) - ord("0")
    bad = (value < 0) | (value > 8) | (ends - starts != 1)
    return np.where(bad, 0, value), bad


def labels(buffer: Bytes, starts: Offsets, ends: Offsets) -> tuple[NDArray[np.int8], Mask]:
    """(n,) labels from 0/1, R/T or the usual words, and where it is none of them."""
    length = ends - starts
    if (length == 1).all():
        label = _ONE_CHARACTER[buffer[starts]]
        return label, label == UNLABELLED
    text = gather(buffer, starts, _WORD) | np.uint8(32)
    inside = np.arange(_WORD) < length[:, None]
    words = np.ascontiguousarray(np.where(inside, text, 0).astype(np.uint8)).view(np.uint64)[:, 0]
    label = np.full(len(starts), UNLABELLED, np.int8)
    for word, value in LABEL_WORDS.items():
        label[words == np.frombuffer(word.encode().ljust(_WORD, b"\0"), np.uint64)] = value
    bad = (label == UNLABELLED) | (length > _WORD)
    return label, bad


def _label_table() -> NDArray[np.int8]:
    table = np.full(256, UNLABELLED, np.int8)
    for word, value in LABEL_WORDS.items():
        if len(word) == 1:
            table[ord(word)] = table[ord(word.upper())] = value
    return table


_ONE_CHARACTER = _label_table()
