"""What an expert says of each window, as columns: its score, its margin, and their parts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.utils import scatter

from tutelage.tasks.can.graph_batch import GraphBatch
from tutelage.tasks.can.modules import BaseCANGraphModule, GATModule, VGAEModule

_TINY = 1e-6
_ANY = ("score", "margin")
_CLASSIFIER = (*_ANY, "entropy")
_AUTOENCODER = (
    *_ANY,
    "feature_error_max",
    "feature_error_mean",
    "id_error_max",
    "id_error_mean",
    "divergence_mean",
)


def output_columns(module: BaseCANGraphModule) -> tuple[str, ...]:
    """Names of the columns of `outputs`; the first two are the same for every expert.

    ``score`` is the expert's own and ``margin`` how far above its threshold that is: in logits for
    a classifier, in logarithms for an autoencoder. ``entropy`` is that of the classifier's
    probability, in nats. The autoencoder's errors are those of its worst node and the mean.
    """
    if isinstance(module, GATModule):
        return _CLASSIFIER
    return _AUTOENCODER if isinstance(module, VGAEModule) else _ANY


def outputs(module: BaseCANGraphModule, batch: GraphBatch) -> Tensor:
    """Return (B, C) float32, the columns of `output_columns` for each window."""
    if isinstance(module, GATModule):
        return _classifier(module, batch)
    if isinstance(module, VGAEModule):
        return _autoencoder(module, batch)
    score = module.scores(batch)
    return torch.stack([score, score - module.threshold], dim=1).float()


def _classifier(module: GATModule, batch: GraphBatch) -> Tensor:
    logits = module.logits(batch)
    score = logits.softmax(dim=1)[:, 1]
    threshold = module.threshold.double().clamp(_TINY, 1 - _TINY)
    margin = (logits[:, 1] - logits[:, 0]).double() - torch.logit(threshold)
    log_p = logits.log_softmax(dim=1)
    entropy = -(log_p.exp() * log_p).sum(dim=1)
    return torch.stack([score, margin.float(), entropy], dim=1).float()


def _autoencoder(module: VGAEModule, batch: GraphBatch) -> Tensor:
    parts = module.network(batch.x, batch.id_index, batch.edge_index, batch.edge_attr)
    error = parts.feature_error + module.id_weight * parts.id_error
    score = _each_window(error, batch, "max")
    margin = score.clamp(min=_TINY).log() - module.threshold.clamp(min=_TINY).log()
    columns = [
        score,
        margin,
        _each_window(parts.feature_error, batch, "max"),
        _each_window(parts.feature_error, batch, "mean"),
        _each_window(parts.id_error, batch, "max"),
        _each_window(parts.id_error, batch, "mean"),
        _each_window(parts.divergence, batch, "mean"),
    ]
    return torch.stack(columns, dim=1).float()


def _each_window(of_nodes: Tensor, batch: GraphBatch, how: str) -> Tensor:
    reduced: Tensor = scatter(of_nodes, batch.batch, 0, batch.num_graphs, reduce=how)
    return reduced
