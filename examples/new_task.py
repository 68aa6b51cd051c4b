"""Handwritten digits: a task of Tutelage in one file, with its data, its networks and its names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Discriminator, Field, Tag

from tutelage.classification import (
    CLASSIFIER_MODES,
    ClassificationConfig,
    ClassificationData,
    ClassificationTask,
    Examples,
    read_numbers,
)
from tutelage.core.config import ModelConfig, Training, tag_or
from tutelage.task import ModelEntry

if TYPE_CHECKING:
    from torch import nn

SIDE, CLASSES = 8, tuple("0123456789")


class ConvNetConfig(ModelConfig):
    name: Literal["convnet"] = "convnet"
    """Two convolutions, then one hidden layer."""
    channels: int = Field(default=16, ge=1)
    """Channels of the first convolution; the second has twice as many."""
    hidden: int = Field(default=64, ge=1)
    """Units of the hidden layer."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of them that a step leaves out."""


class PerceptronConfig(ModelConfig):
    name: Literal["perceptron"] = "perceptron"
    """One hidden layer on the pixels."""
    hidden: int = Field(default=16, ge=1)
    """Units of the hidden layer."""


class DigitsData(ClassificationData):
    formats: ClassVar = {
        "CSV": "UCI optdigits, no header: 64 counts from 0 to 16, the rows of an 8 × 8 picture, "
        "then the digit; without that column, for `tutelage predict`"
    }


class DigitsTraining(Training):
    learning_rate: float = Field(default=5e-3, gt=0)
    """Peak learning rate."""


class DigitsConfig(ClassificationConfig):
    task: Literal["digits"] = "digits"
    model: Annotated[
        Annotated[ConvNetConfig, Tag("convnet")] | Annotated[PerceptronConfig, Tag("perceptron")],
        Discriminator(tag_or("convnet")),
    ] = ConvNetConfig()
    """The network."""
    data: DigitsData = DigitsData()
    """The pictures and how they are split."""
    training: DigitsTraining = DigitsTraining()
    """The optimiser, the loop and the device."""


class Digits(ClassificationTask[DigitsConfig]):
    """Tell the digit on a small picture."""

    name: ClassVar = "digits"
    summary: ClassVar = "handwritten digits, 8 × 8 pixels"
    data_summary: ClassVar = "1,797 digits of the UCI repository, which scikit-learn ships"
    models: ClassVar = {
        "convnet": ModelEntry("two convolutions", CLASSIFIER_MODES, guides=True),
        "perceptron": ModelEntry("one hidden layer", CLASSIFIER_MODES, guides=True),
    }
    config_type = DigitsConfig

    def examples(self, config: DigitsConfig) -> Examples:
        if config.data.root is None:
            from sklearn.datasets import load_digits

            table = np.column_stack(load_digits(return_X_y=True))
        else:
            table = read_numbers(config.data.root, columns=(SIDE**2, SIDE**2 + 1))
        pictures = table[:, : SIDE**2].reshape(-1, 1, SIDE, SIDE)
        labels = table[:, SIDE**2] if table.shape[1] > SIDE**2 else None
        return Examples(pictures, labels, CLASSES)

    def body(self, config: DigitsConfig, shape: Sequence[int]) -> nn.Module:
        from torch import nn

        model = config.model
        if isinstance(model, PerceptronConfig):
            return nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, model.hidden), nn.ReLU())
        few, many = model.channels, 2 * model.channels
        return nn.Sequential(
            *(nn.Conv2d(1, few, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(few, many, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
            *(nn.Linear(many * (SIDE // 4) ** 2, model.hidden), nn.ReLU()),
            nn.Dropout(model.dropout),
        )
