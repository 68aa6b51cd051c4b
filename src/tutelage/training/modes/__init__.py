"""Training modes: each fills the hooks of one template and knows no domain."""

from __future__ import annotations

from tutelage.core.registry import Registry
from tutelage.training.modes.autoencoder import AutoencoderTrainer
from tutelage.training.modes.base import BaseTrainer
from tutelage.training.modes.curriculum import CurriculumTrainer
from tutelage.training.modes.distillation import DistillationTrainer
from tutelage.training.modes.fusion import FusionTrainer
from tutelage.training.modes.normal import NormalTrainer

MODES: Registry[type[BaseTrainer]] = Registry("mode")
MODES.register("normal")(NormalTrainer)
MODES.register("autoencoder")(AutoencoderTrainer)
MODES.register("curriculum")(CurriculumTrainer)
MODES.register("distillation")(DistillationTrainer)
MODES.register("fusion")(FusionTrainer)

__all__ = [
    "MODES",
    "AutoencoderTrainer",
    "BaseTrainer",
    "CurriculumTrainer",
    "DistillationTrainer",
    "FusionTrainer",
    "NormalTrainer",
]
