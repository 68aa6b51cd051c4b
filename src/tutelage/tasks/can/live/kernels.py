"""The compiled steps of `LoneWindow`: loops over the frames, ids and edges of one window.

No floating-point operation is reordered or fused: each is of the type and in the order of
`graph_nodes` and `graph_edges`, so that every bit is the same. NumPy sums, and takes logarithms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.capture_index import MIX, MIX_SHIFT, SHORTEST_GAP
from tutelage.tasks.can.frames import ATTACK, UNLABELLED

F32, F64 = np.float32, np.float64
Function = TypeVar("Function", bound=Callable[..., Any])
Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

FIRST, LAST, HEAD, TAIL, SLOT, SEEN, NODE, CHANGES, DLC, HAMMING, DEGREE = range(11)
"""Rows of whole numbers about nodes; `NODE` is about frames, by position."""
SOURCE, TARGET, BEGIN, EARLY, LATE = range(5)
"""Rows of whole numbers about edges; `BEGIN` is its first place among sorted transitions."""
SHORT, LONG, SHORT_TWO, SILENT = range(4)
"""Rows of gaps of nodes, in seconds."""
UNRESOLVED = -1
"""The slot of an id that was not seen, or whose slot stands in no table."""

_MIX_0, _MIX_1, _MIX_2 = MIX

_SHORTEST, _INFINITE = F32(SHORTEST_GAP), F32(np.inf)
BYTES = 8
"""Of a payload."""


def compiled(function: Function) -> Function:
    """Let numba compile a function at its first call; other threads may run meanwhile."""
    return cast(Function, numba.njit(nogil=True)(function))


@compiled
def bits_of(word: np.uint64) -> np.int64:
    """Count the bits that are set."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    twos = np.uint64(0x3333333333333333)
    word = (word & twos) + ((word >> np.uint64(2)) & twos)
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def take_in(
    time: Doubles,
    ids: NDArray[np.uint32],
    dlc: NDArray[np.uint8],
    word: Words,
    label: NDArray[np.int8],
    places: Words,
    bits: int,
    key: Words,
    step: Doubles,
) -> tuple[np.uint64, int, bool]:
    """Pack id and position of each of W frames, measure the steps between them, and hash them.

    Args:
        time: (W,) seconds; ``ids``; ``dlc``; ``word``, payloads; ``label``.
        places: (W,), what each position counts in the hash.
        bits: Bits of a position.
        key: (W,) id and position are written there.
        step: (W - 1,) seconds from each frame to the next, at least 0, are.

    Returns:
        The hash, as `graphs.window_graphs` makes it, how many frames are attacks, and whether one
        has no label.
    """
    content, attacks, unlabelled = np.uint64(0), 0, False
    for position in range(len(ids)):
        id = np.uint64(ids[position])
        key[position] = (id << np.uint64(bits)) | np.uint64(position)
        if position:
            step[position - 1] = max(time[position] - time[position - 1], 0.0)
        attacks += label[position] == ATTACK
        unlabelled |= label[position] == UNLABELLED
        head = (id << np.uint64(4)) | np.uint64(dlc[position] & np.uint8(15))
        head *= _MIX_0
        head ^= head >> MIX_SHIFT
        head += word[position]
        head *= _MIX_1
        head ^= head >> MIX_SHIFT
        head *= _MIX_2
        head ^= head >> MIX_SHIFT
        content += head * places[position]
    return content, attacks, unlabelled


@compiled
def find_nodes(key: Words, bits: int, standard: Ints, ids: NDArray[np.uint32], n: Ints) -> int:
    """Find the runs of a window's frames sorted by id and position, and the slots of their ids.

    Args:
        key: (W,) id and position of each frame, packed and sorted.
        bits: Bits of a position.
        standard: Slot of each standard id, negative for a new one.
        ids: (W,) the nodes' ids are written there.
        n: Their other numbers.

    Returns:
        How many nodes; less by 1, and negated, where a slot is missing.
    """
    shift, low = np.uint64(bits), np.uint64((1 << bits) - 1)
    count, missing, before = 0, False, np.uint64(0)
    for place in range(len(key)):
        id = key[place] >> shift
        position = np.int64(key[place] & low)
        if place == 0 or id != before:
            n[FIRST, count], n[HEAD, count] = place, position
            ids[count], before = id, id
            slot = standard[np.int64(id)] if id < np.uint64(len(standard)) else UNRESOLVED
            n[SLOT, count] = slot
            missing |= slot < 0
            count += 1
        n[NODE, position] = count - 1
        n[LAST, count - 1], n[TAIL, count - 1] = place, position
    return -1 - count if missing else count


