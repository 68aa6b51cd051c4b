"""Training modes: each fills the hooks of one template and knows no domain."""

from __future__ import annotations

from tutelage.core.registry import Registry
from tutelage.training.modes.autoencoder import AutoencoderTrainer
from tutelage.training.modes.base import BaseTrainer
from tutelage.training.modes.normal import NormalTrainer

MODES: Registry[type[BaseTrainer]] = Registry("mode")
MODES.register("normal")(NormalTrainer)
MODES.register("autoencoder")(AutoencoderTrainer)

__all__ = ["MODES", "AutoencoderTrainer", "BaseTrainer", "NormalTrainer"]
