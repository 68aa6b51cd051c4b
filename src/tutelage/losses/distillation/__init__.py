"""Losses of a student against a teacher."""

from tutelage.losses.distillation.feature_matching import FeatureMatchingLoss
from tutelage.losses.distillation.relational import RelationalDistillationLoss
from tutelage.losses.distillation.soft_targets import SoftTargetLoss

__all__ = ["FeatureMatchingLoss", "RelationalDistillationLoss", "SoftTargetLoss"]
