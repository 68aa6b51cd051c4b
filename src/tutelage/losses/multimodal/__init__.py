"""Losses that look at both modalities at once, or that are made of other losses."""

from tutelage.losses.multimodal.combined import CombinedLoss
from tutelage.losses.multimodal.cross_modal import CrossModalLoss
from tutelage.losses.multimodal.feature_consistency import FeatureConsistencyLoss
from tutelage.losses.multimodal.fusion import FusionLoss
from tutelage.losses.multimodal.multitask import MultitaskLoss, UncertaintyWeightedLoss

__all__ = [
    "CombinedLoss",
    "CrossModalLoss",
    "FeatureConsistencyLoss",
    "FusionLoss",
    "MultitaskLoss",
    "UncertaintyWeightedLoss",
]
