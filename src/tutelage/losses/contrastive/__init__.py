"""Losses of two towers' embeddings, or of two views of one."""

from tutelage.losses.contrastive.clip import CLIPLoss
from tutelage.losses.contrastive.nt_xent import SimCLRLoss
from tutelage.losses.contrastive.siglip import SigLIPLoss

__all__ = ["CLIPLoss", "SigLIPLoss", "SimCLRLoss"]
