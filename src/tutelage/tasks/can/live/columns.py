"""The compiled columns of `LoneWindow`: the features of its nodes and edges, each in its place.

As in `kernels`, each operation is of the type and in the order of `graph_nodes` and `graph_edges`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.capture_index import SETTLED, SHORTEST_GAP
from tutelage.tasks.can.graph_nodes import RATIO_LIMIT, USUAL_GAP
from tutelage.tasks.can.live.kernels import (
    BEGIN,
    BYTES,
    CHANGES,
    DEGREE,
    DLC,
    EARLY,
    F32,
    F64,
    FIRST,
    HAMMING,
    HEAD,
    LAST,
    LATE,
    LONG,
    SEEN,
    SHORT,
    SHORT_TWO,
    SILENT,
    SOURCE,
    TAIL,
    TARGET,
    Doubles,
    Floats,
    Ints,
    compiled,
)

KNOWN, SPREAD, PER_COUNT, EXPECTED, FREQUENCY = range(5)
"""Rows of what is known of each token."""

_LIMIT, _PER_USUAL = F32(RATIO_LIMIT), F32(1 / USUAL_GAP)
_ONE, _HALF, _EIGHT, _FULL, _SIXTY_FOURTH = F32(1), F32(0.5), F32(8), F32(255), F32(1 / 64)


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
        for byte in range(BYTES):
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
