"""What a domain gives the training core: `TaskData` and `TaskModule`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from inspect import signature
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn

from tutelage.core.config import Training
from tutelage.core.records import AuditStamp
from tutelage.training.optimization import configure_optimization


class TaskData(LightningDataModule, ABC):
    """Training, validation and test data of one run.

    Loaders yield batches in an order that is a pure function of (seed, epoch, step).
    `setup` may be called more than once; only the first call works.
    """

    batch_size: int
    """Samples a step and process; the batch-size optimiser sets it before the loaders are made."""
    rank: int = 0
    """Number of this process among those that train together; training loaders share by it."""
    world_size: int = 1
    """How many processes train together."""

    @property
    @abstractmethod
    def preprocessing(self) -> Mapping[str, object]:
        """What was learned from the training data (vocabulary, baselines), as JSON values."""

    @property
    @abstractmethod
    def audit(self) -> AuditStamp:
        """The verdict on these data that the record carries."""

    @abstractmethod
    def fit_module(self, module: TaskModule) -> None:
        """Set what the module takes from the training data, such as its feature scaler."""

    @abstractmethod
    def test_loaders(self) -> Mapping[str, Iterable[Any]]:
        """A loader for each test split."""

    @abstractmethod
    def batch_of_size(self, size: int) -> object:
        """The most demanding training batch of ``size`` samples, for the batch-size optimiser."""

    def typical_batch_of_size(self, size: int, draw: int) -> object:
        """One of a few batches as training sees them, on which the optimiser measures time.

        By default that of `batch_of_size`, which is right where all samples cost alike; where they
        differ, as graphs do, override it (see `tutelage.training.sizable.typical_positions`).

        Args:
            size: Samples in the batch.
            draw: Which batch; the same draw gives the same one.
        """
        return self.batch_of_size(size)

    @property
    @abstractmethod
    def train_size(self) -> int:
        """Training samples an epoch."""

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Move a batch to the device; loaders make it in main memory, where a CPU finds it."""
        if device.type == "cpu":
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)


class Objective(nn.Module, ABC):
    """What a mode trains a module by, in place of the module's own `step`.

    While it is the module's `objective`, its weights are trained and kept in checkpoints; the mode
    takes it off before the model is evaluated and saved.
    """

    @abstractmethod
    def forward(self, module: TaskModule, batch: Any) -> dict[str, Tensor]:
        """Return ``loss`` (scalar, with gradient) and other scalars worth following."""


class TaskModule(LightningModule, ABC):
    """A network with its objective, its validation metrics and its optimiser.

    Args:
        training: Optimiser, schedule and loop settings.
    """

    validation_metrics: ClassVar[tuple[str, ...]] = ("val/loss",)
    """Every name that `training.monitor` may take."""
    network: torch.nn.Module
    """The part with the weights, the part that `training.compile` compiles."""
    default_monitor: ClassVar[str] = "val/loss"
    """The one it takes when it is not set: better small if it ends in loss, else better large."""

    def __init__(self, training: Training) -> None:
        super().__init__()
        self.training_config = training
        self.objective: Objective | None = None

    @abstractmethod
    def step(self, batch: Any) -> dict[str, Tensor]:
        """Return ``loss`` (scalar, with gradient) and other scalars worth following."""

    @abstractmethod
    def samples(self, batch: Any) -> int:
        """Number of samples in a batch: the weight of its scalars in an epoch's mean."""

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor]:
        """One step of training; the metrics collector averages what it returns."""
        if self.objective is None:
            return self.step(batch)
        scalars: dict[str, Tensor] = self.objective(self, batch)
        return scalars

    # Lightning reads the signature anew in each step; kept here, that costs nothing.
    training_step.__signature__ = signature(training_step)  # type: ignore[attr-defined]

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; the hook's name, which Lightning notes forty times a step, fast."""
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def parameter_groups(self) -> Iterator[tuple[Mapping[str, float], list[torch.nn.Parameter]]]:
        """Groups of parameters with factors on the optimiser's settings; by default one group."""
        yield {}, [p for p in self.parameters() if p.requires_grad]

    def configure_optimizers(self) -> Any:
        """Build the optimiser and the schedule that `training.*` names."""
        return configure_optimization(self, self.training_config)


@runtime_checkable
class DifficultyScorer(Protocol):
    """A module that says how hard each sample is, so that it can guide a curriculum."""

    def difficulty_scores(self, batch: Any) -> Tensor:
        """Return one score a sample, (n,); larger is harder."""
        ...


@runtime_checkable
class AnomalyScorer(Protocol):
    """A module that gives each sample an anomaly score, and calls those above a threshold.

    The threshold is its buffer ``threshold``, a scalar. No attribute of the protocol: since Python
    3.12 `isinstance` doesn't see a buffer.
    """

    def anomaly_scores(self, batch: Any) -> Tensor:
        """Return one score a sample, (n,); larger is stranger."""
        ...


@runtime_checkable
class Transferable(Protocol):
    """A module of which some parts may begin with another run's weights."""

    @property
    def transferable(self) -> Mapping[str, nn.Module]:
        """The parts by name; a run whose role in the lineage is that name gives its weights."""
        ...

    def taken_over(self, part: str) -> None:
        """Be told that a part's weights are now another run's."""
        ...
