"""Settings of the CAN task: its data, its models, and the whole run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from tutelage.core.config import (
    DataConfig,
    ModelConfig,
    RunConfig,
    Section,
    Training,
    as_word,
    tag_or,
)
from tutelage.tasks.can.fusion.config import (
    BanditConfig,
    BestConfig,
    DQNConfig,
    GatedConfig,
    LogisticConfig,
    MeanConfig,
    MLPConfig,
)


class Columns(Section):
    """Names of a foreign file's columns, where they are not ours."""

    timestamp: str | None = None
    """Column of the time in seconds."""
    arbitration_id: str | None = None
    """Column of the CAN id: hexadecimal text or an integer."""
    data_field: str | None = None
    """Column of the payload in hexadecimal."""
    label: str | None = None
    """Column that is 0 for a genuine frame and 1 for an attack's."""
    dlc: str | None = None
    """Column of the payload's length in bytes, where the payload is padded."""

    def given(self) -> dict[str, str]:
        """The names that were set."""
        return {name: column for name, column in self if column is not None}


class CANData(DataConfig):
    """Captures, and how windows are cut and split."""

    formats: ClassVar[Mapping[str, str]] = {
        "csv": "can-train-and-test: header timestamp,arbitration_id,data_field,attack",
        "parquet": "can-train-and-test: columns timestamp, id, data_field, label",
        "hcrl": "HCRL Car-Hacking (R/T last) and Survival (0/1 last), no header",
        "otids": "OTIDS text: Timestamp: … ID: … DLC: … (no labels)",
        "candump": "(seconds) interface id#data; labelled by ROAD's capture_metadata.json",
        "asc, blf, trc": "Vector and PEAK logs through python-can (no labels)",
        "mf4": "MDF 4 bus logging through asammdf (no labels)",
    }
    layout: ClassVar[str] = """\
A folder or a file trains, tests or validates when its name begins with train, test or val; the rest
trains, and of each capture the last fifth of its time tests where nothing is called test. Captures
that train need a label for each frame. Columns of other names: data.columns.label=is_attack.

    data/train_01/drive.csv     timestamp,arbitration_id,data_field,attack
                                1478198376.389427,0316,0521680921216F00,0
    data/test_01/other_drive.csv"""
    columns: Columns = Columns()
    """Column names of foreign files."""
    window: int = Field(default=100, ge=2, le=1024)
    """Frames in a window; a window is a graph."""
    stride: int = Field(default=100, ge=1)
    """Frames from one window's start to the next one's."""
    validation_fraction: float = Field(default=0.15, gt=0, lt=1)
    """Share of the time of each training capture that is held out, in up to three stretches."""
    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of each capture's time, at its end, that tests, where no capture is named test."""
    embargo_seconds: float = Field(default=1.0, ge=0)
    """Time left out on both sides of a held-out stretch."""
    fold_by: Literal["time", "capture", "vehicle"] = "time"
    """What a fold holds out. `time`: pieces of captures; `capture`: whole captures; `vehicle`: all
    captures of a vehicle or, where names tell none, of a set, so that a fold tells how well a
    stranger would be judged."""
    simulated_seconds: float = Field(default=40.0, ge=5)
    """Seconds of each embedded capture with attacks; attack-free ones last twice that."""
    simulated_seed: int = Field(default=0, ge=0)
    """Seed of the embedded captures."""


class GATConfig(ModelConfig):
    """Graph attention network with jumping knowledge."""

    name: Literal["gat"] = "gat"
    """Classifies windows as benign or attacked."""
    layers: int = Field(default=3, ge=1)
    """Attention layers."""
    hidden: int = Field(default=16, ge=1)
    """Channels of each head."""
    heads: int = Field(default=4, ge=1)
    """Attention heads of each layer."""
    id_embedding: int = Field(default=16, ge=1)
    """Size of the embedding of a CAN id."""
    id_dropout: float = Field(default=0.5, ge=0, lt=1)
    """Share of nodes whose id the network can't see in a training step."""
    vehicle_dropout: float = Field(default=0.5, ge=0, lt=1)
    """Share of windows that look, in training, as those of an unknown vehicle do."""
    jumping_knowledge: Literal["cat", "max", "lstm"] = "cat"
    """How the layers' outputs are joined (Xu et al. 2018)."""
    edge_features: bool = True
    """Let attention see the features of the edges."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Share of channels dropped in training."""
    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    """Training objective."""
    class_weights: Literal["balanced", "none"] = "balanced"
    """Weigh the classes inversely to their frequency in training, or not."""


