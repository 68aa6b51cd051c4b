"""Settings of the neural models: the parts of the core, the readouts, and their training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from tutelage.core.config import ModelConfig, Section, Training, as_named, tag_or
from tutelage.task import ModelEntry
from tutelage.tasks.neural.models.blends import MeanRates, UnitWeightedRates, WeightedRates

Positive = Annotated[int, Field(ge=1)]


class Adapter(Section):
    """What a session's stimulus passes before the core sees it."""

    name: Literal["none", "affine"] = "none"
    """`affine`: learned shift, scale and blur for each session, as eyes and screens differ."""


class TemporalFrontend(Section):
    """A temporal basis: each pixel's recent past through a few learned filters."""

    name: Literal["temporal"] = "temporal"
    """Learned temporal filters, the same for each pixel."""
    lags: Positive = 16
    """Frames that a filter spans, the present one included."""
    channels: Positive = 4
    """Filters."""
    basis: Positive = 7
    """Raised cosines that each filter is a sum of, narrow for the recent past, wide before."""

    @property
    def context(self) -> int:
        """Frames of history."""
        return self.lags - 1


class GaborFrontend(Section):
    """A fixed bank of quadrature Gabor pairs, and the luminance."""

    name: Literal["gabor"] = "gabor"
    """Energy of Gabor filters, luminance and its square; nothing of it is learned."""
    wavelengths: tuple[Annotated[float, Field(ge=3)], ...] = Field(
        default=(4.0, 6.0, 10.0, 16.0), min_length=1
    )
    """Pixels a cycle, for each scale."""
    orientations: Positive = 8
    """Directions of each scale, evenly over half a turn."""
    bandwidth: float = Field(default=0.45, gt=0, le=2)
    """Standard deviation of an envelope in wavelengths."""
    stride: Literal[2, 4, 8] = 4
    """Pixels from one place to the next."""

    @property
    def context(self) -> int:
        """Frames of history."""
        return 0


class ConvFrontend(Section):
    """Learned filters over space and time."""

    name: Literal["conv"] = "conv"
    """A spatio-temporal convolution."""
    lags: Positive = 12
    """Frames that a filter spans."""
    channels: Positive = 8
    """Filters."""
    kernel: Positive = 7
    """Height and width of a filter in pixels."""
    stride: Positive = 1
    """Pixels from one place to the next."""
    pairs: int = Field(default=0, ge=0)
    """Pairs of further filters that hand on their energy, the root of the sum of their squares."""

    @property
    def context(self) -> int:
        """Frames of history."""
        return self.lags - 1


class NoFrontend(Section):
    """Pixels as they are."""

    name: Literal["none"] = "none"
    """Nothing between the pixels and the convolutions."""

    @property
    def context(self) -> int:
        """Frames of history."""
        return 0


Frontend = Annotated[
    Annotated[TemporalFrontend, Tag("temporal")]
    | Annotated[GaborFrontend, Tag("gabor")]
    | Annotated[ConvFrontend, Tag("conv")]
    | Annotated[NoFrontend, Tag("none")],
    Discriminator(tag_or("temporal")),
    BeforeValidator(as_named),
]


class Convnet(Section):
    """The convolutions that all sessions share."""

    name: Literal["vanilla", "resnet", "densenet", "none"] = "vanilla"
    """`resnet` adds each layer's input to its output, `densenet` hands on all earlier outputs."""
    channels: tuple[Positive, ...] = (16, 32)
    """Channels of each layer; of a densenet, those that each adds."""
    kernels: tuple[Positive, ...] = (7, 5)
    """Height and width of each layer's filters; the last one holds for all further layers."""
    frames: tuple[Positive, ...] = (1,)
    """Frames that each layer's filters span; the last one holds for all further layers."""
    pools: tuple[Positive, ...] = (2, 1)
    """Places that are averaged, each way, after each layer; the last one holds on."""
    padding: Literal["same", "valid"] = "same"
    """Zeros around the image, or smaller maps."""
    norm: Literal["batch", "none"] = "batch"
    """Normalisation of each layer's output."""
    activation: Literal["elu", "relu", "softplus"] = "elu"
    """Nonlinearity of each layer."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of channels dropped after each layer in training."""

    @property
    def layers(self) -> tuple[tuple[int, int, int, int], ...]:
        """Channels, kernel, frames and pool of each layer."""
        if self.name == "none":
            return ()
        rows = range(len(self.channels))
        kernels, frames, pools = (
            [values[min(i, len(values) - 1)] for i in rows]
            for values in (self.kernels, self.frames, self.pools)
        )
        return tuple(zip(self.channels, kernels, frames, pools, strict=True))

    @property
    def context(self) -> int:
        """Frames of history."""
        return sum(frames - 1 for _, _, frames, _ in self.layers)

    @model_validator(mode="after")
    def _one_a_layer(self) -> Self:
        for field in ("channels", "kernels", "frames", "pools"):
            values = getattr(self, field)
            too_many = field in self.model_fields_set and len(values) > len(self.channels)
            if not values or too_many:
                raise ValueError(
                    f"{field} has {len(values)} values for {len(self.channels)} layers"
                )
        if self.padding == "same" and any(kernel % 2 == 0 for kernel in self.kernels):
            raise ValueError("kernels must be odd where padding=same keeps a map's size")
        return self


