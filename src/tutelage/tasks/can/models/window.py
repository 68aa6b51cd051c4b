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

    Edges that were given from a node to itself are counted as if they came to a node of their own,
    number N, of which nothing is used.

    Args:
        source: (M,) int64.
        target: (M,) int64.
        counted: (M,) int64, the target, or N.
        by_head: (M, heads) int64, the same for each head.
        features: (M, K) scaled; null where attention does not see them.
        zero: (N + 1, heads * channels), zeros.
        lowest: (N + 1, heads), -inf.
    """

    source: Tensor
    target: Tensor
    counted: Tensor
    by_head: Tensor
    features: Tensor | None
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
        """Return each layer's output (N + 1, heads * channels), after the activation.

        The last row of each stands for nothing.

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
        first = self.layers[0]
        assert isinstance(first, _WindowLayer)
        heads, width = first.repeat.shape
        count = h.shape[0]
        number = torch.arange(count, device=h.device)
        source, target = edge_index[0], edge_index[1]
        comes = torch.where(source == target, count, target)
        if features is not None:
            into = (comes == number[:, None]).to(features.dtype)
            mean = into @ features / into.sum(dim=1, keepdim=True).clamp(min=1)
            features = torch.cat([features, mean])
        counted = torch.cat([comes, number])
        return _Edges(
            source=torch.cat([source, number]),
            target=torch.cat([target, number]),
            counted=counted,
            by_head=counted[:, None].expand(-1, heads),
            features=features,
            zero=h.new_zeros(count + 1, width),
            lowest=h.new_full((count + 1, heads), -torch.inf),
        )


class _WindowLayer(nn.Module):
    """A trained GATv2 layer and its activation, for `_Edges`.

    Its bias is added to what is averaged, since weights sum to 1. A head's sum over its channels,
    and its repetition over them, are products with a matrix.
    """

    of_source: Tensor
    source_bias: Tensor
    of_target: Tensor
    target_bias: Tensor
    of_features: Tensor | None
    weigh: Tensor
    repeat: Tensor

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        assert isinstance(layer, GATv2Conv) and isinstance(layer.bias, Tensor)
        self.slope = layer.negative_slope
        shift, edge = layer.bias.detach(), layer.lin_edge
        self.register_buffer("of_source", layer.lin_l.weight.detach())
        self.register_buffer("source_bias", layer.lin_l.bias.detach() + shift)
        self.register_buffer("of_target", layer.lin_r.weight.detach())
        self.register_buffer("target_bias", layer.lin_r.bias.detach() - shift)
        self.register_buffer("of_features", None if edge is None else edge.weight.detach().T)
        _, heads, channels = layer.att.shape
        repeat = torch.eye(heads).repeat_interleave(channels, dim=1)
        self.register_buffer("weigh", repeat.T * layer.att.detach().reshape(-1, 1))
        self.register_buffer("repeat", repeat)

    def forward(self, h: Tensor, edges: _Edges) -> Tensor:
        """Return (N + 1, heads * channels) of h (N or N + 1, C)."""
        value = _rows(F.linear(h, self.of_source, self.source_bias), edges.source)
        pair = value + _rows(F.linear(h, self.of_target, self.target_bias), edges.target)
        if self.of_features is not None and edges.features is not None:
            pair = pair + edges.features @ self.of_features
        logits = F.leaky_relu(pair, self.slope) @ self.weigh
        top = edges.lowest.scatter_reduce(0, edges.by_head, logits, "amax")
        weight = (logits - _rows(top, edges.counted)).exp() @ self.repeat
        place = (edges.counted,)
        total = edges.zero.index_put(place, weight * value, accumulate=True)
        return _elu(total / edges.zero.index_put(place, weight, accumulate=True))


def _elu(x: Tensor) -> Tensor:
    """Return ELU of x, in steps that onnxruntime has in vectors, in half of the time of its Elu."""
    return torch.maximum(x, x.clamp(max=0).exp() - 1)


def _rows(table: Tensor, number: Tensor) -> Tensor:
    """Return rows of a table, by a function that becomes a single step of ONNX."""
    return F.embedding(number, table)


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
        h = self.join(self.attention(self.input(x, id_index), edge_index, edges))[:-1]
        features = torch.cat([h.mean(dim=0, keepdim=True), h.amax(dim=0, keepdim=True)], dim=1)
        logits: Tensor = self.head(features)
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
        h = self.attention(self.input(x, id_index), edge_index, edges)[-1][:-1]
        decoded = self.decoder(self.encode(h).chunk(2, dim=1)[0])
        error: Tensor = (self.features(decoded) - self.input.scale_nodes(x)).square().mean(dim=1)
        log_odds = self.identity(decoded).log_softmax(dim=1)
        error = error - self.id_weight * log_odds.gather(1, id_index[:, None])[:, 0]
        return error.amax(dim=0, keepdim=True)
