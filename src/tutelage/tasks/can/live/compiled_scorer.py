"""`CompiledScorer`: a trained GAT that scores one window at a time, compiled by numba."""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class _Layer:
    """Weights of one attention layer, for `network.attend`."""

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
    """Scores windows one after the other, by a few compiled steps and products of BLAS.

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
        logits = np.empty((room, heads), np.float32)
        top, total = np.empty((2, room, heads), np.float32)
        self._room = np.empty(self._width, np.float32), logits, top, total
        self._count = np.empty(room, np.float32)

    def scores(self, graphs: Graphs) -> Floats:
        """Return (G,) the score of each window, one after the other."""
        if len(graphs) == 1:
            return np.array([self._score(graphs)], np.float32)
        each = (cut_graphs(graphs, at, at + 1) for at in range(len(graphs)))
        return np.array([self._score(graph) for graph in each], np.float32)

    def _score(self, graph: Graphs) -> float:
        nodes, index = len(graph.x), np.ascontiguousarray(graph.edge_index)
        limit, width = NodeInput.LIMIT, self._width
        h = np.empty((nodes, self._inputs), np.float32)
        network.describe_nodes(graph.x, *self._node, limit, self._embedding, graph.id_index, h)
        added = self._added(graph, index, nodes)
        power = np.empty((nodes, width), np.float32)
        for number, layer in enumerate(self._layers):
            both = h @ layer.both
            h, at = np.empty((nodes, width), np.float32), number * width
            weights = layer.pair_bias, layer.att, layer.slope, layer.bias
            network.attend(index, nodes, both, added, at, *weights, self._room, h, power)
            np.exp(power, out=power)
            network.activate_and_pool(h, power, at, self._pooled)
        weight, bias = self._head
        return network.read_out(self._pooled @ weight, bias, *self._last)

    def _added(self, graph: Graphs, index: NDArray[np.int16], nodes: int) -> Floats:
        """Return (E + N, layers * C) what edges' features add in each layer; 0 if unseen."""
        given, features = graph.edge_attr.shape
        if not self._edges_seen:
            return np.zeros((given + nodes, len(self._layers) * self._width), np.float32)
        scaled, limit = np.empty((given + nodes, features), np.float32), NodeInput.LIMIT
        network.describe_edges(
            graph.edge_attr, *self._edge, limit, index, nodes, self._count, scaled
        )
        added: Floats = scaled @ self._of_features
        return added


def _array(tensor: Tensor) -> Floats:
    found: Floats = np.ascontiguousarray(tensor.detach().cpu().numpy(), np.float32)
    return found