class Modulator(Section):
    """How behaviour acts on what the core says of the stimulus."""

    name: Literal["auto", "none", "concat", "film", "convgru"] = "auto"
    """`concat`: as further channels; `film`: gain and offset of each channel; `convgru`: an input
    of a recurrent layer; `auto`: `film` where all sessions have behaviour, else `none`."""
    width: Positive = 8
    """Channels that a session's behavioural signals are mapped to."""
    channels: Positive = 16
    """Channels of the state (convgru)."""
    warmup: int = Field(default=8, ge=0)
    """Frames before the first prediction in which the state settles (convgru)."""

    @property
    def context(self) -> int:
        """Frames of history."""
        return self.warmup if self.name == "convgru" else 0

    def settled(self, behaviour: bool) -> Modulator:
        """Return it with `auto` settled.

        Args:
            behaviour: Whether all sessions have behaviour.
        """
        if self.name != "auto":
            return self
        return self.model_copy(update={"name": "film" if behaviour else "none"})


class Recurrent(Section):
    """A layer with a state that goes on from frame to frame."""

    name: Literal["none", "convgru", "gru", "lstm"] = "none"
    """`convgru`: neighbours in space take part; `gru`, `lstm`: each place by itself."""
    channels: Positive = 16
    """Channels of the state."""
    kernel: Positive = 3
    """Height and width of the filters (convgru)."""
    warmup: int = Field(default=8, ge=0)
    """Frames before the first prediction in which the state settles."""

    @property
    def context(self) -> int:
        """Frames of history."""
        return 0 if self.name == "none" else self.warmup


class Readout(Section):
    """How a unit reads the shared features."""

    name: Literal["factorised", "gaussian", "linear"] = "factorised"
    """`factorised`: weights of places times weights of channels; `gaussian`: a turned Gaussian
    for the places; `linear`: a weight for each place and channel."""


class History(Section):
    """Filters over a unit's own past responses."""

    lags: int = Field(default=0, ge=0)
    """Frames of a unit's past that add to its drive; 0 for none."""


class Pretraining(Section):
    """What a core learns from stimuli alone, in mode *autoencoder*."""

    name: Literal["auto", "masked", "next_frame"] = "auto"
    """`masked`: fill in hidden patches; `next_frame`: foresee the frame that comes; `auto`: the
    latter for movies, the former for images."""
    masked_share: float = Field(default=0.5, gt=0, lt=1)
    """Share of the patches that are hidden."""
    patch: Positive = 8
    """Height and width of a patch in pixels."""


class Regularizer(Section):
    """A price on some parameters, or a rule that holds them."""

    name: Literal[
        "l1",
        "l2",
        "group_lasso",
        "orthogonality",
        "laplacian",
        "proximal_l1",
        "proximal_clamp",
    ]
    """The price; or a `proximal` step after each of the optimiser's."""
    parameters: str = Field(min_length=1)
    """Pattern of the parameters' names, as `network.readouts.*.features`; it must fit some."""
    strength: float = Field(gt=0)
    """What the penalty is multiplied by; of `proximal_clamp`, the largest size of a weight."""
    schedule: Literal["constant", "warmup", "ramp", "decay"] = "constant"
    """`warmup`: 0 until `start`, then in full; `ramp`: linearly from 0 at `start` to full at `end`;
    `decay`: in full until `start`, linearly to 0 at `end`."""
    start: float = Field(default=0.0, ge=0, le=1)
    """Share of the run's steps."""
    end: float = Field(default=1.0, ge=0, le=1)
    """Share of the run's steps."""


