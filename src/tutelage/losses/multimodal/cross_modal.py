"""Cross-modal: CLIP whose similarities are also to be consistent across and within modalities."""

from __future__ import annotations

from torch import Tensor

from tutelage.losses.base import BaseContrastiveLoss, LossOutput, SameId, detached
from tutelage.losses.contrastive.clip import CLIPLoss
from tutelage.losses.functional import normalize
from tutelage.losses.positives import Pairing
from tutelage.losses.registry import register_loss
from tutelage.losses.statistics import check_pairs


@register_loss(
    "cross_modal",
    formula="clip + λ_c mean_ij (a_i·b_j - a_j·b_i)² + λ_i mean_ij (a_i·a_j - b_i·b_j)²",
    paper="https://arxiv.org/abs/2205.14459",
    aliases=("cyclip",),
)
class CrossModalLoss(BaseContrastiveLoss):
    """CLIP with cyclic consistency, cross-modal and in-modal (Goel et al. 2022, equation 4).

    The paper divides the sums by N; here they are means over N² pairs, so that their weights mean
    the same for every batch size. Their memory is O(d²): the sums of squares are those of the
    features' second moments.

    Args:
        cross: λ_c.
        within: λ_i.
        temperature: T of CLIP at the beginning.
        min_temperature: Its least value.
        max_temperature: Its greatest.
        learn_temperature: Whether it is trained.
        same_id: What items of one id are that are no pair.
        chunk_size: Rows of logits held at once; None: chosen by size.
    """

    def __init__(
        self,
        cross: float = 1.0,
        within: float = 1.0,
        temperature: float = 0.07,
        min_temperature: float = 0.01,
        max_temperature: float = 1.0,
        learn_temperature: bool = True,
        same_id: SameId = "positive",
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        self.clip: CLIPLoss = CLIPLoss(
            temperature, min_temperature, max_temperature, learn_temperature, same_id, chunk_size
        )
        self.cross: float = cross
        self.within: float = within

    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss; see `BaseContrastiveLoss.forward`.

        Raises:
            DataError: There are not as many items on either side, or fewer than two.
        """
        check_pairs(a, b)
        clip = self.clip.compare(a, b, pairing)
        cross, within = cyclic_inconsistency(normalize(a), normalize(b))
        loss = clip.loss + self.cross * cross + self.within * within
        own = detached(clip=clip.loss, cross_inconsistency=cross, within_inconsistency=within)
        return LossOutput(loss, {**clip.metrics, **own})


def cyclic_inconsistency(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean (a_i·b_j - a_j·b_i)² and mean (a_i·a_j - b_i·b_j)² over N² pairs of (N, d).

    With A = aᵀa, B = bᵀb and M = aᵀb the sums are 2 (<A, B> - <M, Mᵀ>) and |A|² + |B|² - 2 |M|²:
    computed in float64, since they are differences of large terms.
    """
    dtype, n = a.dtype, len(a)
    a, b = a.double(), b.double()
    of_a, of_b, mixed = a.T @ a, b.T @ b, a.T @ b
    cross = 2 * ((of_a * of_b).sum() - (mixed * mixed.T).sum())
    within = of_a.square().sum() + of_b.square().sum() - 2 * mixed.square().sum()
    return (cross / n**2).to(dtype), (within / n**2).to(dtype)
