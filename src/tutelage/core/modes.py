"""The ways of training, each with its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from tutelage.core.sections import NamingSection, Section, tag_or


class Mode(NamingSection):
    """A way of training, with its settings."""

    name: str
    """The mode's name."""


class NormalMode(Mode):
    """Fit the model to the task's own objective."""

    name: Literal["normal"] = "normal"


class AutoencoderMode(Mode):
    """Learn to reconstruct: normal samples, so that what reconstructs badly is anomalous; or any,
    before the task's own objective.
    """

    name: Literal["autoencoder"] = "autoencoder"
    threshold_quantile: float = Field(default=0.995, gt=0, lt=1)
    """Quantile of held-out normal samples' scores, in a cross-validation of training samples',
    above which a sample is called anomalous (a model that scores anomalies)."""
    pretraining_fraction: float = Field(default=0.5, gt=0, lt=1)
    """Share of the epochs, the first, that train by reconstruction (a model that has another
    objective besides)."""

    def pretraining_epochs(self, epochs: int) -> int:
        """Return how many of a run's epochs train by reconstruction: one at least."""
        return max(1, round(self.pretraining_fraction * epochs))


class Memory(Section):
    """What keeps a model from forgetting the earlier stages of a curriculum."""

    name: Literal["none", "replay", "ewc"] = "none"
    """`replay`: a part of the normal samples comes from a buffer filled in earlier stages;
    `ewc`: weights that earlier stages depend on are held near what they were."""
    buffer: int = Field(default=512, ge=1)
    """Normal samples kept of all earlier stages together (replay)."""
    share: float = Field(default=0.25, gt=0, lt=1)
    """Share of a later epoch's normal samples that comes from the buffer (replay)."""
    weight: float = Field(default=10_000.0, gt=0)
    """Weight of the penalty that is added to the loss (ewc); the better a model fits, the smaller
    what it weighs, so look at `penalty` in `metrics.csv`."""
    samples: int = Field(default=256, ge=1)
    """Samples of a stage on which the weights' importance is measured at its end (ewc)."""


class CurriculumMode(Mode):
    """Begin with few and easy samples; end with many and hard ones.

    Where some samples are positive (an attack, a fault) and the others normal, the normal ones are
    few at first, and it is they that are easy or hard.
    """

    parents: ClassVar[Mapping[str, str]] = {"guide": "guide"}
    name: Literal["curriculum"] = "curriculum"
    start_ratio: float = Field(default=1.0, gt=0)
    """Normal samples for each positive one in the first stage, where there are two kinds."""
    end_ratio: float = Field(default=10.0, gt=0)
    """Normal samples for each positive one in the last stage, where there are two kinds."""
    shape: Literal["linear", "geometric"] = "linear"
    """Whether the ratio moves by equal differences or by equal factors."""
    stages: int = Field(default=4, ge=2)
    """Steps from the first ratio to the last; no more than there are epochs come to pass."""
    ramp_fraction: float = Field(default=0.75, gt=0, le=1)
    """Share of the epochs after which the last stage begins; the last epoch always is of it."""
    guide: str | None = Field(default=None, min_length=1)
    """Finished run (id, unique prefix, path or `@last`) whose model says how hard a sample is; null
    leaves that to `measure`."""
    measure: str | None = Field(default=None, min_length=1)
    """What says how hard a sample is, by one of the task's names for it (an unknown name lists
    them); null leaves that to `guide`, and with neither all are alike."""
    draw: Literal["window", "weighted"] = "window"
    """`window`: a stage draws from a range of difficulty, which moves from the easiest to the
    hardest; `weighted`: from all, the easier the oftener, and in the last stage all alike."""
    easiest_share: float = Field(default=0.5, gt=0, le=1)
    """Share of the samples, the easiest, that the first stage draws from (window)."""
    hardest_share: float = Field(default=0.5, gt=0, le=1)
    """Share of the samples, the hardest, that the last stage draws from (window)."""
    resize_batch: bool = False
    """Measure a batch size for each stage; needs training.batch_size=auto."""
    memory: Memory = Memory()
    """What keeps the model from forgetting earlier stages."""

    @property
    def knows_difficulty(self) -> bool:
        """Whether anything says how hard a sample is."""
        return self.guide is not None or self.measure is not None

    @model_validator(mode="after")
    def _one_difficulty(self) -> Self:
        if self.guide is not None and self.measure is not None:
            raise ValueError("guide and measure both say how hard a sample is; give one of them")
        return self


class DistillationMode(Mode):
    """Fit a small model to the task and to what a finished run's model says of the same samples."""

    parents: ClassVar[Mapping[str, str]] = {"teacher": "teacher"}
    name: Literal["distillation"] = "distillation"
    teacher: str = Field(min_length=1)
    """The finished run to learn from: id, unique prefix, path or `@last`."""
    temperature: float = Field(default=4.0, gt=0)
    """Softens both models' outputs: the higher, the more unlikely classes count."""
    alpha: float = Field(default=0.7, ge=0, le=1)
    """Share of the teacher in the loss; the rest is the task's own loss."""
    feature_weight: float = Field(default=0.0, ge=0)
    """Weight of the squared difference between the two models' features; 0 leaves it out."""
    start: Literal["own", "teacher"] = "own"
    """What the student begins with: its `own` weights, as in mode normal, or those of the
    `teacher` that it can take over."""


class FusionMode(Mode):
    """Combine the models of finished runs into one verdict."""

    parents: ClassVar[Mapping[str, str]] = {"experts": "expert"}
    name: Literal["fusion"] = "fusion"
    experts: tuple[str, ...] = Field(min_length=2)
    """The finished runs to combine, in this order: ids, unique prefixes or paths."""
    folds: int = Field(default=5, ge=2)
    """Parts that the held-out time is dealt out to: combiners are compared out of fold."""
    passes: int = Field(default=4, ge=1)
    """Passes over the held-out samples that make an epoch."""


ModeConfig = Annotated[
    Annotated[NormalMode, Tag("normal")]
    | Annotated[AutoencoderMode, Tag("autoencoder")]
    | Annotated[CurriculumMode, Tag("curriculum")]
    | Annotated[DistillationMode, Tag("distillation")]
    | Annotated[FusionMode, Tag("fusion")],
    Discriminator(tag_or("normal")),
]
