"""`ClassificationDataModule`: examples in memory, split, in resumable batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tutelage.classification.config import ClassificationConfig
from tutelage.classification.examples import Examples, Ints
from tutelage.classification.module import Batch, ClassifierModule
from tutelage.classification.split import (
    TEST,
    TRAIN,
    VALIDATION,
    findings,
    pool_units,
    split_examples,
)
from tutelage.core.files import digest_bytes
from tutelage.core.folds import HELD_OUT, held_out_units
from tutelage.core.records import AuditStamp
from tutelage.training.contracts import TaskData, TaskModule
from tutelage.training.curriculum import CurriculumData
from tutelage.training.loaders import EvalLoader, ResumableLoader
from tutelage.training.samplers import SeededBatchSampler

EVALUATION_BATCH = 256


@dataclass(frozen=True, slots=True)
class Learned:
    """What is learned from training examples, as the model's card keeps it.

    Args:
        digest: Of all examples of the run.
        parts: Digest of what part each is in.
        classes: Names of the k classes.
        shape: Of one array.
        counts: (k,) training examples of each class.
        means: (k, values) their mean arrays, flat; zeros for a class without any.
    """

    digest: str
    parts: str
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    counts: tuple[int, ...]
    means: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, examples: Examples, part: Ints) -> Learned:
        """Learn from the training examples of a split, (n,) the part of each."""
        rows = np.flatnonzero(part == TRAIN)
        x, y = examples.x[rows].reshape(len(rows), -1).astype(np.float64), examples.labels
        chosen = np.eye(len(examples.classes))[y[rows]]
        counts = chosen.sum(0)
        means = chosen.T @ x / np.maximum(counts, 1)[:, None]
        return cls(
            digest=examples.digest,
            parts=digest_bytes(part.tobytes()),
            classes=tuple(examples.classes),
            shape=examples.x.shape[1:],
            counts=tuple(counts.astype(int).tolist()),
            means=tuple(map(tuple, means.tolist())),
        )

    @classmethod
    def from_json(cls, card: Mapping[str, Any]) -> Learned:
        """Read what `to_json` wrote."""
        means = tuple(tuple(row) for row in card["means"])
        names = {name: tuple(card[name]) for name in ("classes", "shape", "counts")}
        return cls(digest=card["digest"], parts=card["parts"], means=means, **names)

    def to_json(self) -> dict[str, object]:
        """The values as JSON."""
        return asdict(self)

    def apart(self, other: Learned) -> str | None:
        """Say how the inputs or classes of another differ, if they do."""
        if self.shape != other.shape:
            return f"arrays of shape {list(self.shape)} and {list(other.shape)}"
        if self.classes != other.classes:
            return f"the classes {', '.join(self.classes)} and {', '.join(other.classes)}"
        return None


class ClassificationDataModule(TaskData):
    """The examples of one run.

    Args:
        config: The whole run.
        examples: All examples that it names.
        learned: What an earlier run learned; of other examples than its own, all test.
    """

    def __init__(
        self, config: ClassificationConfig, examples: Examples, learned: Learned | None = None
    ) -> None:
        super().__init__()
        self.config: ClassificationConfig = config
        self.examples: Examples = examples
        self.part: Ints = self._parts(learned)
        self._named = False
        self.learned: Learned = learned or Learned.of(examples, self.part)
        self.batch_size = EVALUATION_BATCH
        self.x: Tensor = torch.from_numpy(examples.x)
        known = np.full(len(examples), -1) if examples.y is None else examples.labels
        self.y: Tensor = torch.from_numpy(known)

    def setup(self, stage: str) -> None:
        """Make all examples test where they are to be predicted: ``predict``."""
        if stage == "predict":
            self.part, self._named = np.full(len(self.examples), TEST), True

    def _parts(self, learned: Learned | None) -> Ints:
        """(n,) the part of each example; those of a fold that is held out validate and test."""
        data = self.config.data
        if learned is not None and learned.digest != self.examples.digest:
            return np.full(len(self.examples), TEST)
        part = split_examples(self.examples, data)
        if data.fold is not None:
            units, rows = pool_units(self.examples, data)
            held = np.array(held_out_units(units, data))
            _, unit = np.unique(self.examples.together[rows], return_inverse=True)
            part[rows] = np.where(held[unit], VALIDATION, TRAIN)
        return part

    def rows(self, part: int) -> Ints:
        """Return the examples of a part, ascending."""
        return np.flatnonzero(self.part == part)

    @property
    def test_name(self) -> str:
        """Name of the one test split."""
        return HELD_OUT if isinstance(self.config.data.fold, int) else "test"

    @property
    def source_name(self) -> str:
        """What is predicted: the file or folder that was named, or what tests the run."""
        root = self.config.data.root
        other = self._named or self.learned.digest != self.examples.digest
        return root.name if root is not None and other else self.test_name

    @property
    def test_rows(self) -> Ints:
        """The examples that test: those of the fold, where one is held out."""
        return self.rows(VALIDATION if self.test_name == HELD_OUT else TEST)

    @property
    def preprocessing(self) -> Mapping[str, object]:
        """Classes, shape, and what the baselines know, as JSON values."""
        return self.learned.to_json()

    @property
    def audit(self) -> AuditStamp:
        """Say what makes scores on these examples doubtful."""
        found = findings(self.examples, self.part)
        if self.learned.digest != self.examples.digest:
            said = "these are other examples than the run's own; whether some of them trained it"
            found.append(f"{said} is not known")
        elif self.learned.parts != digest_bytes(self.part.tobytes()):
            found.append("the run had another split: some of what tests here trained it")
            return AuditStamp(verdict="leaking", findings=tuple(found))
        return AuditStamp(verdict="warnings" if found else "clean", findings=tuple(found))

    def fit_module(self, module: TaskModule) -> None:
        """Set the scaler: mean and deviation of each column or channel over training examples."""
        assert isinstance(module, ClassifierModule)
        module.network.fit_scaler(self.x[torch.from_numpy(self.rows(TRAIN))])

    @property
    def train_size(self) -> int:
        """Training examples."""
        return len(self.rows(TRAIN))

    def batch_at(self, places: Tensor) -> Batch:
        """Return the training examples at some places, (B,) int64."""
        return self._batch(torch.from_numpy(self.rows(TRAIN))[places])

    def _batch(self, rows: Tensor) -> Batch:
        return self.x[rows], self.y[rows]

    def train_dataloader(self) -> ResumableLoader[Batch]:
        """Shuffled batches; this process's share of them."""
        order = SeededBatchSampler(
            self.train_size,
            self.batch_size,
            self.config.training.seed,
            rank=self.rank,
            world_size=self.world_size,
        )
        return ResumableLoader(self.batch_at, order)

    def val_dataloader(self) -> EvalLoader[Batch]:
        """The examples that validate, in order."""
        return self._in_order(self.rows(VALIDATION))

    def test_loaders(self) -> Mapping[str, EvalLoader[Batch]]:
        """The examples that test, in order."""
        return {self.test_name: self._in_order(self.test_rows)}

    def _in_order(self, rows: Ints) -> EvalLoader[Batch]:
        order = SeededBatchSampler(len(rows), EVALUATION_BATCH, seed=0, shuffle=False)
        numbers = torch.from_numpy(rows)
        return EvalLoader(lambda at: self._batch(numbers[at]), order)

    def batch_of_size(self, size: int) -> Batch:
        """Return the first training examples, again from the start where there are fewer."""
        return self.batch_at(torch.arange(size) % self.train_size)


class ClassificationCurriculumData(ClassificationDataModule, CurriculumData):
    """The same examples, drawn as a curriculum says."""

    @property
    def measures(self) -> Mapping[str, Callable[[], Tensor]]:
        """`distance`: how far an example lies from the mean of its class, in deviations."""
        return {"distance": self._distance}

    def _distance(self) -> Tensor:
        rows = self.rows(TRAIN)
        x = self.examples.x[rows].reshape(len(rows), -1)
        away = x - np.asarray(self.learned.means, np.float32)[self.examples.labels[rows]]
        scale = away.std(0)
        return torch.from_numpy(np.linalg.norm(away / np.where(scale > 0, scale, 1), axis=1))

    def encoded_for(self, preprocessing: Mapping[str, Any], places: Tensor) -> EvalLoader[Batch]:
        """Return training examples in order; every model of the task takes them."""
        return self._in_order(self.rows(TRAIN)[places.numpy()])

    def train_dataloader(self) -> ResumableLoader[Batch]:
        """Batches in the order that the mode set."""
        return ResumableLoader(self.batch_at, self.order)

    def batch_of_size(self, size: int) -> Batch:
        """Return examples as they will be drawn."""
        return self.batch_at(self.mix[torch.arange(size) % len(self.mix)])
