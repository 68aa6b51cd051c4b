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

from tutelage.tasks.can.capture_index import MIX, MIX_SHIFT, SETTLED, SHORTEST_GAP
from tutelage.tasks.can.graph_nodes import RATIO_LIMIT, USUAL_GAP

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
KNOWN, SPREAD, PER_COUNT, EXPECTED, FREQUENCY = range(5)
"""Rows of what is known of each token."""
UNRESOLVED = -1
"""The slot of an id that was not seen, or whose slot stands in no table."""

_MIX_0, _MIX_1, _MIX_2 = MIX

_SHORTEST, _INFINITE, _BYTES = F32(SHORTEST_GAP), F32(np.inf), 8
_LIMIT, _PER_USUAL = F32(RATIO_LIMIT), F32(1 / USUAL_GAP)
_ONE, _HALF, _EIGHT, _FULL, _SIXTY_FOURTH = F32(1), F32(0.5), F32(8), F32(255), F32(1 / 64)


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
def content_of(
    ids: NDArray[np.uint32], dlc: NDArray[np.uint8], word: Words, places: Words
) -> np.uint64:
    """Hash a window as `graphs.window_graphs` does."""
    content = np.uint64(0)
    for position in range(len(ids)):
        head = (np.uint64(ids[position]) << np.uint64(4)) | np.uint64(dlc[position] & np.uint8(15))
        head *= _MIX_0
        head ^= head >> MIX_SHIFT
        head += word[position]
        head *= _MIX_1
        head ^= head >> MIX_SHIFT
        head *= _MIX_2
        head ^= head >> MIX_SHIFT
        content += head * places[position]
    return content


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
def describe_nodes(
    count: int,
    key: Words,
    bits: int,
    time: Doubles,
    word: Words,
    dlc: NDArray[np.uint8],
    past: tuple[Doubles, Words, Ints, NDArray[np.int32]],
    surprise: Floats,
    n: Ints,
    sums: Ints,
    token: NDArray[np.int32],
    gap: Floats,
    g: Floats,
    odd: Floats,
) -> None:
    """Compare each frame with its id's previous one; gather what whole numbers and extremes tell.

    Args:
        count: Nodes.
        key: (W,) id and position of each frame, packed and sorted.
        bits: Bits of a position.
        time: (W,) seconds; ``word`` payloads, ``dlc`` their lengths.
        past: Time, payload, frames and token of each slot; the window is added.
        surprise: `IdTables.surprise`.
        n: Numbers of nodes; ``sums`` of their bytes, (8, W); ``token``, (W,).
        gap: (W,) gaps of sorted frames are written there, 0 where there is none.
        g: Gaps of nodes; ``odd``, (W,), their greatest surprise.
    """
    low = np.uint64((1 << bits) - 1)
    end = time[len(time) - 1]
    for node in range(count):
        slot = n[SLOT, node]
        seen, number = past[2][slot], past[3][slot]
        then, carried = past[0][slot], past[1][slot]
        n[SEEN, node], token[node] = seen, number
        n[CHANGES, node] = n[DLC, node] = n[HAMMING, node] = n[DEGREE, node] = 0
        sums[:, node] = 0
        short, two, long, greatest = _INFINITE, _INFINITE, F32(0), F32(0)
        former = _INFINITE
        first = n[FIRST, node]
        for place in range(first, n[LAST, node] + 1):
            position = np.int64(key[place] & low)
            now, data = time[position], word[position]
            here, differ, strange = _INFINITE, np.uint64(0), F32(0)
            changes = 0
            if seen or place > first:
                here = max(F32(now - then), _SHORTEST)
                differ = data ^ carried
                mask = 0
                for byte in range(_BYTES):
                    if (differ >> np.uint64(8 * byte)) & np.uint64(255):
                        mask |= 1 << byte
                        changes += 1
                strange = surprise[np.int64(number) * 256 + mask]
                n[HAMMING, node] = max(n[HAMMING, node], bits_of(differ))
            if place > first:
                two = min(two, F32(here + former))
            for byte in range(_BYTES):
                sums[byte, node] += np.int64((data >> np.uint64(8 * byte)) & np.uint64(255))
            n[CHANGES, node] += changes
            n[DLC, node] += np.int64(dlc[position])
            short, greatest = min(short, here), max(greatest, strange)
            gap[place] = here if here < _INFINITE else F32(0)
            long = max(long, gap[place])
            former, then, carried = here, now, data
        g[SHORT, node] = short if short < _INFINITE else F32(0)
        g[SHORT_TWO, node] = two if two < _INFINITE else F32(0)
        g[LONG, node], odd[node] = long, greatest
        g[SILENT, node] = F32(max(end - then, 0.0))
        past[0][slot], past[1][slot] = then, carried
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


