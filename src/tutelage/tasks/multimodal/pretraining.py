"""Self-supervision of each tower by itself: SimCLR, VICReg, Barlow Twins, or masks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.losses import BaseContrastiveLoss
from tutelage.tasks.multimodal.config import PretrainingConfig, SelfSupervision
from tutelage.tasks.multimodal.data.augment import WHITE, uniform
from tutelage.tasks.multimodal.data.batches import PairBatch
from tutelage.tasks.multimodal.module import TwoTowerModule, sized_loss
from tutelage.training.contracts import Objective, TaskModule

SECOND, WORDS, HIDDEN = 2, 4, 8
"""Streams of a key: a picture's second view, a text's views, what is masked."""
MASK = 1
"""The token that stands for a hidden one."""
CELL = 8
"""Side in pixels of what is masked, and of what is predicted of it: its mean colour."""


class TowerPretraining(Objective):
    """Trains both towers, each by itself; pairs play no part.

    simclr, vicreg and barlow_twins compare two views: of a picture two augmentations, of a text two
    copies with different tokens hidden. masked hides half of a picture's cells, whose colours are
    then predicted, or half of a text's tokens, of which it is predicted which there were.

    Args:
        config: What each tower does.
        module: The model.
        size: Side of a picture in pixels.
    """

    def __init__(self, config: PretrainingConfig, module: TwoTowerModule, size: int) -> None:
        super().__init__()
        self.config, self.cells = config, size // CELL
        self.tokens = module.network.text.token_count
        image, text = module.network.image.out_width, module.network.text.out_width
        colours = 3 * self.cells**2
        self.image_head = _head(config.image, image, config.projection, colours)
        self.text_head = _head(config.text, text, config.projection, self.tokens)
        self.image_loss = _loss(config.image, config.projection)
        self.text_loss = _loss(config.text, config.projection)

    def forward(self, module: TaskModule, batch: Any) -> dict[str, Tensor]:
        """Return the sum of both towers' losses as ``loss``, and each."""
        assert isinstance(module, TwoTowerModule)
        parts = {}
        if self.config.image != "none":
            parts["image_loss"] = self.of_images(module, batch)
        if self.config.text != "none":
            parts["text_loss"] = self.of_texts(module, batch)
        loss = torch.stack(list(parts.values())).sum()
        return {"loss": loss, **{name: part.detach() for name, part in parts.items()}}

    def of_images(self, module: TwoTowerModule, batch: PairBatch) -> Tensor:
        """Return the image tower's loss."""
        first = module.pictures(batch.images, batch.keys)
        if self.image_loss is not None:
            second = module.pictures(batch.images, batch.keys, SECOND)
            views = [self.image_head(module.network.image_features(v)) for v in (first, second)]
            loss: Tensor = self.image_loss(*views, ids=batch.ids).loss
            return loss
        shown = uniform(batch.keys, self.cells**2, HIDDEN) < self.config.shown
        shown = shown.view(-1, 1, self.cells, self.cells)
        spread = shown.repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)
        hidden = torch.where(spread, first, WHITE / 2)
        predicted = self.image_head(module.network.image_features(hidden))
        wanted = F.avg_pool2d(first, CELL) / WHITE
        error = (predicted.view(wanted.shape) - wanted).square()
        mean: Tensor = (error * ~shown).sum() / (3 * (~shown).sum()).clamp(min=1)
        return mean

    def of_texts(self, module: TwoTowerModule, batch: PairBatch) -> Tensor:
        """Return the text tower's loss."""
        hidden = [self._hidden(batch, WORDS + view) for view in range(2)]
        if self.text_loss is not None:
            views = [self.text_head(module.network.text(tokens)) for tokens in hidden]
            loss: Tensor = self.text_loss(*views, ids=batch.ids).loss
            return loss
        present = torch.zeros(len(batch.tokens), self.tokens, device=batch.tokens.device)
        present.scatter_(1, batch.tokens, 1.0)
        present[:, : MASK + 1] = 0
        predicted = self.text_head(module.network.text(hidden[0]))
        return F.binary_cross_entropy_with_logits(predicted, present) * 100

    def _hidden(self, batch: PairBatch, stream: int) -> Tensor:
        """Return a text's tokens, part of which are hidden."""
        tokens = batch.tokens
        kept = uniform(batch.keys, tokens.shape[1], stream) < self.config.shown
        return torch.where(kept | (tokens <= MASK), tokens, MASK)


def _head(kind: SelfSupervision, width: int, projection: int, masked: int) -> nn.Module:
    if kind == "masked":
        return nn.Linear(width, masked)
    if kind == "none":
        return nn.Identity()
    layers = (nn.Linear(width, projection), nn.LayerNorm(projection), nn.GELU())
    return nn.Sequential(*layers, nn.Linear(projection, projection))


def _loss(kind: SelfSupervision, width: int) -> BaseContrastiveLoss | None:
    return None if kind in ("masked", "none") else sized_loss(kind, {}, width)