@compiled
def describe_payloads(
    count: int,
    key: Words,
    bits: int,
    word: Words,
    dlc: NDArray[np.uint8],
    past: tuple[Doubles, Words, Ints, NDArray[np.int32]],
    surprise: Floats,
    n: Ints,
    sums: Ints,
    token: NDArray[np.int32],
    odd: Floats,
) -> None:
    """Compare each frame's payload with that of its id's previous one.

    Args:
        count: Nodes.
        key: (W,) id and position of each frame, packed and sorted.
        bits: Bits of a position.
        word: (W,) payloads, ``dlc`` their lengths.
        past: Time, payload, frames and token of each slot; the window's payloads are added.
        surprise: `IdTables.surprise`.
        n: Numbers of nodes; ``sums`` of their bytes, (8, W); ``token``, (W,).
        odd: (W,), the greatest surprise of each node.
    """
    low = np.uint64((1 << bits) - 1)
    for node in range(count):
        slot = n[SLOT, node]
        seen, number, carried = past[2][slot], past[3][slot], past[1][slot]
        n[SEEN, node], token[node] = seen, number
        n[CHANGES, node] = n[DLC, node] = n[HAMMING, node] = n[DEGREE, node] = 0
        sums[:, node] = 0
        greatest, first = F32(0), n[FIRST, node]
        for place in range(first, n[LAST, node] + 1):
            position = np.int64(key[place] & low)
            data = word[position]
            if seen or place > first:
                differ = data ^ carried
                mask = 0
                for byte in range(BYTES):
                    if (differ >> np.uint64(8 * byte)) & np.uint64(255):
                        mask |= 1 << byte
                        n[CHANGES, node] += 1
                greatest = max(greatest, surprise[np.int64(number) * 256 + mask])
                n[HAMMING, node] = max(n[HAMMING, node], bits_of(differ))
            for byte in range(BYTES):
                sums[byte, node] += np.int64((data >> np.uint64(8 * byte)) & np.uint64(255))
            n[DLC, node] += np.int64(dlc[position])
            carried = data
        odd[node] = greatest
        past[1][slot] = carried


@compiled
def describe_gaps(
    count: int,
    key: Words,
    bits: int,
    time: Doubles,
    past: tuple[Doubles, Words, Ints, NDArray[np.int32]],
    n: Ints,
    gap: Floats,
    g: Floats,
) -> None:
    """Measure the time from each frame's previous one of its id.

    Args:
        count: Nodes.
        key: (W,) id and position of each frame, packed and sorted.
        bits: Bits of a position.
        time: (W,) seconds.
        past: As for `describe_payloads`, which comes first; times and frames are added.
        n: Numbers of nodes.
        gap: (W,) gaps of sorted frames are written there, 0 where there is none.
        g: Gaps of nodes.
    """
    low = np.uint64((1 << bits) - 1)
    end = time[len(time) - 1]
    for node in range(count):
        slot, seen, first = n[SLOT, node], n[SEEN, node], n[FIRST, node]
        then = past[0][slot]
        short, two, long, former = _INFINITE, _INFINITE, F32(0), _INFINITE
        for place in range(first, n[LAST, node] + 1):
            now = time[np.int64(key[place] & low)]
            here = _INFINITE
            if seen or place > first:
                here = max(F32(now - then), _SHORTEST)
            if place > first:
                two = min(two, F32(here + former))
            short = min(short, here)
            gap[place] = here if here < _INFINITE else F32(0)
            long = max(long, gap[place])
            former, then = here, now
        g[SHORT, node] = short if short < _INFINITE else F32(0)
        g[SHORT_TWO, node] = two if two < _INFINITE else F32(0)
        g[LONG, node] = long
        g[SILENT, node] = F32(max(end - then, 0.0))
        past[0][slot] = then
        past[2][slot] = seen + n[LAST, node] - first + 1


@compiled
def find_edges(
    nodes: int, step: Doubles, usual: float, n: Ints, e: Ints, table: Ints, gap: Doubles
) -> int:
    """Sort the transitions by source and target; an edge is a run of them.

    Args:
        nodes: How many nodes.
        step: (W - 1,) seconds from each frame to the next.
        usual: Their mean.
        n: Numbers of nodes.
        e: Numbers of edges are written there.
        table: (4, at least W + 1), room to count in.
        gap: (2, W - 1), the sorted steps in units of the mean, and their squares.

    Returns:
        How many edges.
    """
    steps = len(step)
    table[:2, : nodes + 1] = 0
    for place in range(steps):
        table[0, n[NODE, place + 1] + 1] += 1
        table[1, n[NODE, place] + 1] += 1
    for node in range(nodes):
        table[0, node + 1] += table[0, node]
        table[1, node + 1] += table[1, node]
    for place in range(steps):
        target = n[NODE, place + 1]
        table[2, table[0, target]] = place
        table[0, target] += 1
    for at in range(steps):
        place = table[2, at]
        source = n[NODE, place]
        table[3, table[1, source]] = place
        table[1, source] += 1
    edges = 0
    for at in range(steps):
        place = table[3, at]
        source, target = n[NODE, place], n[NODE, place + 1]
        if not edges or e[SOURCE, edges - 1] != source or e[TARGET, edges - 1] != target:
            e[SOURCE, edges], e[TARGET, edges] = source, target
            e[BEGIN, edges], e[EARLY, edges] = at, place
            n[DEGREE, source] += 1
            n[DEGREE, target] += 1
            edges += 1
        e[LATE, edges - 1] = place
        gap[0, at] = step[place] / usual if usual > 0 else step[place]
        gap[1, at] = gap[0, at] * gap[0, at]
    return edges
