"""MoCo: past batches' keys, kept in a queue, are the negatives."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from tutelage.core.errors import ConfigError
from tutelage.losses.base import BaseContrastiveLoss, LossOutput, detached
from tutelage.losses.functional import cross_logsumexp, mean_over, normalize, positive_logits
from tutelage.losses.key_queue import NO_ID, KeyQueue
from tutelage.losses.positives import Pairing
from tutelage.losses.registry import register_loss
from tutelage.losses.temperature import Temperature
from tutelage.losses.tiles import Exclusion

_PAPER = "https://arxiv.org/abs/1911.05722"


class _QueueContrast(nn.Module):
    """Queries of either tower against the other's keys, and against those that it queued."""

    def __init__(self, width: int, queue_size: int, in_batch: bool, chunk_size: int | None) -> None:
        super().__init__()
        self.queue_a: KeyQueue = KeyQueue(queue_size, width)
        self.queue_b: KeyQueue = KeyQueue(queue_size, width)
        self.in_batch: bool = in_batch
        self.chunk_size: int | None = chunk_size

    def forward(
        self,
        queries: tuple[Tensor, Tensor],
        keys: tuple[Tensor, Tensor],
        temperature: Tensor,
        pairing: Pairing,
    ) -> Tensor:
        """Return the loss of unit vectors; in training, then queue the keys."""
        (q_a, q_b), (k_a, k_b) = queries, keys
        forth = self._one_way(q_a / temperature, k_b, self.queue_b, pairing)
        back = self._one_way(q_b / temperature, k_a, self.queue_a, pairing.swapped())
        if self.training:
            self.queue_a.push(k_a, pairing.ids_a)
            self.queue_b.push(k_b, pairing.ids_b)
        return (forth + back) / 2

    def _one_way(self, q: Tensor, keys: Tensor, queue: KeyQueue, pairing: Pairing) -> Tensor:
        logits, counts = positive_logits(q, keys, pairing)
        normalizers = logits
        if self.in_batch:
            normalizers = cross_logsumexp(q, keys, None, self.chunk_size)[0]
        past, past_ids = queue.held()
        if len(past):
            ids = torch.full((len(q),), NO_ID - 1, device=q.device)
            known = ids if pairing.ids_a is None else pairing.ids_a
            exclusion = Exclusion(known, past_ids)
            past = past.to(q.dtype)
            negatives = cross_logsumexp(q, past, exclusion, self.chunk_size)[0]
            normalizers = torch.logaddexp(normalizers, negatives)
        return mean_over(normalizers - logits, counts > 0)


