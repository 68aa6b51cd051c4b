"""Losses by name: each one file, with its source, its shapes and a naive reference in its test."""

from tutelage.losses.base import BaseContrastiveLoss, BaseSupervisedLoss, LossOutput
from tutelage.losses.contrastive import (
    BarlowTwinsLoss,
    CLIPLoss,
    DCLLoss,
    DCLWLoss,
    DecorrelationLoss,
    DynamicTemperatureLoss,
    EMAMoCoLoss,
    HardNegativeLoss,
    HybridLoss,
    MoCoLoss,
    MomentumEncoder,
    SemiHardLoss,
    SigLIPLoss,
    SimCLRLoss,
    SupConLoss,
    VICRegLoss,
)
from tutelage.losses.distillation import (
    FeatureMatchingLoss,
    RelationalDistillationLoss,
    SoftTargetLoss,
)
from tutelage.losses.distributed import GatheredLoss
from tutelage.losses.gradcache import grad_cache
from tutelage.losses.multimodal import (
    CombinedLoss,
    CrossModalLoss,
    FeatureConsistencyLoss,
    FusionLoss,
    MultitaskLoss,
    UncertaintyWeightedLoss,
)
from tutelage.losses.positives import Pairing, check_ids, positive_mask
from tutelage.losses.projection import LinearProjection, MLPProjection
from tutelage.losses.registry import LOSSES, LossEntry, get_loss, register_loss, two_tower_loss
from tutelage.losses.supervised import CrossEntropyLoss, FocalLoss, SupervisedContrastiveLoss
from tutelage.losses.temperature import BoundedScalar, CosineTemperature, Temperature

__all__ = [
    "LOSSES",
    "BarlowTwinsLoss",
    "BaseContrastiveLoss",
    "BaseSupervisedLoss",
    "BoundedScalar",
    "CLIPLoss",
    "CombinedLoss",
    "CosineTemperature",
    "CrossEntropyLoss",
    "CrossModalLoss",
    "DCLLoss",
    "DCLWLoss",
    "DecorrelationLoss",
    "DynamicTemperatureLoss",
    "EMAMoCoLoss",
    "FeatureConsistencyLoss",
    "FeatureMatchingLoss",
    "FocalLoss",
    "FusionLoss",
    "GatheredLoss",
    "HardNegativeLoss",
    "HybridLoss",
    "LinearProjection",
    "LossEntry",
    "LossOutput",
    "MLPProjection",
    "MoCoLoss",
    "MomentumEncoder",
    "MultitaskLoss",
    "Pairing",
    "RelationalDistillationLoss",
    "SemiHardLoss",
    "SigLIPLoss",
    "SimCLRLoss",
    "SoftTargetLoss",
    "SupConLoss",
    "SupervisedContrastiveLoss",
    "Temperature",
    "UncertaintyWeightedLoss",
    "VICRegLoss",
    "check_ids",
    "get_loss",
    "grad_cache",
    "positive_mask",
    "register_loss",
    "two_tower_loss",
]