class MultiDatasetConfig(ModelConfig):
    """A core that all sessions share, and a readout for each."""

    parents: ClassVar[Mapping[str, str]] = {"core_from": "core"}
    name: Literal["multidataset"] = "multidataset"
    """Adapter, frontend, convolutions, modulator, recurrent layer, readouts."""
    adapter: Adapter = Adapter()
    """What a session's stimulus passes before the core sees it."""
    frontend: Frontend | None = None
    """The core's first layer; null: `gabor` for images, `conv` for movies (8 lags, 16 channels of
    11 × 11 pixels, stride 2)."""
    convnet: Convnet | None = None
    """The core's convolutions; null: what suits the frontend that null takes."""
    modulator: Modulator = Modulator()
    """How behaviour acts."""
    recurrent: Recurrent = Recurrent()
    """A layer with a state, for movies."""
    readout: Readout = Readout()
    """How a unit reads the shared features."""
    history: History = History()
    """A unit's own past."""
    least_context: int = Field(default=0, ge=0)
    """Least frames of history in front of a movie's chunks, where another model that sees the same
    chunks (a teacher, a guide) needs more than this one."""
    output: Literal["softplus", "exp", "identity"] = "softplus"
    """From a unit's drive to its rate; identity is for fluorescence."""
    loss: Literal["poisson", "mse"] = "poisson"
    """Objective over the valid responses."""
    pretraining: Pretraining = Pretraining()
    """What the core learns from stimuli alone (mode=autoencoder)."""
    core_from: str | None = Field(default=None, min_length=1)
    """Finished run whose core this model begins with: id, unique prefix, path or `@last`."""
    freeze_core: bool = False
    """Train the readouts alone; without `core_from`, upon a random core."""

    @property
    def context(self) -> int:
        """C: frames of history that a movie's first predicted frame needs."""
        frontend, convnet = self.parts(static=False)
        core = frontend.context + convnet.context
        core += self.modulator.context + self.recurrent.context
        return max(core, self.history.lags, self.least_context)

    def parts(
        self, static: bool
    ) -> tuple[TemporalFrontend | GaborFrontend | ConvFrontend | NoFrontend, Convnet]:
        """Return frontend and convolutions, with what null stands for filled in.

        Args:
            static: For images rather than movies; these have no past, so every filter spans one
                frame.
        """
        if self.frontend is not None:
            frontend = self.frontend
        else:
            frontend = GaborFrontend() if static else MOVIE_FRONTEND
        suited = Convnet()
        if isinstance(frontend, GaborFrontend):
            suited = IMAGE_CONVNET
        elif self.frontend is None:
            suited = MOVIE_CONVNET
        convnet = suited if self.convnet is None else self.convnet
        if not static:
            return frontend, convnet
        if isinstance(frontend, TemporalFrontend | ConvFrontend):
            frontend = frontend.model_copy(update={"lags": 1})
        return frontend, convnet.model_copy(update={"frames": (1,)})

    @model_validator(mode="after")
    def _rates_above_zero(self) -> Self:
        if self.loss == "poisson" and self.output == "identity":
            raise ValueError("loss=poisson needs rates above 0: output=softplus or exp")
        return self


IMAGE_CONVNET: Final = Convnet(channels=(48, 64), kernels=(3,), pools=(2, 1))
"""What stands after Gabor energies where no convolutions are asked for."""
MOVIE_FRONTEND: Final = ConvFrontend(lags=8, channels=16, kernel=11, stride=2)
"""The first layer for movies where none is asked for."""
MOVIE_CONVNET: Final = Convnet(channels=(32,), kernels=(3,), pools=(1,))
"""What stands after it."""


class NeuralTraining(Training):
    """The optimiser, the loop and the device."""

    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = 32
    """Images a step, or stretches of a movie; `auto` measures the best number."""
    max_epochs: int = Field(default=20, ge=1)
    """Passes over the training data."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """Peak learning rate."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """Decoupled weight decay (adamw), L2 penalty (adam, sgd)."""
    core_rate: float = Field(default=1.0, gt=0)
    """The core's learning rate as a multiple of `learning_rate`."""
    head_rate: float = Field(default=1.0, gt=0)
    """The readouts' learning rate as a multiple of `learning_rate`."""
    regularizers: tuple[Regularizer, ...] = ()
    """Prices on weights, beside the loss."""


NeuralModel = Annotated[
    Annotated[MultiDatasetConfig, Tag("multidataset")]
    | Annotated[MeanRates, Tag("mean")]
    | Annotated[WeightedRates, Tag("weighted")]
    | Annotated[UnitWeightedRates, Tag("keyed")],
    Discriminator(tag_or("multidataset")),
]
DEFAULT_MODEL: Final = MultiDatasetConfig()
MODELS: Final[Mapping[str, ModelEntry]] = {
    "multidataset": ModelEntry(
        "a core that all sessions share, a readout for each",
        ("normal", "autoencoder", "curriculum", "distillation"),
        guides=True,
    ),
    "mean": ModelEntry("mean of several models' rates", ("fusion",)),
    "weighted": ModelEntry("several models' rates, a weight for each model", ("fusion",)),
    "keyed": ModelEntry("several models' rates, weights for each unit", ("fusion",)),
}
