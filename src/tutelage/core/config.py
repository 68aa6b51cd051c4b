"""`RunConfig`: a whole run as one frozen value; each default stands once, explained beneath it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)

from tutelage.core.execution import ExecutionConfig, InProcessExecution
from tutelage.core.logs import Level
from tutelage.core.modes import AutoencoderMode as AutoencoderMode
from tutelage.core.modes import CurriculumMode as CurriculumMode
from tutelage.core.modes import DistillationMode as DistillationMode
from tutelage.core.modes import FusionMode as FusionMode
from tutelage.core.modes import Memory as Memory
from tutelage.core.modes import Mode as Mode
from tutelage.core.modes import ModeConfig as ModeConfig
from tutelage.core.modes import NormalMode as NormalMode
from tutelage.core.sections import NamingSection as NamingSection
from tutelage.core.sections import Section as Section
from tutelage.core.sections import as_named as as_named
from tutelage.core.sections import as_word as as_word
from tutelage.core.sections import tag_or as tag_or
from tutelage.core.tracking import Tracking as Tracking

SCHEMA_VERSION: Final = 2

RunPolicy = Literal[
    "reuse_if_exists", "force_new", "resume_if_incomplete", "continue_from_previous"
]


Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$")]
"""A short word that may be a part of a file's name."""


Links = Literal["inside", "anywhere"]


class EarlyStopping(Section):
    """Stop when the monitored metric no longer improves."""

    patience: int | None = Field(default=None, ge=1)
    """Evaluations without improvement before stopping; null trains to the end."""
    min_delta: float = Field(default=0.0, ge=0)
    """Smallest change that counts as an improvement."""


class Checkpoints(Section):
    """When the whole state of training is saved, and how much of it is kept."""

    every_n_epochs: int = Field(default=1, ge=1)
    """Epochs between two checkpoints."""
    every_n_steps: int | None = Field(default=None, ge=1)
    """Optimiser steps between two more checkpoints; null saves at epoch ends alone."""
    keep_last: int = Field(default=2, ge=1)
    """Newest checkpoints kept."""
    keep_best: int = Field(default=1, ge=1)
    """Best checkpoints kept, by the monitored metric."""


class Scheduler(Section):
    """How the learning rate moves over the run."""

    name: Literal["constant", "cosine", "linear", "step", "plateau"] = "cosine"
    """Shape of the curve after warm-up."""
    warmup_fraction: float = Field(default=0.05, ge=0, lt=1)
    """Share of all steps over which the rate rises linearly from nearly nothing."""
    restarts: int = Field(default=0, ge=0)
    """How often the cosine begins anew at the peak rate, after equal shares of the run."""
    minimum_factor: float = Field(default=0.01, ge=0, le=1)
    """Final rate as a share of `learning_rate` (cosine, linear), and its floor (plateau)."""
    step_epochs: int = Field(default=10, ge=1)
    """Epochs between two cuts (step), or without improvement before a cut (plateau)."""
    step_factor: float = Field(default=0.1, gt=0, lt=1)
    """What the rate is multiplied by at a cut (step, plateau)."""


class Averaging(Section):
    """Keep an average of the weights and evaluate that."""

    name: Literal["none", "ema", "swa"] = "none"
    """`ema`: exponential moving average; `swa`: plain average over the last part of the run."""
    decay: float = Field(default=0.999, gt=0, lt=1)
    """Share of the former average kept at each step (ema)."""
    start_fraction: float = Field(default=0.75, ge=0, lt=1)
    """Share of the run after which averaging starts (swa)."""


class BatchSizing(Section):
    """How `training.batch_size=auto` finds a size."""

    min_size: int = Field(default=8, ge=1)
    """Smallest size tried."""
    max_size: int = Field(default=1024, ge=1)
    """Largest size tried."""
    tolerance: float = Field(default=0.03, gt=0, lt=1)
    """The smallest size within this share of the peak throughput is taken."""
    memory_margin: float = Field(default=0.2, ge=0.2, lt=1)
    """Share of the free memory that is left alone."""
    safety_factor: float | None = Field(default=None, gt=0, le=1)
    """Share of the rest that a batch may take; null: 1 for fixed shapes, 0.5 for graphs."""


