"""Losses of logits or embeddings against class targets."""

from tutelage.losses.supervised.cross_entropy import CrossEntropyLoss
from tutelage.losses.supervised.focal import FocalLoss
from tutelage.losses.supervised.supervised_contrastive import SupervisedContrastiveLoss

__all__ = ["CrossEntropyLoss", "FocalLoss", "SupervisedContrastiveLoss"]
