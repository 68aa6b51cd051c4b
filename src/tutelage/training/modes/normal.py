"""Mode *normal*: fit the model to the task's own objective."""

from __future__ import annotations

from tutelage.training.modes.base import BaseTrainer


class NormalTrainer(BaseTrainer):
    """The template as it stands."""
