"""The input of every CAN network: scaled node features beside an embedding of the id."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tutelage.tasks.can.graphs import EDGE_FEATURES, NODE_FEATURES


class NodeInput(nn.Module):
    """Scales features by their mean and deviation in training, and embeds ids.

    The scaler is saved with the weights, so that a model can't meet differently scaled features.

    Args:
        num_ids: V, ids of the vocabulary; number 0 is added for unknown ones.
        embedding: Size of the id's embedding.
        id_dropout: Share of nodes whose embedding is zeroed in training, so that the network does
            not lean on which id it is alone.
    """

    LIMIT = 10.0
    node_mean: Tensor
    node_std: Tensor
    edge_mean: Tensor
    edge_std: Tensor

    def __init__(self, num_ids: int, embedding: int, id_dropout: float = 0.0) -> None:
        super().__init__()
        self.ids = nn.Embedding(num_ids + 1, embedding)
        for kind, names in (("node", NODE_FEATURES), ("edge", EDGE_FEATURES)):
            self.register_buffer(f"{kind}_mean", torch.zeros(len(names)))
            self.register_buffer(f"{kind}_std", torch.ones(len(names)))
        self.id_dropout = id_dropout
        self.channels = len(NODE_FEATURES) + embedding

    def fit(self, x: Tensor, edge_attr: Tensor) -> None:
        """Take mean and deviation of training features x (N, F) and edge_attr (E, K).

        A feature that does not vary in training keeps deviation 1.
        """
        for kind, values in (("node", x), ("edge", edge_attr)):
            std, mean = torch.std_mean(values.double(), dim=0)
            std = torch.where(std > 1e-6, std, 1.0)
            getattr(self, f"{kind}_mean").copy_(mean)
            getattr(self, f"{kind}_std").copy_(std)

    def scale_nodes(self, x: Tensor) -> Tensor:
        """Return x (N, F) scaled, within ±`LIMIT` deviations."""
        return ((x - self.node_mean) / self.node_std).clamp(-self.LIMIT, self.LIMIT)

    def scale_edges(self, edge_attr: Tensor) -> Tensor:
        """Return edge_attr (E, K) scaled, within ±`LIMIT` deviations."""
        return ((edge_attr - self.edge_mean) / self.edge_std).clamp(-self.LIMIT, self.LIMIT)

    def forward(self, x: Tensor, id_index: Tensor) -> Tensor:
        """Return (N, `channels`) of x (N, F) and id_index (N,) int64."""
        identity = self.ids(id_index)
        if self.training and self.id_dropout:
            kept = torch.rand(len(identity), 1, device=identity.device) >= self.id_dropout
            identity = identity * kept
        return torch.cat([self.scale_nodes(x), identity], dim=1)
