"""The compiled steps of `CompiledScorer`: one graph through scaling, attention and readout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F32 = np.float32
Function = TypeVar("Function", bound=Callable[..., Any])
Floats = NDArray[np.float32]

_FREE = {"contract", "reassoc", "nsz"}


def compiled(function: Function) -> Function:
    """Let numba compile a function, with leave to fuse and reorder sums."""
    return cast(Function, numba.njit(nogil=True, fastmath=_FREE)(function))


@compiled
def scale(values: Floats, mean: Floats, std: Floats, limit: float, out: Floats) -> None:
    """Write values (N, F) scaled, within ± limit deviations, into the first columns of out."""
    bound = F32(limit)
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            scaled = (values[row, column] - mean[column]) / std[column]
            out[row, column] = min(max(scaled, -bound), bound)


@compiled
def describe_nodes(
    values: Floats,
    mean: Floats,
    std: Floats,
    limit: float,
    embedding: Floats,
    tokens: NDArray[np.int32],
    out: Floats,
) -> None:
    """Write values (N, F) scaled, as `scale` does, and after them the embeddings of their ids.

    Args:
        values: (N, F) features, with the ``mean`` and ``std`` (F,) and ``limit`` of their scaler.
        embedding: (tokens, K).
        tokens: (N,) rows of it.
        out: (N, F + K).
    """
    scale(values, mean, std, limit, out)
    for node in range(len(tokens)):
        out[node, values.shape[1] :] = embedding[tokens[node]]


@compiled
def describe_edges(
    values: Floats,
    mean: Floats,
    std: Floats,
    limit: float,
    index: NDArray[np.int16],
    nodes: int,
    count: Floats,
    out: Floats,
) -> None:
    """Write values (E, K) scaled, and after them those of edges from nodes to themselves.

    Such an edge's are the mean of those that come from other nodes.

    Args:
        values: (E, K) features, with the ``mean`` and ``std`` (K,) and ``limit`` of their scaler.
        index: (2, E) ends of the edges.
        nodes: N.
        count: (at least N,) room to count in.
        out: (E + N, K).
    """
    given = index.shape[1]
    scale(values, mean, std, limit, out)
    out[given:] = 0
    count[:nodes] = 0
    for edge in range(given):
        target = index[1, edge]
        if index[0, edge] != target:
            count[target] += F32(1)
            for k in range(out.shape[1]):
                out[given + target, k] += out[edge, k]
    for node in range(nodes):
        if count[node] > F32(1):
            for k in range(out.shape[1]):
                out[given + node, k] /= count[node]


@compiled
def end_of(index: NDArray[np.int16], row: int, edge: int) -> int:
    """Return an end of an edge, source (row 0) or target; nodes' own edges follow those given."""
    given = index.shape[1]
    return int(index[row, edge]) if edge < given else edge - given


@compiled
def weigh(
    index: NDArray[np.int16],
    nodes: int,
    both: Floats,
    added: Floats,
    at: int,
    bias: Floats,
    att: Floats,
    slope: float,
    weighted: Floats,
    logits: Floats,
    top: Floats,
) -> None:
    """Write the logits of attention, and the largest that come to each node.

    Args:
        index: (2, E) ends of the edges given; edges to themselves do not count.
        nodes: N.
        both: (N, 2 C) what sources give, then what targets add.
        added: (E + N, at least ``at`` + C) what features of edges, and of each node's own edge,
            add, from column ``at`` on.
        bias: (C,) what is always added.
        att: (C,) weights of attention, one head's after the other's.
        slope: Of the leaky rectifier, below 1.
        weighted: (C,) room.
        logits: (at least E + N, H); ``top``, (at least N, H).
    """
    heads, width, given, steep = logits.shape[1], len(att), index.shape[1], F32(slope)
    channels = width // heads
    top[:nodes] = F32(-np.inf)
    for edge in range(given + nodes):
        source, target = end_of(index, 0, edge), end_of(index, 1, edge)
        if edge < given and source == target:
            continue
        value, more, third = both[source], both[target, width:], added[edge, at : at + width]
        for c in range(width):
            pair = value[c] + more[c] + third[c] + bias[c]
            weighted[c] = att[c] * max(pair, steep * pair)
        for head in range(heads):
            found = F32(0)
            for c in range(head * channels, (head + 1) * channels):
                found += weighted[c]
            logits[edge, head] = found
            top[target, head] = max(top[target, head], found)


