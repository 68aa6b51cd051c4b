"""Losses of a student against a teacher."""

from tutelage.losses.distillation.feature_matching import FeatureMatchingLoss
from tutelage.losses.distillation.soft_targets import SoftTargetLoss

__all__ = ["FeatureMatchingLoss", "SoftTargetLoss"]
