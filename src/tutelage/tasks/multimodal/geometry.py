"""How embeddings lie in their space: alignment, uniformity, modality gap, effective rank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

import torch
from torch import Tensor

from tutelage.tasks.multimodal.data.batches import PairBatch
from tutelage.tasks.multimodal.module import TwoTowerModule

MOST: Final = 2048
"""Embeddings that are looked at, evenly chosen."""
SHARPNESS: Final = 2.0
"""t of the uniformity."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """How the embeddings of pairs lie.

    Args:
        alignment: Mean squared distance of a picture and its caption; 0 is best, 2 is at random.
        uniformity_image: Logarithm of the mean of exp(-2 d²) over pictures; 0 is one point, -4 the
            whole sphere.
        uniformity_text: The same of captions.
        modality_gap: Distance of the mean picture and the mean caption.
        effective_rank_image: Dimensions that the pictures use: the exponential of the entropy of
            the centred embeddings' singular values.
        effective_rank_text: The same of captions.

    Sources: Wang & Isola 2020, https://arxiv.org/abs/2005.10242; Liang et al. 2022,
    https://arxiv.org/abs/2203.02053; Roy & Vetterli 2007.
    """

    alignment: float
    uniformity_image: float
    uniformity_text: float
    modality_gap: float
    effective_rank_image: float
    effective_rank_text: float

    def metrics(self) -> Mapping[str, float]:
        """Each value under its name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def geometry(images: Tensor, texts: Tensor) -> Geometry:
    """Return how N pictures and their captions lie; both (N, D), of unit length."""
    rows = torch.unique(torch.linspace(0, len(images) - 1, min(MOST, len(images))).long())
    a, b = images[rows].double(), texts[rows].double()
    return Geometry(
        alignment=float((a - b).square().sum(1).mean()),
        uniformity_image=uniformity(a),
        uniformity_text=uniformity(b),
        modality_gap=float((a.mean(0) - b.mean(0)).norm()),
        effective_rank_image=effective_rank(a),
        effective_rank_text=effective_rank(b),
    )


def uniformity(x: Tensor) -> float:
    """Return log of the mean of exp(-2 d²) over the pairs of (N, D) embeddings; 0 for one point."""
    if len(x) < 2:
        return 0.0
    squared = torch.pdist(x).square()
    return float((-SHARPNESS * squared).logsumexp(0) - torch.tensor(float(len(squared))).log())


def effective_rank(x: Tensor) -> float:
    """Return how many dimensions (N, D) embeddings use about their mean; 0 for one point."""
    values = torch.linalg.svdvals(x - x.mean(0))
    total = values.sum()
    if float(total) <= 1e-6 * len(x):
        return 0.0
    shares = values / total
    return float(torch.special.entr(shares).sum().exp())


def gradient_share(module: TwoTowerModule, batch: PairBatch) -> float:
    """Return the image tower's share of both towers' gradient norms on a batch; 0 where none.

    Projections are left out. Towers that rest have a gradient of nothing.
    """
    norms = []
    with torch.enable_grad():
        module.zero_grad(set_to_none=True)
        module.step(batch)["loss"].backward()  # type: ignore[no-untyped-call]
    for name in ("image", "text"):
        found = [p.grad for p in module.tower(name).parameters() if p.grad is not None]
        norms.append(float(torch.stack([g.norm() for g in found]).norm()) if found else 0.0)
    module.zero_grad(set_to_none=True)
    total = sum(norms)
    return norms[0] / total if total else 0.0