class VGAEConfig(ModelConfig):
    """Variational graph autoencoder."""

    name: Literal["vgae"] = "vgae"
    """Reconstructs benign windows; what it can't reconstruct is anomalous."""
    layers: int = Field(default=2, ge=1)
    """Attention layers of the encoder."""
    hidden: int = Field(default=16, ge=1)
    """Channels of each head."""
    heads: int = Field(default=4, ge=1)
    """Attention heads of each layer."""
    id_embedding: int = Field(default=16, ge=1)
    """Size of the embedding of a CAN id."""
    latent: int = Field(default=16, ge=1)
    """Size of a node's latent code."""
    id_weight: float = Field(default=0.1, ge=0)
    """Weight of the cross-entropy of the reconstructed id."""
    kl_weight: float = Field(default=0.01, ge=0)
    """Weight of the divergence from the standard normal prior."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of channels dropped in training."""


class CANTraining(Training):
    """The optimiser, the loop and the device."""

    max_epochs: int = Field(default=8, ge=1)
    """Passes over the training data."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Peak learning rate."""


class CANEvaluation(Section):
    """How windows become alarms, and how alarms are scored."""

    k: int = Field(default=1, ge=1)
    """Windows over the threshold that an alarm takes, of the last `n`."""
    n: int = Field(default=1, ge=1, le=1000)
    """Windows that an alarm looks back on, this one included."""
    event_gap_seconds: float = Field(default=2.0, gt=0)
    """Attack frames this far apart, or further, belong to two events."""
    calibration: Literal["none", "prefix", "drives"] = "none"
    """What is taken for normal in a test capture, labels unread. `none`: what training saw; the
    model is scored alone. `prefix`: the capture's own beginning; the model and the label-free
    monitors are scored together, on what follows. `drives`: other drives of the vehicle, if there
    are any; else the beginning."""
    drives: Annotated[Path | None, BeforeValidator(as_word)] = None
    """File or folder of other drives, for `drives`; null takes the training captures."""
    calibration_seconds: float = Field(default=10.0, gt=0)
    """Length of that beginning."""
    false_alarms_per_hour: float = Field(default=10.0, gt=0)
    """Budget that the label-free monitors and the learned detector share under calibration."""
    operating_points: tuple[Annotated[float, Field(gt=0)], ...] = (1.0, 10.0, 60.0)
    """False alarms an hour for which thresholds are chosen on held-out benign windows."""

    @field_validator("drives")
    @classmethod
    def _absolute(cls, drives: Path | None) -> Path | None:
        """Keep the path true when the run is read from another folder."""
        return None if drives is None else drives.expanduser().absolute()

    @model_validator(mode="after")
    def _enough_windows(self) -> Self:
        if self.k > self.n:
            raise ValueError(f"an alarm can't take k={self.k} of the last n={self.n} windows")
        return self

    @model_validator(mode="after")
    def _drives_are_used(self) -> Self:
        if self.drives is not None and self.calibration != "drives":
            raise ValueError(
                f"evaluation.drives is not read with evaluation.calibration={self.calibration}; "
                "set evaluation.calibration=drives, or evaluation.drives=null"
            )
        return self


CANModel = Annotated[
    Annotated[GATConfig, Tag("gat")]
    | Annotated[VGAEConfig, Tag("vgae")]
    | Annotated[MeanConfig, Tag("mean")]
    | Annotated[LogisticConfig, Tag("logistic")]
    | Annotated[MLPConfig, Tag("mlp")]
    | Annotated[GatedConfig, Tag("gated")]
    | Annotated[BanditConfig, Tag("bandit")]
    | Annotated[DQNConfig, Tag("dqn")]
    | Annotated[BestConfig, Tag("best")],
    Discriminator(tag_or("gat")),
]


class CANConfig(RunConfig):
    """A whole CAN run."""

    task: Literal["can"] = "can"
    """The domain."""
    model: CANModel = GATConfig()
    """The network."""
    data: CANData = CANData()
    """Captures, and how windows are cut and split."""
    training: CANTraining = CANTraining()
    """The optimiser, the loop and the device."""
    evaluation: CANEvaluation = CANEvaluation()
    """How windows become alarms, and how alarms are scored."""
