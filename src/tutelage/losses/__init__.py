"""Losses by name: each one file, with its source, its shapes and a naive reference in its test."""

from tutelage.losses.base import BaseSupervisedLoss
from tutelage.losses.distillation import FeatureMatchingLoss, SoftTargetLoss
from tutelage.losses.registry import LOSSES, get_loss, register_loss
from tutelage.losses.supervised import CrossEntropyLoss, FocalLoss

__all__ = [
    "LOSSES",
    "BaseSupervisedLoss",
    "CrossEntropyLoss",
    "FeatureMatchingLoss",
    "FocalLoss",
    "SoftTargetLoss",
    "get_loss",
    "register_loss",
]
