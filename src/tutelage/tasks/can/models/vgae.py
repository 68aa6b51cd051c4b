"""`VGAE`: a variational autoencoder of the nodes of a window's graph."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.tasks.can.config import VGAEConfig
from tutelage.tasks.can.graphs import NODE_FEATURES
from tutelage.tasks.can.models.attention import attention_layers
from tutelage.tasks.can.models.nodes import NodeInput


class Reconstruction(NamedTuple):
    """What came out, and the parts of its error for each node, each (N,)."""

    feature_error: Tensor
    id_error: Tensor
    divergence: Tensor


class VGAE(nn.Module):
    """Attention encoder to a normal code for each node; perceptrons decode features and id.

    Kipf & Welling 2016 (https://arxiv.org/abs/1611.07308) for the variational graph code; features
    and id are reconstructed instead of the adjacency.

    Args:
        config: Sizes.
        num_ids: V, ids of the vocabulary.
    """

    def __init__(self, config: VGAEConfig, num_ids: int) -> None:
        super().__init__()
        self.input = NodeInput(num_ids, config.id_embedding)
        self.dropout = config.dropout
        width = config.hidden * config.heads
        self.encoder = attention_layers(config, self.input.channels)
        self.code = nn.Linear(width, 2 * config.latent)
        self.decoder = nn.Sequential(nn.Linear(config.latent, width), nn.ELU())
        self.features = nn.Linear(width, len(NODE_FEATURES))
        self.identity = nn.Linear(width, num_ids + 1)

    def forward(
        self, x: Tensor, id_index: Tensor, edge_index: Tensor, edge_attr: Tensor
    ) -> Reconstruction:
        """Encode and decode; the code is sampled in training, its mean otherwise.

        See `GraphBatch` for the arguments.
        """
        h = self.input(x, id_index)
        edges = self.input.scale_edges(edge_attr)
        for layer in self.encoder:
            h = F.dropout(F.elu(layer(h, edge_index, edges)), self.dropout, self.training)
        mean, log_variance = self.code(h).chunk(2, dim=1)
        log_variance = log_variance.clamp(-10, 10)
        z = mean
        if self.training:
            z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        decoded = self.decoder(z)
        error = (self.features(decoded) - self.input.scale_nodes(x)).square().mean(dim=1)
        id_error = F.cross_entropy(self.identity(decoded), id_index, reduction="none")
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean(dim=1)
        return Reconstruction(error, id_error, divergence)
