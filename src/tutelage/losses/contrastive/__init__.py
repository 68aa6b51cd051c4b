"""Losses of two towers' embeddings, or of two views of one."""

from tutelage.losses.contrastive.barlow_twins import BarlowTwinsLoss
from tutelage.losses.contrastive.clip import CLIPLoss
from tutelage.losses.contrastive.dcl import DCLLoss, DCLWLoss
from tutelage.losses.contrastive.decorrelation import DecorrelationLoss
from tutelage.losses.contrastive.dynamic_temperature import DynamicTemperatureLoss
from tutelage.losses.contrastive.hard_negative import HardNegativeLoss
from tutelage.losses.contrastive.hybrid import HybridLoss
from tutelage.losses.contrastive.moco import EMAMoCoLoss, MoCoLoss, MomentumEncoder
from tutelage.losses.contrastive.nt_xent import SimCLRLoss
from tutelage.losses.contrastive.semi_hard import SemiHardLoss
from tutelage.losses.contrastive.siglip import SigLIPLoss
from tutelage.losses.contrastive.supcon import SupConLoss
from tutelage.losses.contrastive.vicreg import VICRegLoss

__all__ = [
    "BarlowTwinsLoss",
    "CLIPLoss",
    "DCLLoss",
    "DCLWLoss",
    "DecorrelationLoss",
    "DynamicTemperatureLoss",
    "EMAMoCoLoss",
    "HardNegativeLoss",
    "HybridLoss",
    "MoCoLoss",
    "MomentumEncoder",
    "SemiHardLoss",
    "SigLIPLoss",
    "SimCLRLoss",
    "SupConLoss",
    "VICRegLoss",
]