class Training(Section):
    """The optimiser, the loop and the device."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of every random choice: weights, order of samples, dropout, simulated data splits."""
    max_epochs: int = Field(default=20, ge=1)
    """Passes over the training data."""
    stop_epoch: int | None = Field(default=None, ge=1)
    """Epoch after which training ends, on the schedule of `max_epochs`, such as the one that a
    cross-validation found best; null trains all."""
    max_steps: int | None = Field(default=None, ge=1)
    """Optimiser steps after which training ends, whatever the epoch."""
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = 64
    """Samples a step, or `auto` to measure the best one."""
    batch_sizing: BatchSizing = BatchSizing()
    """How `auto` finds it."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """Update rule."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak learning rate."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Decoupled weight decay (adamw), L2 penalty (adam, sgd)."""
    scheduler: Scheduler = Scheduler()
    """Learning-rate schedule."""
    gradient_clip: float | None = Field(default=1.0, gt=0)
    """Largest norm of the gradient; null never clips."""
    on_nan: Literal["stop", "skip", "rollback"] = "stop"
    """What a step does whose gradient is NaN or infinite: `stop` the run; be left out (`skip`), or
    besides take the weights back to those of the newest checkpoint (`rollback`)."""
    accumulate: int = Field(default=1, ge=1)
    """Batches whose gradients are added up before a step."""
    precision: Annotated[Literal["64", "32", "bf16", "16"], BeforeValidator(as_word)] = "32"
    """Arithmetic: full (64, 32) or mixed (bf16, 16; 16 needs a GPU)."""
    early_stopping: EarlyStopping = EarlyStopping()
    """When to stop early."""
    monitor: str | None = None
    """Validation metric for early stopping, best checkpoint and plateau; null: the task's own."""
    averaging: Averaging = Averaging()
    """Average of the weights."""
    time_budget: float | None = Field(default=None, gt=0)
    """Seconds of training after which the run ends as it would at its last epoch, those before an
    interruption included; null for no limit."""
    max_time: float | None = Field(default=None, gt=0)
    """Seconds of wall-clock time, from the run's start here, after which it saves and stops, to go
    on another time; null for no limit."""
    heartbeat_seconds: float | None = Field(default=60.0, gt=0)
    """Seconds between two lines in the log while an epoch lasts; null for none."""
    compile: bool = False
    """Compile the network once, at the start, for faster steps; needs a C++ compiler."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Kind of device."""
    devices: int = Field(default=1, ge=1)
    """Processes that train together, each on a device of its own; a step has `batch_size` samples
    on each."""
    log_every_n_steps: int = Field(default=50, ge=1)
    """Steps between two rows of training metrics."""
    loggers: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Loggers beside the run's own metrics file."""
    checkpoints: Checkpoints = Checkpoints()
    """Saving of the whole state."""

    @model_validator(mode="after")
    def _stops_within(self) -> Self:
        if self.stop_epoch is not None and self.stop_epoch > self.max_epochs:
            raise ValueError(f"stop_epoch={self.stop_epoch} is beyond max_epochs={self.max_epochs}")
        return self


class RunOptions(Section):
    """How this run relates to runs already made; never part of its fingerprint."""

    policy: RunPolicy = "reuse_if_exists"
    """`reuse_if_exists`: a finished run with the same fingerprint is returned;
    `force_new`: always a new run; `resume_if_incomplete`: go on with the newest unfinished run of
    the same fingerprint; `continue_from_previous`: a new run that starts from the weights of the
    newest finished one of the same task, mode and model, or, where one that so began with the same
    settings is unfinished, that one goes on."""
    initial_weights: str | None = Field(default=None, min_length=1)
    """Finished run (id, unique prefix, path or `@last`) of the same model whose weights training
    begins with; null begins with fresh ones, or, under `continue_from_previous`, with those of the
    newest."""
    name: Word | None = None
    """A word of your own in the run's id."""
    log_level: Level = "info"
    """The least that goes into the run's log."""
    tags: Mapping[Word, Word] = {}
    """Words of your own, each under a name, that the record keeps: run.tags.customer=acme."""