@compiled
def prepare_logarithms(
    nodes: int,
    edges: int,
    time: Doubles,
    row: int,
    tables: Floats,
    token: NDArray[np.int32],
    n: Ints,
    e: Ints,
    g: Floats,
    sum: Floats,
    edge_sums: Doubles,
    twos: Floats,
    shares: Doubles,
    edge_gaps: Doubles,
) -> None:
    """Write down all numbers of which features are logarithms.

    Args:
        nodes: How many nodes, and ``edges`` edges.
        time: (W,) seconds.
        row: Frames before the window.
        tables: What is known of each token.
        token: Tokens of nodes.
        n: Numbers of nodes; ``e`` of edges; ``g`` gaps of nodes; ``sum`` the sums of their gaps.
        edge_sums: (2, edges) sums of steps and of their squares.
        twos: Ratios of nodes, eight rows, then counts of edges, then degrees of nodes.
        shares: (nodes,) shares of the traffic.
        edge_gaps: (2, edges) mean and standard deviation of steps.
    """
    window = len(time)
    duration = F32(max(time[window - 1] - time[0], SHORTEST_GAP))
    for node in range(nodes):
        frames = n[LAST, node] - n[FIRST, node] + 1
        seen = n[SEEN, node]
        steps = F32(frames) - F32(seen == 0)
        mean = F32(sum[node] / max(steps, _ONE))
        often = tables[FREQUENCY, token[node]]
        twos[node] = mean * often
        twos[nodes + node] = g[SHORT, node] * often
        twos[2 * nodes + node] = g[LONG, node] * often
        twos[3 * nodes + node] = g[SHORT_TWO, node] * F32(often * _HALF)
        twos[4 * nodes + node] = mean * _PER_USUAL
        twos[5 * nodes + node] = g[SHORT, node] * _PER_USUAL
        twos[6 * nodes + node] = F32(duration * often) / F32(frames)
        twos[7 * nodes + node] = F32(g[SILENT, node] * often) + _ONE
        for ratio in range(8):
            if twos[ratio * nodes + node] <= F32(0):
                twos[ratio * nodes + node] = _ONE
        twos[8 * nodes + edges + node] = F32(n[DEGREE, node])
        shares[node] = F64(256 * (seen + 1)) / F64(n[HEAD, node] + row + SETTLED)
    for edge in range(edges):
        after = e[BEGIN, edge + 1] if edge + 1 < edges else window - 1
        count = F32(after - e[BEGIN, edge])
        twos[8 * nodes + edge] = count
        mean_step = edge_sums[0, edge] / F64(count)
        spread = edge_sums[1, edge] / F64(count) - mean_step * mean_step
        edge_gaps[0, edge], edge_gaps[1, edge] = mean_step, np.sqrt(max(spread, 0.0))


@compiled
def limited(value: np.float32) -> np.float32:
    """Return a logarithmic ratio within its limits."""
    return min(max(value, -_LIMIT), _LIMIT)


