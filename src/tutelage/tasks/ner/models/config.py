"""Settings of the networks that tag words, and of their training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from tutelage.core.config import ModelConfig, Training, tag_or


class BiLSTMConfig(ModelConfig):
    """Words and their characters through a bidirectional LSTM, from scratch."""

    name: Literal["bilstm"] = "bilstm"
    """Tags words without any weights to begin with."""
    hidden: int = Field(default=128, ge=1)
    """Units of each direction."""


class NERTraining(Training):
    """The optimiser, the loop and the device."""


NERModel = Annotated[Annotated[BiLSTMConfig, Tag("bilstm")], Discriminator(tag_or("bilstm"))]
