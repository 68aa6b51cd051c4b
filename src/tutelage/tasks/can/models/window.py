"""Trained networks for one window at a time, in plain PyTorch: the same weights, for inference."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import GATv2Conv

from tutelage.tasks.can.models.gat import GATWithJK
from tutelage.tasks.can.models.nodes import NodeInput
from tutelage.tasks.can.models.vgae import VGAE


@dataclass(frozen=True, slots=True)
class _Edges:
    """The M edges that layers attend over: those given and, last, one from each node to itself.

    Args:
        source: (M,) int64, twice the number of the node.
        target: (M,) int64, twice the number of the node, plus 1.
        node: (M,) int64, the target's number.
        features: (M, K) scaled; null where attention does not see them.
        left_out: (M, 1), -inf for a given edge from a node to itself, else 0.
        zero: (N, heads * channels), zeros.
        lowest: (N, heads), -inf.
    """

    source: Tensor
    target: Tensor
    node: Tensor
    features: Tensor | None
    left_out: Tensor
    zero: Tensor
    lowest: Tensor


class WindowAttention(nn.Module):
    """A stack of `attention_layers` over one graph, in fewer steps than theirs.

    Args:
        layers: The trained layers, of one width.
    """

    def __init__(self, layers: nn.ModuleList) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_WindowLayer(layer) for layer in layers)

    def forward(self, h: Tensor, edge_index: Tensor, features: Tensor | None) -> list[Tensor]:
        """Return each layer's output (N, heads * channels), after the activation.

        Args:
            h: (N, C) nodes.
            edge_index: (2, E) int64.
            features: (E, K) scaled edge features; null where attention does not see them.
        """
        edges = self._edges(h, edge_index, features)
        outputs = []
        for layer in self.layers:
            h = layer(h, edges)
            outputs.append(h)
        return outputs

    def _edges(self, h: Tensor, edge_index: Tensor, features: Tensor | None) -> _Edges:
        """Put, as PyG does, in place of edges from a node to itself one for each node.

        Its features are the mean of those of the edges that come to the node from others.
        """
        count = h.shape[0]
        number = torch.arange(count, device=h.device)
        source, target = edge_index[0], edge_index[1]
        loop = (source == target)[:, None]
        if features is not None:
            kept = torch.where(loop, 0.0, 1.0)
            into = (target,)
            total = h.new_zeros(count, features.shape[1])
            total = total.index_put(into, features * kept, accumulate=True)
            comes = h.new_zeros(count, 1).index_put(into, kept, accumulate=True)
            features = torch.cat([features, total / comes.clamp(min=1)])
        first = self.layers[0]
        assert isinstance(first, _WindowLayer)
        heads, width = first.repeat.shape
        source, target = torch.cat([source, number]), torch.cat([target, number])
        return _Edges(
            source=2 * source,
            target=2 * target + 1,
            node=target,
            features=features,
            left_out=torch.cat([torch.where(loop, -torch.inf, 0.0), h.new_zeros(count, 1)]),
            zero=h.new_zeros(count, width),
            lowest=h.new_full((count, heads), -torch.inf),
        )


class _WindowLayer(nn.Module):
    """A trained GATv2 layer and its activation, for `_Edges`.

    Both of its matrices are one. Its bias is added to what is averaged, since weights sum to 1. A
    head's sum over its channels, and its repetition over them, are products with a matrix.
    """

    weight: Tensor
    bias: Tensor
    of_features: Tensor | None
    weigh: Tensor
    repeat: Tensor

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        assert isinstance(layer, GATv2Conv) and isinstance(layer.bias, Tensor)
        self.slope = layer.negative_slope
        shift, edge = layer.bias.detach(), layer.lin_edge
        weights = [part.weight.detach() for part in (layer.lin_l, layer.lin_r)]
        biases = [layer.lin_l.bias.detach() + shift, layer.lin_r.bias.detach() - shift]
        _, heads, channels = layer.att.shape
        repeat = torch.eye(heads).repeat_interleave(channels, dim=1)
        self.register_buffer("weight", torch.cat(weights))
        self.register_buffer("bias", torch.cat(biases))
        self.register_buffer("of_features", None if edge is None else edge.weight.detach().T)
        self.register_buffer("weigh", repeat.T * layer.att.detach().reshape(-1, 1))
        self.register_buffer("repeat", repeat)

    def forward(self, h: Tensor, edges: _Edges) -> Tensor:
        """Return (N, heads * channels) of h (N, C)."""
        both = F.linear(h, self.weight, self.bias).view(2 * h.shape[0], -1)
        value = both.index_select(0, edges.source)
        pair = value + both.index_select(0, edges.target)
        if self.of_features is not None and edges.features is not None:
            pair = pair + edges.features @ self.of_features
        logits = F.leaky_relu(pair, self.slope) @ self.weigh + edges.left_out
        place = edges.node[:, None].expand(-1, logits.shape[1])
        top = edges.lowest.scatter_reduce(0, place, logits, "amax").index_select(0, edges.node)
        weight = (logits - top).exp() @ self.repeat
        total = edges.zero.index_put((edges.node,), weight * value, accumulate=True)
        found: Tensor = F.elu(total / edges.zero.index_put((edges.node,), weight, accumulate=True))
        return found


class WindowGAT(nn.Module):
    """A trained `GATWithJK` that gives one window its probability of an attack."""

    def __init__(self, network: GATWithJK) -> None:
        super().__init__()
        self.input: NodeInput = network.input
        self.attention = WindowAttention(network.layers)
        self.join, self.head = network.join, network.head
        self.edge_features = network.edge_features

    def forward(self, x: Tensor, id_index: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        """Return the score (1,) of a graph; see `GraphBatch` for the arguments."""
        edges = self.input.scale_edges(edge_attr) if self.edge_features else None
        h = self.join(self.attention(self.input(x, id_index), edge_index, edges))
        features = torch.cat([h.mean(dim=0), h.amax(dim=0)])
        logits: Tensor = self.head(features[None])
        return logits.softmax(dim=1)[:, 1]


class WindowVGAE(nn.Module):
    """A trained `VGAE` that gives one window the error of its worst node.

    Args:
        network: The network.
        id_weight: Weight of the id's cross-entropy in a node's error.
    """

    def __init__(self, network: VGAE, id_weight: float) -> None:
        super().__init__()
        self.input: NodeInput = network.input
        self.attention = WindowAttention(network.encoder)
        # The exporter has a use of its own for the name `code`.
        self.encode, self.decoder = network.code, network.decoder
        self.features, self.identity = network.features, network.identity
        self.id_weight = id_weight

    def forward(self, x: Tensor, id_index: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        """Return the score (1,) of a graph; see `GraphBatch` for the arguments."""
        edges = self.input.scale_edges(edge_attr)
        h = self.attention(self.input(x, id_index), edge_index, edges)[-1]
        decoded = self.decoder(self.encode(h).chunk(2, dim=1)[0])
        error: Tensor = (self.features(decoded) - self.input.scale_nodes(x)).square().mean(dim=1)
        log_odds = self.identity(decoded).log_softmax(dim=1)
        error = error - self.id_weight * log_odds.gather(1, id_index[:, None])[:, 0]
        return error.amax(dim=0, keepdim=True)
