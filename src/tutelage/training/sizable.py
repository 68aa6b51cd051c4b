"""Batches of any size on request: what the batch-size optimiser asks of data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from tutelage.core.errors import DataError

Item = TypeVar("Item")
ItemIn = TypeVar("ItemIn", covariant=True)
_MOST_ITEMS_COSTED = 10_000
TYPICAL_DRAWS = 3
"""How many different typical batches of a size are timed in turn."""


@runtime_checkable
class SizableData(Protocol):
    """Data that can make a training batch of any size: the worst case, and typical ones.

    Memory is measured on the worst case, time on typical batches: the most expensive samples fill
    a small batch but not a large one, so that their time would tell nothing of training's. Both
    are made in a child process, so they may draw random numbers and read files freely.
    """

    @property
    def train_size(self) -> int:
        """How many training samples there are."""

    def batch_of_size(self, size: int) -> object:
        """Return the most expensive batch of ``size`` samples, as ``training_step`` takes it."""

    def typical_batch_of_size(self, size: int, draw: int) -> object:
        """Return a batch of ``size`` samples as training sees them, the same for the same draw.

        Args:
            size: Samples in the batch.
            draw: Which batch, from 0 to `TYPICAL_DRAWS` - 1.
        """


@runtime_checkable
class SizableGraphs(SizableData, Protocol):
    """Graphs: a batch costs its nodes and edges, so sizes are also told as a node + edge budget."""

    def cost_of_size(self, size: int) -> int:
        """Return nodes + edges of ``batch_of_size(size)``."""


class MapDataset(Protocol[ItemIn]):
    """A data set with a length and an index, as `torch.utils.data.Dataset` in map style."""

    def __len__(self) -> int:
        """How many items there are."""

    def __getitem__(self, index: int, /) -> ItemIn:
        """Return one item."""


class HasGraphSize(Protocol):
    """What a graph tells of its size, as `torch_geometric.data.Data` does."""

    @property
    def num_nodes(self) -> int | None:
        """How many nodes the graph has."""

    @property
    def num_edges(self) -> int:
        """How many edges the graph has."""


def graph_cost(graph: HasGraphSize) -> int:
    """Return nodes + edges of one graph."""
    return int(graph.num_nodes or 0) + int(graph.num_edges)


def typical_positions(count: int, size: int, draw: int) -> npt.NDArray[np.int64]:
    """Return where a typical batch takes its samples from a training set in order of cost.

    The positions lie evenly over the set, so that a batch of any size has nearly the set's mean
    cost (systematic sampling; a random draw of 2 x 8 graphs can be twice as expensive as another).
    Draws differ by a part of a stride, and their order is shuffled by a generator of their own.

    Args:
        count: Items of the set.
        size: Samples in the batch.
        draw: Which batch, from 0 to `TYPICAL_DRAWS` - 1.

    Returns:
        (size,) positions from 0 to ``count`` - 1; items repeat where ``size`` exceeds ``count``.
    """
    offset = (draw + 0.5) / TYPICAL_DRAWS
    positions = ((np.arange(size) + offset) / size * count).astype(np.int64)
    return np.random.default_rng(draw).permutation(positions)


class SampledBatches:
    """Batches of a data set whose samples cost alike: a seeded order, repeated when it ends.

    Args:
        train: The training set.
        collate: Makes a batch of a list of items.
        seed: Fixes which items are drawn; the global generators are not used.
    """

    def __init__(
        self, train: MapDataset[Item], collate: Callable[[list[Item]], object], seed: int = 0
    ) -> None:
        self._pick = _picker(train, collate)
        self._order = np.random.default_rng(seed).permutation(_checked_length(train))

    @property
    def train_size(self) -> int:
        """How many training samples there are."""
        return len(self._order)

    def batch_of_size(self, size: int) -> object:
        """Return a batch of ``size`` seeded items."""
        return self._pick(np.resize(self._order, size).tolist())

    def typical_batch_of_size(self, size: int, draw: int) -> object:
        """Return the batch of `batch_of_size`, for samples cost alike."""
        return self.batch_of_size(size)


class WorstCaseBatches:
    """Batches of the most expensive items and typical ones, where samples differ, as graphs do.

    Of more than 10,000 items, 10,000 evenly spaced ones are costed, so that sizing stays quick; the
    safety factor for graphs covers the rest.

    Args:
        train: The training set.
        collate: Makes a batch of a list of items.
        cost: Nodes + edges (or tokens, pixels...) of one item.
    """

    def __init__(
        self,
        train: MapDataset[Item],
        collate: Callable[[list[Item]], object],
        cost: Callable[[Item], int],
    ) -> None:
        self._train_size = _checked_length(train)
        count = min(self._train_size, _MOST_ITEMS_COSTED)
        looked_at = np.linspace(0, self._train_size - 1, count).astype(np.int64)
        costs = np.asarray([cost(train[index]) for index in looked_at.tolist()], dtype=np.int64)
        order = np.argsort(-costs, kind="stable")
        self._pick = _picker(train, collate)
        self._order, self._costs = looked_at[order], costs[order]

    @property
    def train_size(self) -> int:
        """How many training samples there are."""
        return self._train_size

    def batch_of_size(self, size: int) -> object:
        """Return the batch of the ``size`` most expensive items, repeated when there are fewer."""
        return self._pick(np.resize(self._order, size).tolist())

    def typical_batch_of_size(self, size: int, draw: int) -> object:
        """Return a batch of ``size`` items spread evenly over cheap and expensive ones."""
        return self._pick(self._order[typical_positions(len(self._order), size, draw)].tolist())

    def cost_of_size(self, size: int) -> int:
        """Return the summed cost of ``batch_of_size(size)``."""
        return int(np.resize(self._costs, size).sum())


def _picker(
    train: MapDataset[Item], collate: Callable[[list[Item]], object]
) -> Callable[[Sequence[int]], object]:
    def pick(indices: Sequence[int]) -> object:
        return collate([train[index] for index in indices])

    return pick


def _checked_length(train: MapDataset[Item]) -> int:
    if not len(train):
        raise DataError("the training set is empty, so no batch can be made of it")
    return len(train)
