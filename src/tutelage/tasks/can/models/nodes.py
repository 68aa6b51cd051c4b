"""The input of every CAN network: scaled node features beside an embedding of the id."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from tutelage.tasks.can.graphs import EDGE_FEATURES, NODE_FEATURES, PROFILE_FEATURES


class Moments:
    """Mean and standard deviation of columns whose rows come in parts, in double precision."""

    def __init__(self) -> None:
        self._count = 0
        self._parts: list[tuple[int, Tensor, Tensor]] = []

    def add(self, values: Tensor) -> None:
        """Take up rows (n, F), at least one."""
        values = values.double()
        if len(values) == 1:
            std, mean = torch.zeros_like(values[0]), values[0]
        else:
            std, mean = torch.std_mean(values, dim=0)
        self._parts.append((len(values), mean, std))
        self._count += len(values)

    @property
    def mean(self) -> Tensor:
        """(F,) means."""
        if len(self._parts) == 1:
            return self._parts[0][1]
        return torch.stack([mean * (n / self._count) for n, mean, _ in self._parts]).sum(dim=0)

    @property
    def std(self) -> Tensor:
        """(F,) standard deviations of a sample, from those of its parts (Chan et al. 1979)."""
        if len(self._parts) == 1:
            return self._parts[0][2]
        mean = self.mean
        squares = [
            (n - 1) * std.square() + n * (own - mean).square() for n, own, std in self._parts
        ]
        return (torch.stack(squares).sum(dim=0) / (self._count - 1)).sqrt()


class NodeInput(nn.Module):
    """Scales features by their mean and deviation in training, and embeds ids.

    The scaler is saved with the weights, so that a model can't meet differently scaled features.

    Args:
        num_ids: V, ids of the vocabulary; number 0 is added for unknown ones.
        embedding: Size of the id's embedding.
        id_dropout: Share of nodes whose embedding is zeroed in training, so that the network does
            not lean on which id it is alone.
        vehicle_dropout: Share of graphs that look, in training, as those of a vehicle do of which
            nothing is known: no id, and nothing relative to an id's baseline.
    """

    LIMIT = 10.0
    VEHICLE_SHIFT = 1.0
    """Standard deviation, in those of training, of a feature's level from vehicle to vehicle."""
    of_profile: Tensor
    node_mean: Tensor
    node_std: Tensor
    edge_mean: Tensor
    edge_std: Tensor

    def __init__(
        self,
        num_ids: int,
        embedding: int,
        id_dropout: float = 0.0,
        vehicle_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.ids: nn.Embedding = nn.Embedding(num_ids + 1, embedding)
        for kind, names in (("node", NODE_FEATURES), ("edge", EDGE_FEATURES)):
            self.register_buffer(f"{kind}_mean", torch.zeros(len(names)))
            self.register_buffer(f"{kind}_std", torch.ones(len(names)))
        known = torch.tensor([name in PROFILE_FEATURES for name in NODE_FEATURES])
        self.register_buffer("of_profile", known, persistent=False)
        self.id_dropout: float = id_dropout
        self.vehicle_dropout: float = vehicle_dropout
        self.channels: int = len(NODE_FEATURES) + embedding

    def fit(self, parts: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Take mean and deviation of training features, which come in parts.

        A feature that does not vary in training keeps deviation 1.

        Args:
            parts: Features x (N, F) of nodes and edge_attr (E, K) of edges, at least one of each.
        """
        found = Moments(), Moments()
        for values in parts:
            for moments, value in zip(found, values, strict=True):
                moments.add(value)
        for kind, moments in zip(("node", "edge"), found, strict=True):
            std = torch.where(moments.std > 1e-6, moments.std, 1.0)
            getattr(self, f"{kind}_mean").copy_(moments.mean)
            getattr(self, f"{kind}_std").copy_(std)

    def scale_nodes(self, x: Tensor) -> Tensor:
        """Return x (N, F) scaled, within ±`LIMIT` deviations."""
        return ((x - self.node_mean) / self.node_std).clamp(-self.LIMIT, self.LIMIT)

    def scale_edges(self, edge_attr: Tensor) -> Tensor:
        """Return edge_attr (E, K) scaled, within ±`LIMIT` deviations."""
        return ((edge_attr - self.edge_mean) / self.edge_std).clamp(-self.LIMIT, self.LIMIT)

    def forget_vehicles(
        self, x: Tensor, id_index: Tensor, batch: Tensor, num_graphs: int
    ) -> tuple[Tensor, Tensor]:
        """Let some graphs of a training batch look as those of an unknown vehicle do.

        Besides what is relative to baselines, an unknown vehicle's features have other levels: each
        is moved by one draw for the whole graph, so that only contrasts within it can tell.

        Returns:
            x (N, F) and id_index (N,) of these graphs; unchanged ones outside of training.
        """
        if not (self.training and self.vehicle_dropout):
            return x, id_index
        forgotten = torch.rand(num_graphs, device=x.device) < self.vehicle_dropout
        moved = torch.randn(num_graphs, x.shape[1], device=x.device) * forgotten[:, None]
        x = x + moved.index_select(0, batch) * self.node_std * self.VEHICLE_SHIFT
        node = forgotten.index_select(0, batch)
        return x.masked_fill(node[:, None] & self.of_profile, 0.0), id_index.masked_fill(node, 0)

    def forward(self, x: Tensor, id_index: Tensor) -> Tensor:
        """Return (N, `channels`) of x (N, F) and id_index (N,) int64."""
        identity = self.ids(id_index)
        if self.training and self.id_dropout:
            kept = torch.rand(len(identity), 1, device=identity.device) >= self.id_dropout
            identity = identity * kept
        return torch.cat([self.scale_nodes(x), identity], dim=1)
