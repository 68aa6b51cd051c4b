"""A whole task made tiny: two classes in a plane of eight features, trained in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Discriminator, Field, Tag
from safetensors.torch import load_file
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import BinaryAccuracy

from tutelage.core.config import DataConfig, ModelConfig, RunConfig, Training, tag_or
from tutelage.core.errors import DataError
from tutelage.core.folds import HELD_OUT, FoldUnits, held_out_units
from tutelage.core.overrides import build_config
from tutelage.core.records import AuditStamp, Evaluation, Table
from tutelage.core.store import WEIGHTS, Run, RunStore
from tutelage.task import (
    Audit,
    ModelEntry,
    SupportsAutoencoder,
    SupportsCurriculum,
    SupportsDistillation,
    SupportsFolds,
    Task,
)
from tutelage.training.contracts import Objective, TaskData, TaskModule
from tutelage.training.curriculum import CurriculumData
from tutelage.training.launch import Launched, launch
from tutelage.training.loaders import EvalLoader, ResumableLoader
from tutelage.training.restore import take_fitting
from tutelage.training.samplers import SeededBatchSampler

FEATURES = 8
Batch = tuple[Tensor, Tensor]
OnStep = Callable[["TinyModule", Batch], None]


class ClassifierConfig(ModelConfig):
    name: Literal["classifier"] = "classifier"
    hidden: int = 6
    """Hidden units."""
    dropout: float = 0.2
    """Share dropped."""


class ReconstructorConfig(ModelConfig):
    name: Literal["reconstructor"] = "reconstructor"


class TinyData(DataConfig):
    samples: int = Field(default=70, ge=0)
    """Training samples."""
    kinds: Literal[1, 2] = 2
    """Whether a curriculum tells the classes apart."""
    tests: int = 40
    """Samples of the test split, and of validation."""
    testable: bool = True
    """Whether the test split can be read."""


class TinyTraining(Training):
    max_epochs: int = Field(default=3, ge=1)
    """Passes over the training data."""
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = 16
    """Samples a step."""
    learning_rate: float = Field(default=0.05, gt=0)
    """Peak learning rate."""


class TinyConfig(RunConfig):
    task: Literal["tiny"] = "tiny"
    model: Annotated[
        Annotated[ClassifierConfig, Tag("classifier")]
        | Annotated[ReconstructorConfig, Tag("reconstructor")],
        Discriminator(tag_or("classifier")),
    ] = ClassifierConfig()
    data: TinyData = TinyData()
    training: TinyTraining = TinyTraining()


def sample(n: int, seed: int) -> Batch:
    """``n`` samples (n, 8) and their classes (n,), which lie apart along the diagonal."""
    generator = torch.Generator().manual_seed(seed)
    y = (torch.rand(n, generator=generator) < 0.4).long()
    return torch.randn(n, FEATURES, generator=generator) + 0.5 * y[:, None], y


def length(x: Tensor) -> Tensor:
    """How far each sample (n, 8) lies from the origin, (n,)."""
    return x.norm(dim=1)


def fold_units(data: TinyData) -> FoldUnits:
    """A unit a sample of training and of validation; each class is a stratum."""
    classes = torch.cat([sample(data.samples, 1)[1], sample(data.tests, 2)[1]]).tolist()
    return FoldUnits(
        tuple(f"sample {n}" for n in range(len(classes))),
        strata=tuple(f"class {y}" for y in classes),
    )


class TinyDataModule(TaskData):
    train: Batch

    def __init__(self, config: TinyConfig, preprocessing: Mapping[str, Any] | None) -> None:
        super().__init__()
        self.config, self.learned = config, preprocessing

    def setup(self, stage: str) -> None:
        if hasattr(self, "train"):
            return
        if not self.config.data.samples:
            raise DataError("there are no samples", hint="Set data.samples to 1 or more.")
        data = self.config.data
        self.train, self.validation = sample(data.samples, 1), sample(data.tests, 2)
        self.test_name, self.held_out = "test", torch.zeros(0).bool()
        if data.fold is not None:
            pool = tuple(torch.cat(each) for each in zip(self.train, self.validation, strict=True))
            self.held_out = torch.tensor(held_out_units(fold_units(data), data))
            self.train = (pool[0][~self.held_out], pool[1][~self.held_out])
            self.validation = (pool[0][self.held_out], pool[1][self.held_out])
        if isinstance(data.fold, int):
            self.test_name, self.test = HELD_OUT, self.validation
        else:
            self.test = self._read_test()
        self.learned = self.learned or {"mean": self.train[0].mean(0).tolist()}

    def _read_test(self) -> Batch:
        if not self.config.data.testable:
            raise DataError("the test split can't be read")
        return sample(self.config.data.tests, 3)

    @property
    def preprocessing(self) -> Mapping[str, object]:
        assert self.learned is not None
        return self.learned

    @property
    def audit(self) -> AuditStamp:
        return AuditStamp(verdict="clean")

    @property
    def train_size(self) -> int:
        return len(self.train[1])

    def fit_module(self, module: TaskModule) -> None:
        assert isinstance(module, TinyModule)
        module.scale.copy_(self.train[0].std(0))

    def train_dataloader(self) -> ResumableLoader[Batch]:
        x, y = self.train
        seed, place = self.config.training.seed, {"rank": self.rank, "world_size": self.world_size}
        order = SeededBatchSampler(len(y), self.batch_size, seed, **place)
        return ResumableLoader(lambda i: (x[i], y[i]), order)

    def val_dataloader(self) -> EvalLoader[Batch]:
        return self._evaluation(*self.validation)

    def test_loaders(self) -> Mapping[str, Iterable[Batch]]:
        return {self.test_name: self._evaluation(*self.test)}

    def _evaluation(self, x: Tensor, y: Tensor) -> EvalLoader[Batch]:
        order = SeededBatchSampler(len(y), 16, 0, shuffle=False)
        return EvalLoader(lambda i: (x[i], y[i]), order)

    def batch_of_size(self, size: int) -> Batch:
        index = torch.arange(size) % self.train_size
        return self.train[0][index], self.train[1][index]


class TinyCurriculumData(TinyDataModule, CurriculumData):
    @property
    def positives(self) -> Tensor | None:
        return self.train[1] == 1 if self.config.data.kinds == 2 else None

    @property
    def measures(self) -> Mapping[str, Callable[[], Tensor]]:
        return {"length": lambda: length(self.train[0])}

    def batch_at(self, places: Tensor) -> Batch:
        return self.train[0][places], self.train[1][places]

    def encoded_for(self, preprocessing: Mapping[str, Any], places: Tensor) -> EvalLoader[Batch]:
        return self._evaluation(*self.batch_at(places))

    def train_dataloader(self) -> ResumableLoader[Batch]:
        return ResumableLoader(self.batch_at, self.order)

    def batch_of_size(self, size: int) -> Batch:
        return self.batch_at(self.mix[torch.arange(size) % len(self.mix)])


class TinyModule(TaskModule):
    validation_metrics: ClassVar = ("val/loss", "val/accuracy")
    threshold: Tensor
    scale: Tensor

    def __init__(self, config: TinyConfig, mean: list[float], on_step: OnStep):
        super().__init__(config.training)
        self.on_step, model = on_step, config.model
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("scale", torch.ones(FEATURES))
        self.register_buffer("threshold", torch.tensor(0.5))
        self.reconstructs = isinstance(model, ReconstructorConfig)
        if isinstance(model, ClassifierConfig):
            self.feature_width = model.hidden
            self.network: nn.Module = nn.Sequential(
                *(nn.Linear(FEATURES, model.hidden), nn.BatchNorm1d(model.hidden), nn.ReLU()),
                *(nn.Dropout(model.dropout), nn.Linear(model.hidden, 2)),
            )
        else:
            self.network = nn.Sequential(nn.Linear(FEATURES, 2), nn.Linear(2, FEATURES))
        self.mean_loss, self.accuracy = MeanMetric(), BinaryAccuracy()

    def standardised(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.scale

    def loss(self, batch: Batch) -> Tensor:
        x = self.standardised(batch[0])
        if self.reconstructs:
            return F.mse_loss(self.network(x), x)
        return F.cross_entropy(self.network(x), batch[1])

    def outputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        features = self.network[:-1](self.standardised(batch[0]))
        return self.network[-1](features), features

    def inherit(self, teacher: TaskModule) -> None:
        assert take_fitting(self.network, teacher.network)

    def task_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits, batch[1])

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        self.on_step(self, batch)
        return super().training_step(batch, batch_idx)

    def step(self, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.loss(batch), "positives": batch[1].float().mean()}

    def errors(self, batch: Batch) -> Tensor:
        x = self.standardised(batch[0])
        return (self.network(x) - x).square().mean(1)

    def difficulty_scores(self, batch: Batch) -> Tensor:
        if self.reconstructs:
            return self.errors(batch)
        return F.cross_entropy(
            self.network(self.standardised(batch[0])), batch[1], reduction="none"
        )

    def scores(self, batch: Batch) -> Tensor:
        if self.reconstructs:
            return self.errors(batch)
        return self.network(self.standardised(batch[0])).softmax(1)[:, 1]

    def samples(self, batch: Batch) -> int:
        return len(batch[1])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.mean_loss.update(self.loss(batch), len(batch[1]))
        self.accuracy.update((self.scores(batch) > 0.5).long(), batch[1])

    def on_validation_epoch_end(self) -> None:
        self.log("val/loss", self.mean_loss.compute())
        self.log("val/accuracy", self.accuracy.compute())
        self.mean_loss.reset()
        self.accuracy.reset()


class TinyReconstructor(TinyModule):
    def anomaly_scores(self, batch: Batch) -> Tensor:
        return self.errors(batch)


class Reconstruction(Objective):
    """Rebuild a sample from the hidden layer of a classifier."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.decoder = nn.Linear(hidden, FEATURES)

    def forward(self, module: TaskModule, batch: Batch) -> dict[str, Tensor]:
        assert isinstance(module, TinyModule)
        _, features = module.outputs(batch)
        loss = F.mse_loss(self.decoder(features), module.standardised(batch[0]))
        return {"loss": loss, "reconstruction": loss.detach()}


