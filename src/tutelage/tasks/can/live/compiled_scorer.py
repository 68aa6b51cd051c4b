"""`CompiledScorer`: a trained GAT that scores one window at a time, compiled by numba."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch_geometric.nn import GATv2Conv

from tutelage.core.errors import ConfigError
from tutelage.tasks.can.graphs import MAX_WINDOW, Graphs, cut_graphs
from tutelage.tasks.can.live import network
from tutelage.tasks.can.models import GATWithJK
from tutelage.tasks.can.models.nodes import NodeInput
from tutelage.tasks.can.modules import BaseCANGraphModule

Floats = NDArray[np.float32]
_ZERO = np.float32(0)
_ALONE, _VECTOR = 1 << 18, 16
"""Products beyond which OpenBLAS takes more threads; columns that fill a vector."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """Weights of one attention layer, for `network.weigh` and `network.gather`."""

    both: Floats
    pair_bias: Floats
    bias: Floats
    of_features: Floats
    att: Floats
    heads: int
    slope: float

    @classmethod
    def of(cls, layer: nn.Module) -> _Layer:
        """Take them from a trained layer."""
        assert isinstance(layer, GATv2Conv) and isinstance(layer.bias, Tensor)
        given, adds = layer.lin_l.bias.detach(), layer.lin_r.bias.detach()
        both = [layer.lin_l.weight.detach().T, layer.lin_r.weight.detach().T]
        edge = layer.lin_edge
        heads, channels = layer.att.shape[1:]
        none = np.zeros((0, heads * channels), np.float32)
        return cls(
            np.concatenate([_array(w) for w in both], axis=1),
            _array(given + adds),
            _array(given + layer.bias.detach()),
            none if edge is None else _array(edge.weight.T),
            _array(layer.att.flatten()),
            heads,
            float(layer.negative_slope),
        )


class CompiledScorer:
    """Scores windows one after the other on one thread, by a few compiled steps.

    The scores are those of the network but for the order of sums. Compiling takes seconds.

    Args:
        module: A trained GAT whose layers' outputs are laid side by side (``jumping_knowledge:
            cat``, the default).

    Raises:
        ConfigError: It is another model.
    """

    def __init__(self, module: BaseCANGraphModule) -> None:
        net = module.network
        if not isinstance(net, GATWithJK) or net.join.mode != "cat":
            raise ConfigError(
                "only a gat with model.jumping_knowledge=cat can be compiled",
                hint="Use --engine onnx.",
            )
        self.threshold = np.float32(module.threshold.item())
        self._input = net.input
        self._embedding = _array(net.input.ids.weight)
        self._node = _array(net.input.node_mean), _array(net.input.node_std)
        self._edge = _array(net.input.edge_mean), _array(net.input.edge_std)
        self._edges_seen = net.edge_features
        self._features, embedded = len(self._node[0]), self._embedding.shape[1]
        self._inputs = self._features + embedded
        self._layers = [_Layer.of(layer) for layer in net.layers]
        self._width = self._layers[0].att.size
        self._of_features = np.concatenate([layer.of_features for layer in self._layers], axis=1)
        first, last = net.head[0], net.head[2]
        assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
        self._pooled = np.zeros((1, net.feature_width), np.float32)
        self._head = _array(first.weight.T), _array(first.bias)
        self._last = _array(last.weight[1] - last.weight[0]), (last.bias[1] - last.bias[0]).item()
        heads, room = self._layers[0].heads, 2 * MAX_WINDOW
        self._logits = np.empty((room, heads), np.float32)
        self._top, self._total = np.empty((2, room, heads), np.float32)
        self._count, self._weighted = np.empty(room, np.float32), np.empty(self._width, np.float32)

    def scores(self, graphs: Graphs) -> Floats:
        """Return (G,) the score of each window, one after the other."""
        if len(graphs) == 1:
            return np.array([self._score(graphs)], np.float32)
        each = (cut_graphs(graphs, at, at + 1) for at in range(len(graphs)))
        return np.array([self._score(graph) for graph in each], np.float32)

    def _score(self, graph: Graphs) -> float:
        nodes, index = len(graph.x), np.ascontiguousarray(graph.edge_index)
        h = np.empty((nodes, self._inputs), np.float32)
        network.scale(graph.x, *self._node, NodeInput.LIMIT, h)
        h[:, self._features :] = self._embedding.take(graph.id_index, axis=0)
        added, width = self._added(graph, index, nodes), self._width
        logits, top = self._logits, self._top
        for number, layer in enumerate(self._layers):
            both = multiply(h, layer.both)
            h, at = np.empty((nodes, width), np.float32), number * width
            edges = added, at, layer.pair_bias, layer.att, layer.slope, self._weighted
            network.weigh(index, nodes, both, *edges, logits, top)
            network.gather(index, nodes, both, layer.bias, logits, top, self._total, h)
            network.activate(h, np.exp(np.minimum(h, _ZERO)))
            network.pool(h, at, self._pooled)
        weight, bias = self._head
        hidden = multiply(self._pooled, weight)
        hidden += bias
        network.activate(hidden, np.exp(np.minimum(hidden, _ZERO)))
        weight, last = self._last
        return 1.0 / (1.0 + math.exp(-(float(hidden[0] @ weight) + last)))

    def _added(self, graph: Graphs, index: NDArray[np.int16], nodes: int) -> Floats:
        """Return (E + N, layers * C) what edges' features add in each layer; 0 if unseen."""
        if not self._edges_seen:
            shape = len(graph.edge_attr) + nodes, len(self._layers) * self._width
            return np.zeros(shape, np.float32)
        features = np.empty((len(graph.edge_attr) + nodes, graph.edge_attr.shape[1]), np.float32)
        network.scale(graph.edge_attr, *self._edge, NodeInput.LIMIT, features)
        network.own_edges(index, nodes, features, self._count)
        return multiply(features, self._of_features)


def multiply(a: Floats, b: Floats) -> Floats:
    """Return a (N, K) times b (K, C), in parts so small that BLAS takes one thread."""
    rows, inner = a.shape
    columns = max(_VECTOR, _ALONE // (rows * inner) // _VECTOR * _VECTOR)
    if columns >= b.shape[1]:
        return a @ b
    out = np.empty((rows, b.shape[1]), np.float32)
    for start in range(0, b.shape[1], columns):
        part = slice(start, start + columns)
        np.matmul(a, b[:, part], out=out[:, part])
    return out


def _array(tensor: Tensor) -> Floats:
    found: Floats = np.ascontiguousarray(tensor.detach().cpu().numpy(), np.float32)
    return found
