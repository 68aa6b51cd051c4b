"""The batch-size optimiser: the smallest size near peak throughput that fits in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from lightning.pytorch.plugins.precision import Precision

from tutelage.core.errors import ConfigError
from tutelage.training.batch_search import BatchSizeChoice as BatchSizeChoice
from tutelage.training.batch_search import BatchSizeOptions as BatchSizeOptions
from tutelage.training.batch_search import Search
from tutelage.training.probe import TrainingWork
from tutelage.training.probe_child import command_child, fork_child
from tutelage.training.sizable import (
    Item,
    MapDataset,
    SampledBatches,
    SizableData,
    WorstCaseBatches,
    graph_cost,
)

if TYPE_CHECKING:
    import lightning.pytorch as pl


@dataclass(frozen=True)
class BatchSizeOptimizer:
    """Chooses a batch size by real training steps in a child process that leaves nothing behind.

    The module, its gradients and mode, the global random generators and the disk stay as they are.
    The child is a fork of this process (Linux); where CUDA is in use already, or another training
    ran in this process on a machine with CUDA, use `optimize_with_command`.

    Args:
        options: How to look.
        device: Where training will run: ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        precision: The arithmetic that training will use.
    """

    options: BatchSizeOptions = field(default_factory=BatchSizeOptions)
    device: str = "cpu"
    precision: Precision = field(default_factory=Precision)

    def optimize_with_datamodule(
        self, module: pl.LightningModule, datamodule: SizableData
    ) -> BatchSizeChoice:
        """Choose for a data module that makes its own worst-case and typical batches.

        Args:
            module: ``training_step(batch, batch_idx)`` gives the loss or a mapping with ``"loss"``,
                and ``configure_optimizers()`` works without a trainer.
            datamodule: Data that satisfy `SizableData`, or `SizableGraphs` for graphs.

        Raises:
            ConfigError: The device or system can't be probed.
            RunFailedError: No size fits, or a step failed; it says what happened.
        """
        device = torch.device(self.device)
        if device.type not in ("cpu", "cuda"):
            raise ConfigError(
                f"batch sizes can't be probed on {self.device!r}",
                hint="Valid: cpu, cuda. Or set training.batch_size to a number.",
            )
        work = TrainingWork(module, datamodule, device, self.precision)
        return Search(self.options, lambda: fork_child(work, self.options.timeout_s)).run()

    def optimize_with_datasets(
        self,
        module: pl.LightningModule,
        train: MapDataset[Item],
        collate: Callable[[list[Item]], object],
        *,
        cost: Callable[[Item], int] | None = None,
        seed: int = 0,
    ) -> BatchSizeChoice:
        """Choose for a map-style training set.

        Args:
            module: As for `optimize_with_datamodule`.
            train: The training set.
            collate: Makes a batch of a list of items.
            cost: What one item costs, where items differ: memory is then measured on the most
                expensive, time on a mix. Items with ``num_nodes`` and ``num_edges`` cost their
                sum by default.
            seed: Which items are drawn, where all cost alike.

        Raises:
            DataError: The training set is empty.
            ConfigError: The device or system can't be probed.
            RunFailedError: No size fits, or a step failed; it says what happened.
        """
        data: SizableData
        if cost is not None:
            data = WorstCaseBatches(train, collate, cost)
        elif len(train) and hasattr(train[0], "num_nodes") and hasattr(train[0], "num_edges"):
            data = WorstCaseBatches(train, collate, graph_cost)  # type: ignore[arg-type]
        else:
            data = SampledBatches(train, collate, seed)
        return self.optimize_with_datamodule(module, data)

    def optimize_with_command(self, command: Sequence[str]) -> BatchSizeChoice:
        """Choose by a fresh interpreter that builds the work itself and serves probes.

        Args:
            command: A program that calls `tutelage.training.probe.serve_standard_streams`; device
                and precision are its own affair.

        Raises:
            RunFailedError: No size fits, or a step failed; it says what happened.
        """
        return Search(self.options, lambda: command_child(command, self.options.timeout_s)).run()
