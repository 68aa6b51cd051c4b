"""Windows of texts that are longer than a network takes, and which window each word counts in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Windows:
    """N windows, in the order of the words, (N,) int64 each.

    Args:
        first: First word that a window shows.
        stop: The word after the last that it shows.
        own_first: First word that counts in it.
        own_stop: The word after the last that counts in it; every word counts in one window.
    """

    first: Integers
    stop: Integers
    own_first: Integers
    own_stop: Integers

    def __len__(self) -> int:
        return len(self.first)


def cut_windows(starts: Integers, piece_ptr: Integers, capacity: int, stride: int) -> Windows:
    """Cut texts into windows of whole words.

    A text that fits is one window. Of two windows of a longer one, a word that both show counts in
    the one that shows more around it: up to the middle of what they share, the former.

    Args:
        starts: (texts + 1,) first word of each text; the last is the number of words.
        piece_ptr: (words + 1,) tokens before each word.
        capacity: Tokens that a window takes; no word has more.
        stride: Tokens that two windows share, about; less than half of ``capacity``.
    """
    begin, end = starts[:-1], starts[1:]
    tokens = piece_ptr[end] - piece_ptr[begin]
    whole = (tokens <= capacity) & (end > begin)
    parts = [np.stack([begin, end, begin, end])[:, whole]]
    for text in np.flatnonzero(tokens > capacity).tolist():
        parts.append(_cut(int(begin[text]), int(end[text]), piece_ptr, capacity, stride))
    joined = np.concatenate(parts, axis=1)
    joined = joined[:, np.argsort(joined[0], kind="stable")]
    return Windows(*joined)


def _cut(begin: int, end: int, piece_ptr: Integers, capacity: int, stride: int) -> Integers:
    """Return the windows of one long text, (4, n)."""
    firsts, stops = [begin], []
    while True:
        room = piece_ptr[firsts[-1]] + capacity
        stop = int(np.searchsorted(piece_ptr, room, side="right")) - 1
        stops.append(min(stop, end))
        if stops[-1] == end:
            break
        shared = int(np.searchsorted(piece_ptr, piece_ptr[stop] - stride, side="left"))
        firsts.append(max(shared, firsts[-1] + 1))
    first, last = np.array(firsts, np.int64), np.array(stops, np.int64)
    borders = (first[1:] + last[:-1] + 1) // 2
    own_first, own_stop = np.append(begin, borders), np.append(borders, end)
    return np.stack([first, last, own_first, own_stop])[:, own_first < own_stop]
