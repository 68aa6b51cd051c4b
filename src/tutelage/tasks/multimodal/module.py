"""`TwoTowerModule`: two towers under a contrastive loss, with retrieval as validation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, Final, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.core.config import DistillationMode
from tutelage.losses import LOSSES, BaseContrastiveLoss, LossOutput, two_tower_loss
from tutelage.losses.distributed import GatheredLoss
from tutelage.losses.gradcache import grad_cache
from tutelage.tasks.multimodal.config import MultimodalConfig, Tower, TwoTowerConfig
from tutelage.tasks.multimodal.data.augment import as_input, augmented
from tutelage.tasks.multimodal.data.batches import PairBatch
from tutelage.tasks.multimodal.distillation import SimilarityTargets
from tutelage.tasks.multimodal.pair_queue import PairQueue
from tutelage.tasks.multimodal.retrieval import rank_metrics
from tutelage.tasks.multimodal.towers.two_towers import TwoTowers
from tutelage.training.contracts import TaskModule

PARTS: Final = ("image", "text", "projections")
"""What may have a learning rate of its own."""
LOSS_BLOCK: Final = 1024
"""Pairs over which the validation loss is taken at once."""


class TwoTowerModule(TaskModule):
    """Two towers, and the loss that brings pairs together.

    Args:
        config: The whole run.
        size: Side of a picture in pixels.

    Raises:
        UnknownNameError: There is no such loss.
        ConfigError: The loss is none of two towers, or has no such option.
    """

    validation_metrics: ClassVar = ("val/loss", "val/recall@10", "val/mrr")
    default_monitor: ClassVar = "val/mrr"
    network: TwoTowers

    def __init__(self, config: MultimodalConfig, size: int) -> None:
        super().__init__(config.training)
        assert isinstance(config.model, TwoTowerConfig)
        self.model_config, self.chunk = config.model, config.training.chunk
        self.feature_width = config.model.embedding
        self.augmentation = config.data.augmentation
        self.network = TwoTowers(config.model, size)
        self.loss = GatheredLoss(
            sized_loss(config.model.loss, config.model.loss_options, config.model.embedding)
        )
        self.group_parts: list[str] = []
        for tower in config.model.freeze:
            self.tower(tower).requires_grad_(False)
        self._held: list[tuple[Tensor, Tensor, Tensor]] = []
        self._resting: tuple[Tower, ...] = ()
        longest = max((stage.queue for stage in config.training.stages), default=0)
        self.queue = PairQueue(longest, config.model.embedding) if longest else None
        self.queue_length = 0

    # ---- stages

    def enter(self, resting: tuple[Tower, ...], queue: int) -> None:
        """Let some towers rest, and the others learn beside a queue of that many negatives."""
        for name in get_args(Tower):
            if name not in self.model_config.freeze:
                self.tower(name).requires_grad_(name not in resting).train(name not in resting)
        self._resting, self.queue_length = resting, queue

    def keep_resting(self) -> None:
        """Keep what rests from dropping channels, whatever put the module back to training."""
        for name in (*self._resting, *self.model_config.freeze):
            if self.tower(name).training:
                self.tower(name).eval()

    def tower(self, name: Tower) -> nn.Module:
        """Return one of the two towers, without its projection."""
        return self.network.image if name == "image" else self.network.text

    # ---- embeddings

    def pictures(self, images: Tensor, keys: Tensor, stream: int = 0) -> Tensor:
        """Return (B, 3, S, S) inputs of (B, S, S, 3) pictures, changed where keys are not 0."""
        if not bool(keys.any()):
            return as_input(images)
        return augmented(images, keys, self.augmentation, stream)

    def embed_images(self, batch: PairBatch) -> Tensor:
        """Return (B, D) embeddings of a batch's pictures, of unit length."""

        def embed(images: Tensor, keys: Tensor) -> Tensor:
            return self.network.embed_images(self.pictures(images, keys))

        return F.normalize(self._by_chunks(embed, batch.images, batch.keys), dim=1)

    def embed_texts(self, tokens: Tensor) -> Tensor:
        """Return (B, D) embeddings of (B, T) tokens, of unit length."""
        return F.normalize(self._by_chunks(self.network.embed_texts, tokens), dim=1)

    def _by_chunks(self, embed: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """Embed at once, or in parts of `training.chunk` with the gradients of the whole batch."""
        encoder = _Encoder(self.network, embed)
        return grad_cache(encoder, *inputs, chunk_size=self.chunk or max(1, len(inputs[0])))

    # ---- training

    def step(self, batch: PairBatch) -> dict[str, Tensor]:
        """Return the loss of a batch's pairs and what the loss tells of them."""
        images, texts = self.embed_images(batch), self.embed_texts(batch.tokens)
        output = self.compare(images, texts, batch.ids)
        return {"loss": output.loss, **output.metrics}

    def outputs(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """Return (2B, D) embeddings of a batch, pictures and then captions, as both results."""
        embeddings = torch.cat([self.embed_images(batch), self.embed_texts(batch.tokens)])
        return embeddings, embeddings

    def teach(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """Return `outputs` for a student's batch, whose captions this model reads in its way."""
        own = batch._replace(tokens=batch.taught) if batch.taught.shape[1] else batch
        return self.outputs(own)

    def task_loss(self, outputs: Tensor, batch: PairBatch) -> Tensor:
        """Return the loss of (2B, D) embeddings, pictures and then captions."""
        images, texts = outputs.chunk(2)
        return self.compare(images, texts, batch.ids).loss

    def soft_targets(self, mode: DistillationMode) -> nn.Module:
        """Return the loss of the student's similarities against the teacher's."""
        return SimilarityTargets(mode.temperature)

    def compare(self, images: Tensor, texts: Tensor, ids: Tensor) -> LossOutput:
        """Return the loss of (B, D) embeddings; items of one id are positives.

        In training the batches of all processes are compared with each other.
        """
        if self.queue is None or not self.queue_length or not self.training:
            loss = self.loss if self.training else self.loss.loss
            output: LossOutput = loss(images, texts, ids=ids)
            return output
        return self.queue.compared(self.loss, images, texts, ids, self.queue_length)

    def difficulty_scores(self, batch: PairBatch) -> Tensor:
        """Return (B,) how far each picture lies from its caption: 1 - cosine."""
        return 1 - (self.embed_images(batch) * self.embed_texts(batch.tokens)).sum(1)

    def samples(self, batch: PairBatch) -> int:
        """Pairs in the batch."""
        return len(batch.ids)

    def parameter_groups(self) -> Iterator[tuple[Mapping[str, float], list[nn.Parameter]]]:
        """Each tower and the projections, weights apart from what must not decay."""
        parts: Mapping[str, list[nn.Module]] = {
            "image": [self.network.image],
            "text": [self.network.text],
            "projections": [
                self.network.image_projection, self.network.text_projection, self.loss,
            ],
        }  # fmt: skip
        if self.objective is not None:
            parts["projections"].append(self.objective)
        self.group_parts = []
        for part, modules in parts.items():
            trained = [p for m in modules for p in m.parameters() if p.requires_grad]
            for factors, chosen in (
                ({}, [p for p in trained if p.ndim > 1]),
                ({"weight_decay": 0.0}, [p for p in trained if p.ndim <= 1]),
            ):
                if chosen:
                    self.group_parts.append(part)
                    yield factors, chosen

    # ---- validation

    def validation_step(self, batch: PairBatch, batch_idx: int) -> None:
        """Keep the batch's embeddings."""
        self._held.append((self.embed_images(batch), self.embed_texts(batch.tokens), batch.ids))

    def on_validation_epoch_end(self) -> None:
        """Log the loss, and retrieval among all validation pairs."""
        images, texts, ids = (torch.cat(part) for part in zip(*self._held, strict=True))
        self._held = []
        blocks = max(1, round(len(ids) / LOSS_BLOCK))
        parts = zip(*(x.tensor_split(blocks) for x in (images, texts, ids)), strict=True)
        losses = [self.compare(*part).loss for part in parts]
        self.log("val/loss", torch.stack(losses).mean())
        found = [rank_metrics(*pair, ids, ids) for pair in ((images, texts), (texts, images))]
        for name in ("recall@10", "mrr"):
            self.log(f"val/{name}", sum(metrics[name] for metrics in found) / len(found))


class _Encoder(nn.Module):
    """One tower's way from inputs to embeddings, as `grad_cache` takes it."""

    def __init__(self, network: TwoTowers, embed: Callable[..., Tensor]) -> None:
        super().__init__()
        self.network, self.embed = network, embed

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return (B, D) embeddings."""
        return self.embed(*inputs)


def sized_loss(name: str, options: Mapping[str, object], width: int) -> BaseContrastiveLoss:
    """Return the two-tower loss called ``name``, made for embeddings of ``width``.

    Raises:
        UnknownNameError: There is no such loss.
        ConfigError: It is no loss of two towers, or has no such option.
    """
    sizes = {"embedding_dim": width} if "embedding_dim" in LOSSES.get(name).options else {}
    return two_tower_loss(name, **{**sizes, **options})
