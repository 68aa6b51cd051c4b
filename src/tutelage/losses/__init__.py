"""Losses by name: each one file, with its source, its shapes and a naive reference in its test."""

from tutelage.losses.base import BaseContrastiveLoss, BaseSupervisedLoss, LossOutput
from tutelage.losses.contrastive import CLIPLoss, SigLIPLoss, SimCLRLoss
from tutelage.losses.distillation import FeatureMatchingLoss, SoftTargetLoss
from tutelage.losses.positives import Pairing, check_ids, positive_mask
from tutelage.losses.registry import LOSSES, LossEntry, get_loss, register_loss
from tutelage.losses.supervised import CrossEntropyLoss, FocalLoss
from tutelage.losses.temperature import BoundedScalar, Temperature

__all__ = [
    "LOSSES",
    "BaseContrastiveLoss",
    "BaseSupervisedLoss",
    "BoundedScalar",
    "CLIPLoss",
    "CrossEntropyLoss",
    "FeatureMatchingLoss",
    "FocalLoss",
    "LossEntry",
    "LossOutput",
    "Pairing",
    "SigLIPLoss",
    "SimCLRLoss",
    "SoftTargetLoss",
    "Temperature",
    "check_ids",
    "get_loss",
    "positive_mask",
    "register_loss",
]
