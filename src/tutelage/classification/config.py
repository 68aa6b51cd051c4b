"""Settings of a task that tells classes of arrays; an author adds a model."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from tutelage.core.config import DataConfig, RunConfig


class ClassificationData(DataConfig):
    """Which examples train, validate and test."""

    validation_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the examples of each class that validates."""
    test_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the examples of each class that tests."""
    split_seed: int = Field(default=0, ge=0)
    """Seed of the choice."""

    @model_validator(mode="after")
    def _leaves_some(self) -> Self:
        if self.validation_share + self.test_share >= 1:
            said = f"validation_share={self.validation_share} and test_share={self.test_share}"
            raise ValueError(f"{said} leave nothing to train on")
        return self


class ClassificationConfig(RunConfig):
    """The whole run; an author's own names its `task` and its `model`."""

    data: ClassificationData = ClassificationData()
    """The data and how they are split."""