class TinyTask(
    Task[TinyConfig],
    SupportsAutoencoder[TinyConfig],
    SupportsCurriculum[TinyConfig],
    SupportsDistillation,
    SupportsFolds[TinyConfig],
):
    """Args: ``on_step`` is called in each training step with the module and the batch."""

    name: ClassVar = "tiny"
    summary: ClassVar = "two classes in eight dimensions"
    data_summary: ClassVar = "drawn from two normal distributions"
    models: ClassVar = {
        "classifier": ModelEntry(
            "one hidden layer",
            ("normal", "autoencoder", "curriculum", "distillation"),
            guides=True,
        ),
        "reconstructor": ModelEntry("a linear autoencoder", ("autoencoder",), guides=True),
    }
    headline: ClassVar = "accuracy"
    config_type = TinyConfig

    def __init__(self, on_step: OnStep = lambda module, batch: None) -> None:
        self.on_step = on_step

    def data_fingerprint(self, config: TinyConfig) -> str:
        return f"tiny-{config.data.samples}"

    def datamodule(
        self, config: TinyConfig, cache: Path, preprocessing: Mapping[str, Any] | None = None
    ) -> TinyDataModule:
        return TinyDataModule(config, preprocessing)

    def build(self, config: TinyConfig, preprocessing: Mapping[str, Any]) -> TinyModule:
        reconstructs = isinstance(config.model, ReconstructorConfig)
        kind = TinyReconstructor if reconstructs else TinyModule
        return kind(config, preprocessing["mean"], self.on_step)

    def evaluate(self, config: TinyConfig, module: TaskModule, data: TaskData) -> Evaluation:
        assert isinstance(module, TinyModule) and isinstance(data, TinyDataModule)
        x, y = data.test
        with torch.inference_mode():
            hits = ((module.scores((x, y)) > module.threshold).long() == y).float().mean()
            loss = module.loss((x, y))
        split = data.test_name
        scores = {f"{split}/accuracy": float(hits), f"{split}/loss": float(loss)}
        return Evaluation(
            metrics=scores,
            baselines={"always 0": {f"{split}/accuracy": float((y == 0).float().mean())}},
            files={"hits.txt": f"{float(hits)}".encode()},
        )

    def predict(self, module: TaskModule, data: TaskData) -> tuple[Table, ...]:
        assert isinstance(module, TinyModule) and isinstance(data, TinyDataModule)
        with torch.inference_mode():
            rows = tuple((float(score),) for score in module.scores(data.test))
        return (Table(title=data.test_name, columns=("score",), rows=rows),)

    def fold_units(self, config: TinyConfig, cache: Path) -> FoldUnits:
        return fold_units(config.data)

    def predicted_units(self, data: TaskData) -> tuple[str, ...]:
        assert isinstance(data, TinyDataModule)
        names = fold_units(data.config.data).ids
        return tuple(names[n] for n in data.held_out.nonzero().flatten().tolist())

    def audit(self, config: TinyConfig, cache: Path) -> Audit:
        return Audit(AuditStamp(verdict="clean"), ())

    def normal_data(self, data: TaskData) -> TaskData:
        assert isinstance(data, TinyDataModule)
        if isinstance(data.config.model, ClassifierConfig):
            return data
        for name in ("train", "validation"):
            x, y = getattr(data, name)
            setattr(data, name, (x[y == 0], y[y == 0]))
        return data

    def pretraining(
        self, config: TinyConfig, module: TaskModule, data: TaskData
    ) -> Objective | None:
        model = config.model
        return Reconstruction(model.hidden) if isinstance(model, ClassifierConfig) else None

    def curriculum_data(self, config: TinyConfig, cache: Path) -> TinyCurriculumData:
        return TinyCurriculumData(config, None)

    def inputs_differ(self, teacher: Mapping[str, Any], student: Mapping[str, Any]) -> str | None:
        return None if teacher == student else "the mean differs"


def crash_at(step: int, error: BaseException) -> OnStep:
    """Raise ``error`` in the batch after so many optimiser steps."""

    def on_step(module: TinyModule, batch: Batch) -> None:
        if module.trainer.global_step == step:
            raise error

    return on_step


def weights(run: Run) -> dict[str, Tensor]:
    """The tensors of a run's weights file."""
    return load_file(run.path / WEIGHTS)


def same_bits(one: Run, other: Run) -> bool:
    """Whether two runs ended with the same weights, bit for bit."""
    mine, theirs = weights(one), weights(other)
    return mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)


def tiny(*overrides: str) -> TinyConfig:
    """The tiny task's configuration with some settings."""
    return build_config(TinyConfig, [], overrides)


def train(home: Path, *overrides: str, on_step: OnStep | None = None) -> Launched:
    """Launch the tiny task in the store at ``home``."""
    task = TinyTask(on_step) if on_step else TinyTask()
    return launch(task, tiny(*overrides), RunStore(home))
