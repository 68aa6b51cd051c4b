"""`GATWithJK`: graph attention over the ids of a window, with jumping knowledge."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import JumpingKnowledge, global_max_pool, global_mean_pool

from tutelage.tasks.can.config import GATConfig
from tutelage.tasks.can.models.attention import attention_layers
from tutelage.tasks.can.models.nodes import NodeInput


class GATOutput(NamedTuple):
    """What the network says of B graphs.

    Args:
        logits: (B, num_classes).
        features: (B, F), the pooled features that the logits are made from.
    """

    logits: Tensor
    features: Tensor


class GATWithJK(nn.Module):
    """Attention layers (Brody et al. 2022) whose outputs are joined (Xu et al. 2018) and pooled.

    Papers: https://arxiv.org/abs/2105.14491, https://arxiv.org/abs/1806.03536.

    Args:
        config: Sizes.
        num_ids: Ids of the vocabulary.
        num_classes: Width of the output.

    ``feature_width`` is F, the number of pooled features of a graph.
    """

    def __init__(self, config: GATConfig, num_ids: int, num_classes: int = 2) -> None:
        super().__init__()
        self.input = NodeInput(
            num_ids, config.id_embedding, config.id_dropout, config.vehicle_dropout
        )
        self.edge_features = config.edge_features
        self.dropout = config.dropout
        width = config.hidden * config.heads
        self.layers = attention_layers(config, self.input.channels, config.edge_features)
        self.join = JumpingKnowledge(config.jumping_knowledge, width, config.layers)
        joined = width * config.layers if config.jumping_knowledge == "cat" else width
        self.feature_width = 2 * joined
        self.head = nn.Sequential(
            nn.Linear(self.feature_width, width), nn.ELU(), nn.Linear(width, num_classes)
        )

    def forward(
        self,
        x: Tensor,
        id_index: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor,
        batch: Tensor,
        num_graphs: int,
    ) -> GATOutput:
        """Return logits and features of B graphs; see `GraphBatch` for the arguments."""
        x, id_index = self.input.forget_vehicles(x, id_index, batch, num_graphs)
        h = self.input(x, id_index)
        edges = self.input.scale_edges(edge_attr) if self.edge_features else None
        outputs = []
        for layer in self.layers:
            h = F.elu(layer(h, edge_index, edges))
            h = F.dropout(h, self.dropout, self.training)
            outputs.append(h)
        h = self.join(outputs)
        pooled = [global_mean_pool(h, batch, num_graphs), global_max_pool(h, batch, num_graphs)]
        features = torch.cat(pooled, dim=1)
        return GATOutput(self.head(features), features)