@compiled
def gather(
    index: NDArray[np.int16],
    nodes: int,
    both: Floats,
    bias: Floats,
    logits: Floats,
    top: Floats,
    total: Floats,
    out: Floats,
) -> None:
    """Write (N, C) what each node takes of its sources, by the softmax of the logits; see `weigh`.

    ``bias`` (C,) is added; ``total`` (at least N, H) is room.
    """
    heads, given = logits.shape[1], index.shape[1]
    channels = out.shape[1] // heads
    total[:nodes], out[:] = F32(0), F32(0)
    for edge in range(given + nodes):
        source, target = end_of(index, 0, edge), end_of(index, 1, edge)
        if edge < given and source == target:
            continue
        for head in range(heads):
            start = head * channels
            share = np.exp(F32(logits[edge, head] - top[target, head]))
            total[target, head] += share
            value, gathered = both[source, start : start + channels], out[target, start:]
            for c in range(channels):
                gathered[c] += share * value[c]
    for node in range(nodes):
        for head in range(heads):
            share, start = F32(1) / total[node, head], head * channels
            gathered, shift = out[node, start:], bias[start : start + channels]
            for c in range(channels):
                gathered[c] = gathered[c] * share + shift[c]


@compiled
def attend(
    index: NDArray[np.int16],
    nodes: int,
    both: Floats,
    added: Floats,
    at: int,
    pair_bias: Floats,
    att: Floats,
    slope: float,
    bias: Floats,
    room: tuple[Floats, Floats, Floats, Floats],
    out: Floats,
    below: Floats,
) -> None:
    """Write (N, C) what one layer gives, and of it what is below 0, else 0.

    ``room`` is (C,), then what `weigh` and `gather` call ``logits``, ``top`` and ``total``; see
    them for the rest.
    """
    weighted, logits, top, total = room
    weigh(index, nodes, both, added, at, pair_bias, att, slope, weighted, logits, top)
    gather(index, nodes, both, bias, logits, top, total, out)
    for node in range(nodes):
        for c in range(out.shape[1]):
            below[node, c] = min(out[node, c], F32(0))


@compiled
def activate_and_pool(x: Floats, power: Floats, at: int, pooled: Floats) -> None:
    """Make x (N, C) its ELU, given exp(x) where x is below 0; pool it into (1, 2 C layers).

    The mean stands from column ``at`` on, and the largest values half-way after.
    """
    rows, width = x.shape
    half = pooled.shape[1] // 2 + at
    mean, most = pooled[0, at : at + width], pooled[0, half : half + width]
    mean[:], most[:] = F32(0), F32(-np.inf)
    for row in range(rows):
        for c in range(width):
            value = x[row, c]
            x[row, c] = value if value > F32(0) else power[row, c] - F32(1)
        for c in range(width):
            mean[c] += x[row, c]
        for c in range(width):
            most[c] = x[row, c] if x[row, c] > most[c] else most[c]
    for c in range(width):
        mean[c] /= F32(rows)


@compiled
def read_out(hidden: Floats, bias: Floats, weight: Floats, last: float) -> float:
    """Return the probability of an attack, given (1, C) of the head's first product."""
    logit = F32(last)
    for c in range(hidden.shape[1]):
        value = hidden[0, c] + bias[c]
        logit += weight[c] * (value if value > F32(0) else np.exp(value) - F32(1))
    return float(1.0 / (1.0 + np.exp(-np.float64(logit))))