@register_loss(
    "moco",
    formula="½ mean ln[1 + sum over keys k of the queue and batch e^{(s_ik - s_ii)/T}], both ways, "
    "keys without gradient",
    paper=_PAPER,
)
class MoCoLoss(BaseContrastiveLoss):
    """Softmax against the batch's and the last batches' keys (He et al. 2020, without momentum).

    Each tower's embeddings are queries once and keys once; keys have no gradient. Queued keys of
    a query's id count for nothing, neither as positives nor as negatives. Without
    ``in_batch_negatives`` one direction equals lightly's NT-Xent with a memory bank.

    Args:
        embedding_dim: d, the embeddings' width.
        queue_size: Keys kept a tower; none count before they have come.
        temperature: T at the beginning.
        min_temperature: Its least value.
        max_temperature: Its greatest.
        learn_temperature: Whether it is trained.
        in_batch_negatives: Whether the batch's other keys are negatives as well.
        chunk_size: Rows of logits held at once; None: chosen by size.
    """

    def __init__(
        self,
        embedding_dim: int,
        queue_size: int = 4096,
        temperature: float = 0.07,
        min_temperature: float = 0.01,
        max_temperature: float = 1.0,
        learn_temperature: bool = True,
        in_batch_negatives: bool = True,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        self.temperature: Temperature = Temperature(
            temperature, min_temperature, max_temperature, learnable=learn_temperature
        )
        self.queues: _QueueContrast = _QueueContrast(
            embedding_dim, queue_size, in_batch_negatives, chunk_size
        )

    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss; see `BaseContrastiveLoss.forward`."""
        temperature = self.temperature()
        a, b = normalize(a), normalize(b)
        loss = self.queues((a, b), (a.detach(), b.detach()), temperature, pairing)
        return LossOutput(loss, detached(temperature=temperature))


class MomentumEncoder(nn.Module):
    """A copy of a module whose weights follow it slowly: θ' ← m θ' + (1 - m) θ.

    Args:
        module: What is followed; its parameters are not held here.
        momentum: m.

    Raises:
        ConfigError: The momentum is not in [0, 1).
    """

    def __init__(self, module: nn.Module, momentum: float = 0.999) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            problem = f"a momentum of {momentum:g}"
            raise ConfigError(problem, hint="Give 0 <= momentum < 1.")
        self.copy: nn.Module = copy.deepcopy(module).requires_grad_(False)
        self.momentum = momentum

    @torch.no_grad()
    def follow(self, module: nn.Module) -> None:
        """Move a step towards ``module``; buffers are taken over as they are."""
        for own, theirs in zip(self.copy.parameters(), module.parameters(), strict=True):
            own.lerp_(theirs.to(own.dtype), 1 - self.momentum)
        for kept, new in zip(self.copy.buffers(), module.buffers(), strict=True):
            kept.copy_(new)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Return what the slow copy makes of ``x``, without a graph."""
        encoded: Tensor = self.copy(x)
        return encoded


@register_loss(
    "ema_moco",
    formula="moco on q = W x and keys k = W' x, W' ← m W' + (1 - m) W after each step",
    paper=_PAPER,
)
class EMAMoCoLoss(BaseContrastiveLoss):
    """MoCo whose keys come from slowly following copies of the projections (He et al. 2020).

    Each tower has a linear projection here, learned, and a copy that follows it by ``momentum``:
    keys of one queue then come from nearly one projection. For slow copies of whole towers, keep a
    `MomentumEncoder` beside each.

    Args:
        embedding_dim: d, the embeddings' width.
        projection_dim: Width of queries and keys.
        momentum: m; 0.999 in the paper.
        queue_size: Keys kept a tower; none count before they have come.
        temperature: T at the beginning.
        min_temperature: Its least value.
        max_temperature: Its greatest.
        learn_temperature: Whether it is trained.
        in_batch_negatives: Whether the batch's other keys are negatives as well.
        chunk_size: Rows of logits held at once; None: chosen by size.
    """

    def __init__(
        self,
        embedding_dim: int,
        projection_dim: int = 128,
        momentum: float = 0.999,
        queue_size: int = 4096,
        temperature: float = 0.07,
        min_temperature: float = 0.01,
        max_temperature: float = 1.0,
        learn_temperature: bool = True,
        in_batch_negatives: bool = True,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        self.temperature: Temperature = Temperature(
            temperature, min_temperature, max_temperature, learnable=learn_temperature
        )
        self.project_a: nn.Linear = nn.Linear(embedding_dim, projection_dim, bias=False)
        self.project_b: nn.Linear = nn.Linear(embedding_dim, projection_dim, bias=False)
        self.slow_a: MomentumEncoder = MomentumEncoder(self.project_a, momentum)
        self.slow_b: MomentumEncoder = MomentumEncoder(self.project_b, momentum)
        self.queues: _QueueContrast = _QueueContrast(
            projection_dim, queue_size, in_batch_negatives, chunk_size
        )

    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss; see `BaseContrastiveLoss.forward`."""
        temperature = self.temperature()
        if self.training:
            self.slow_a.follow(self.project_a)
            self.slow_b.follow(self.project_b)
        queries = (normalize(self.project_a(a)), normalize(self.project_b(b)))
        keys = (normalize(self.slow_a(a)), normalize(self.slow_b(b)))
        loss = self.queues(queries, keys, temperature, pairing)
        return LossOutput(loss, detached(temperature=temperature))
