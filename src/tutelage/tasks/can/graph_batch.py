"""`GraphBatch`: window graphs joined into one disconnected graph, the form that models take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch_geometric.data import Batch


@dataclass(frozen=True, slots=True)
class GraphBatch:
    """B graphs with N nodes and E edges in all, numbered on as PyG's `Batch` does.

    Args:
        x: (N, F) float32 node features.
        id_index: (N,) int64, number of the id in the vocabulary, 0 for unknown.
        edge_index: (2, E) int64, node numbers within the batch.
        edge_attr: (E, K) float32 edge features.
        y: (B,) int64, 1 for an attack, 0 for none, -1 for unlabelled.
        batch: (N,) int64, the graph of each node.
        ptr: (B + 1,) int64, graph i has nodes ptr[i] up to ptr[i + 1].
        window: (B,) int64, place of each graph in its store.
    """

    x: Tensor
    id_index: Tensor
    edge_index: Tensor
    edge_attr: Tensor
    y: Tensor
    batch: Tensor
    ptr: Tensor
    window: Tensor

    @property
    def num_graphs(self) -> int:
        """B, the number of graphs."""
        return len(self.y)

    def _map(self, change: Callable[[Tensor], Tensor]) -> GraphBatch:
        return GraphBatch(**{f.name: change(getattr(self, f.name)) for f in fields(self)})

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> GraphBatch:
        """Return the batch on ``device``; Lightning moves batches through this."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> GraphBatch:
        """Return the batch in page-locked memory, from which copies to a GPU don't block."""
        return self._map(lambda tensor: tensor.pin_memory())

    def to_pyg(self) -> Batch:
        """Return the same tensors as a `torch_geometric.data.Batch`, nothing copied.

        PyG's own batching would take ``id_index`` for node numbers, because of its name, and add
        the graph's first node to it; here it stays the number in the vocabulary.
        """
        from torch_geometric.data import Batch

        result = Batch(**{f.name: getattr(self, f.name) for f in fields(self)})
        result._num_graphs = self.num_graphs
        return result
