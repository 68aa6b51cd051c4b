"""Settings of the neural task: its data, its evaluation, and the whole run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tutelage.core.config import DataConfig, RunConfig, Section, as_word
from tutelage.tasks.neural.models.config import DEFAULT_MODEL, NeuralModel, NeuralTraining


class Split(Section):
    """How recordings are divided into training, validation and test data."""

    train: float = Field(default=0.7, gt=0, lt=1)
    """Share that trains."""
    validation: float = Field(default=0.1, gt=0, lt=1)
    """Share that validates; the rest tests."""
    by: Literal["auto", "trial", "block"] = "auto"
    """What stays together. `trial`: trials, and all that show the same stimulus with them (for
    images: all rows of one image); `block`: stretches of `block_seconds`, or of `block_frames`
    rows; `auto`: trials, or stretches where a recording is one long trial."""
    block_seconds: float = Field(default=10.0, gt=0)
    """Length of a stretch of a movie."""
    block_frames: int | None = Field(default=None, ge=1)
    """Length of a stretch in rows, in place of `block_seconds`."""
    embargo_seconds: float = Field(default=0.5, ge=0)
    """Time left out on both sides of a border between parts within one trial."""
    seed: int = Field(default=0, ge=0)
    """Seed of the division; it does not move with training.seed."""

    @model_validator(mode="after")
    def _leaves_tests(self) -> Self:
        if self.train + self.validation >= 1:
            raise ValueError(
                f"train={self.train} and validation={self.validation} leave nothing to test"
            )
        return self


class NeuralData(DataConfig):
    """Recordings, and how they are cut and split."""

    formats: ClassVar[Mapping[str, str]] = {
        "npz": "images or stimulus, responses; optional valid, behaviour, unit_ids, trial, block",
        "hdf5": "the same names as datasets of one file a session",
        "nwb": "NWB 2 through pynwb: units with spike times, an image series, behaviour",
        "yaml": "a parent file and one file a session, deep-merged",
    }
    layout: ClassVar[str] = """\
One file a session: T frames or images, and what N units answered to each. What shows the same image
or movie never stands on two sides of the split; an array part (train, validation, test) makes it
yours.

    data/monday.npz             stimulus (T, H, W), responses (T, N), unit_ids (N,), rate_hz ()
    data/tuesday.npz            images (T, H, W), responses (T, N), trial (T,)"""
    sessions: Annotated[Path | None, BeforeValidator(as_word)] = None
    """Folder of session files (YAML) to lay on `root`, where that is a parent YAML file; null takes
    what the parent file names."""
    max_sessions: int | None = Field(default=None, ge=1)
    """Take the first sessions in order of their ids; null takes all."""
    only: tuple[str, ...] = ()
    """Ids of the sessions to take; empty takes all."""
    leave_out: tuple[str, ...] = ()
    """Ids of sessions to leave out, as for a later transfer to them."""
    responses: Literal["spikes", "calcium"] = "spikes"
    """Spike counts, never negative; or fluorescence, which may be."""
    behaviour: tuple[str, ...] = ()
    """Behavioural signals that the model sees; a session that lacks one is refused. Empty: all
    that every session has, if any."""
    silent_units: Literal["refuse", "drop"] = "refuse"
    """What to do about units that never answer."""
    split: Split = Split()
    """How recordings are divided."""
    chunk_frames: int = Field(default=32, ge=1)
    """Frames that are predicted at once, in a row, of a movie."""
    train_rows: int | None = Field(default=None, ge=1)
    """Most training images (or trials) of each session, to see what fewer do; null for all."""
    balance: Literal["none", "session", "animal", "unit"] = "none"
    """What counts alike in the loss: each frame; each session; each animal, and in it each session;
    each unit."""
    batches: Literal["mixed", "shared", "by_session"] = "mixed"
    """`mixed`: a step sees stretches of all sessions; `shared`: where sessions show the same, each
    stimulus with all their answers to it, so that the core sees it once (`training.batch_size`
    counts stimuli then); `by_session`: one session after another."""
    sampler: Literal["uniform", "contrast"] = "uniform"
    """Which chunks are drawn: all alike, or those of high contrast more often at first (mixed)."""
    contrast_warmup_steps: int = Field(default=500, ge=1)
    """Steps until all chunks are drawn alike (contrast)."""
    simulated_sessions: int = Field(default=4, ge=1, le=64)
    """Embedded recordings, of two animals in turn."""
    simulated_seconds: float = Field(default=240.0, ge=20)
    """Length of each."""
    simulated_units: int = Field(default=24, ge=4, le=512)
    """Units of each."""
    simulated_stimuli: Literal["own", "shared"] = "own"
    """Whether each embedded recording shows its own movies, or all the same, in another order."""
    simulated_seed: int = Field(default=0, ge=0)
    """Seed of the embedded recordings."""

    @model_validator(mode="after")
    def _contrast_is_mixed(self) -> Self:
        if self.sampler == "contrast" and self.batches != "mixed":
            raise ValueError("sampler=contrast draws over all sessions: it needs batches=mixed")
        return self

    @field_validator("sessions")
    @classmethod
    def _sessions_absolute(cls, sessions: Path | None) -> Path | None:
        """Keep the path true when the run is read from another folder."""
        return None if sessions is None else sessions.expanduser().absolute()


class NeuralEvaluation(Section):
    """How predicted responses are scored."""

    block_rows: int = Field(default=50, ge=2)
    """Rows of a recording block, where a recording of images does not tell its blocks."""
    bootstrap: int = Field(default=1000, ge=0)
    """Resamples for the intervals of each mean; 0 for none."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Share of the resamples within an interval."""
    drawn_sessions: int = Field(default=1, ge=0)
    """Sessions of which the report draws traces and receptive fields."""
    baselines: bool = True
    """Fit the mean rate, a linear-nonlinear model and the Gabor-energy ridge beside the model."""


class NeuralConfig(RunConfig):
    """A whole neural run."""

    task: Literal["neural"] = "neural"
    """The domain."""
    model: NeuralModel = DEFAULT_MODEL
    """The network."""
    data: NeuralData = NeuralData()
    """Recordings, and how they are cut and split."""
    training: NeuralTraining = NeuralTraining()
    """The optimiser, the loop and the device."""
    evaluation: NeuralEvaluation = NeuralEvaluation()
    """How predicted responses are scored."""

    @model_validator(mode="after")
    def _one_order(self) -> Self:
        data = self.data
        moved = (data.batches, data.sampler) != ("mixed", "uniform")
        if self.mode.name == "curriculum" and moved:
            raise ValueError(
                "mode=curriculum orders the stretches: leave out data.batches and data.sampler"
            )
        return self