class DataConfig(Section):
    """Where the data are; each task adds its own settings."""

    formats: ClassVar[Mapping[str, str]] = {}
    """Name and contents of each format that the task reads, for `tutelage data`."""
    layout: ClassVar[str] = ""
    """How files lie in a folder, and which train and test, with an example; for the same."""

    root: Annotated[Path | None, BeforeValidator(as_word)] = None
    """File or folder of data; null takes the data that ship with the task."""
    links: Links = "inside"
    """Symbolic links below `root` that are followed: those that stay inside it, or `anywhere`."""
    split_file: Annotated[Path | None, BeforeValidator(as_word)] = None
    """File of folds that `tutelage folds` dealt, for a cross-validation."""
    fold: Annotated[int, Field(ge=0)] | Literal["all"] | None = None
    """Fold of `split_file`, from 0, that is held out and scored, while the rest of what would train
    or validate trains and the tests are not read; `all`: train on all of that, validate on nothing,
    test; null: the task's own split."""

    @field_validator("root", "split_file")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """Keep the path true when the run is read from another folder."""
        return None if path is None else path.expanduser().absolute()

    @model_validator(mode="after")
    def _fold_of_file(self) -> Self:
        if isinstance(self.fold, int) and self.split_file is None:
            raise ValueError(f"fold={self.fold} needs data.split_file; `tutelage folds` makes one")
        if self.split_file is not None and self.fold is None:
            raise ValueError("split_file needs data.fold, a number from 0 or all")
        return self


class ModelConfig(NamingSection):
    """Which model; each task adds its own settings."""

    name: str
    """The model's name in the task's table."""


class RunConfig(Section):
    """A whole run. `config.json` alone re-creates it."""

    schema_version: Literal[2] = SCHEMA_VERSION
    """Version of this layout; an older file is migrated on reading."""
    task: str
    """The domain."""
    mode: ModeConfig = NormalMode()
    """How the model is trained."""
    model: ModelConfig
    """The network."""
    data: DataConfig = DataConfig()
    """The data and how they are prepared."""
    training: Training = Training()
    """The optimiser, the loop and the device."""
    execution: ExecutionConfig = InProcessExecution()
    """Where the run is executed."""
    tracking: Tracking = Tracking()
    """What mirrors the run while it lasts."""
    run: RunOptions = RunOptions()
    """How the run relates to earlier ones."""

    @property
    def roles(self) -> dict[str, str]:
        """Role in the lineage of each setting that may name runs, such as ``mode.teacher``."""
        return {
            f"{part}.{field}": role
            for part, section in self._naming.items()
            for field, role in section.parents.items()
        }

    def named_runs(self) -> dict[str, tuple[str, ...]]:
        """Setting to the runs that it names, for each of `roles` that is set."""
        return {
            f"{part}.{field}": names
            for part, section in self._naming.items()
            for field, names in section.named_runs().items()
        }

    def with_runs(self, ids: Mapping[str, Sequence[str]]) -> Self:
        """Return the configuration with the runs of some settings named by their ids."""
        own = {
            part: {field: ids[f"{part}.{field}"] for field in section.parents
                   if f"{part}.{field}" in ids}
            for part, section in self._naming.items()
        }  # fmt: skip
        sections = self._naming
        return self.model_copy(update={p: sections[p].with_runs(own[p]) for p in own if own[p]})

    @property
    def _naming(self) -> dict[str, NamingSection]:
        return {"mode": self.mode, "model": self.model}


C = TypeVar("C", bound=RunConfig)
"""The configuration of one task."""
