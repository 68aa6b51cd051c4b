"""The stack of attention layers that every CAN network has."""

from __future__ import annotations

from torch import nn
from torch_geometric.nn import GATv2Conv

from tutelage.tasks.can.config import GATConfig, VGAEConfig
from tutelage.tasks.can.graphs import EDGE_FEATURES


def attention_layers(
    config: GATConfig | VGAEConfig, channels: int, edge_features: bool = True
) -> nn.ModuleList:
    """Return `config.layers` GATv2 layers (Brody et al. 2022), the first of ``channels`` inputs."""
    width = config.hidden * config.heads
    return nn.ModuleList(
        GATv2Conv(
            channels if i == 0 else width,
            config.hidden,
            heads=config.heads,
            edge_dim=len(EDGE_FEATURES) if edge_features else None,
        )
        for i in range(config.layers)
    )
