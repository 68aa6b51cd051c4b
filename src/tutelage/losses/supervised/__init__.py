"""Losses of logits against class targets."""

from tutelage.losses.supervised.cross_entropy import CrossEntropyLoss
from tutelage.losses.supervised.focal import FocalLoss

__all__ = ["CrossEntropyLoss", "FocalLoss"]