@compiled
def write_nodes(
    nodes: int,
    tables: Floats,
    token: NDArray[np.int32],
    n: Ints,
    sums: Ints,
    window: int,
    twos: Floats,
    odd: Floats,
    shares: Doubles,
    x: Floats,
) -> None:
    """Write the (nodes, F) features of nodes, in the order of `NODE_FEATURES`.

    ``odd`` and ``shares`` are logarithms by now, and so are ``twos``; see `prepare_logarithms`.
    """
    step = F64(F32(1 / window))
    least, most = F32(window), F32(0)
    for node in range(nodes):
        count = F32(n[LAST, node] - n[FIRST, node] + 1)
        least, most = min(least, count), max(most, count)
    reach = max(F32(most - least), _ONE)
    for node in range(nodes):
        frames = n[LAST, node] - n[FIRST, node] + 1
        count, number = F32(frames), token[node]
        scale = _ONE / F32(count * _FULL)
        for byte in range(_BYTES):
            x[node, byte] = F32(sums[byte, node]) * scale
        x[node, 8] = F32(count - least) / reach
        x[node, 9] = F32(F64(n[TAIL, node]) * step)
        x[node, 10] = F32(F64(n[TAIL, node] - n[HEAD, node]) * step)
        x[node, 11] = F32(F64(n[DLC, node]) / F64(frames * 8))
        known = tables[KNOWN, number]
        x[node, 12] = known
        x[node, 13] = min(F32(count * tables[PER_COUNT, number]), _LIMIT)
        for ratio in range(4):
            x[node, 14 + ratio] = limited(twos[ratio * nodes + node])
        x[node, 18] = limited(twos[7 * nodes + node])
        x[node, 19] = F32(0) - limited(twos[6 * nodes + node])
        x[node, 20] = tables[SPREAD, number]
        steps = F32(count - F32(n[SEEN, node] == 0))
        excess = F32(n[CHANGES, node]) - F32(steps * tables[EXPECTED, number])
        x[node, 21] = F32(excess / F32(max(steps, _ONE) * _EIGHT)) * known
        x[node, 22] = odd[node]
        x[node, 23] = F32(n[HAMMING, node]) * _SIXTY_FOURTH
        x[node, 24] = limited(twos[4 * nodes + node])
        x[node, 25] = limited(twos[5 * nodes + node])
        x[node, 26] = limited(F32(shares[node]))


@compiled
def write_edges(
    nodes: int,
    edges: int,
    window: int,
    e: Ints,
    twos: Floats,
    edge_gaps: Doubles,
    logarithms: Doubles,
    there: NDArray[np.bool_],
    index: NDArray[np.int16],
    attr: Floats,
) -> None:
    """Write the (edges, K) features of edges, in the order of `EDGE_FEATURES`, and their ends.

    Args:
        nodes: How many nodes, and ``edges`` edges.
        window: W.
        e: Numbers of edges.
        twos: Logarithms; see `prepare_logarithms`.
        edge_gaps: (2, edges) mean and standard deviation of steps; ``logarithms`` theirs.
        there: (at least nodes * nodes,) all false; it is so again at the end.
        index: (2, edges) ends; ``attr``, (edges, K), features.
    """
    step, per_step = F64(F32(1 / window)), F32(1 / (window - 1))
    for edge in range(edges):
        there[e[SOURCE, edge] * nodes + e[TARGET, edge]] = True
    for edge in range(edges):
        source, target = e[SOURCE, edge], e[TARGET, edge]
        index[0, edge], index[1, edge] = source, target
        after = e[BEGIN, edge + 1] if edge + 1 < edges else window - 1
        mean, spread = edge_gaps[0, edge], edge_gaps[1, edge]
        early, late = e[EARLY, edge], e[LATE, edge]
        out = twos[8 * nodes + edges + source]
        into = twos[8 * nodes + edges + target]
        attr[edge, 0] = twos[8 * nodes + edge]
        attr[edge, 1] = F32(after - e[BEGIN, edge]) * per_step
        attr[edge, 2] = F32(logarithms[0, edge])
        attr[edge, 3] = F32(logarithms[1, edge])
        attr[edge, 4] = F32(1.0 - spread / max(mean + spread, 1e-9))
        attr[edge, 5] = F32(F64(early) * step)
        attr[edge, 6] = F32(F64(late) * step)
        attr[edge, 7] = F32(F64(late - early) * step)
        attr[edge, 8] = F32(there[target * nodes + source])
        attr[edge, 9] = out + into
        attr[edge, 10] = out - into
    for edge in range(edges):
        there[e[SOURCE, edge] * nodes + e[TARGET, edge]] = False
