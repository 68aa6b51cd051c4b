"""`PairQueue`: embeddings of earlier batches as further negatives of both towers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tutelage.losses import BaseContrastiveLoss, LossOutput
from tutelage.losses.key_queue import KeyQueue


class PairQueue(nn.Module):
    """The last pairs' embeddings, without gradients (XBM, Wang et al. 2020).

    Source: https://arxiv.org/abs/1912.06798. It is saved with the model, so that a killed run goes
    on with the same negatives.

    Args:
        size: Pairs kept.
        width: Of an embedding.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.images, self.texts = KeyQueue(size, width), KeyQueue(size, width)

    def compared(
        self, loss: BaseContrastiveLoss, images: Tensor, texts: Tensor, ids: Tensor, length: int
    ) -> LossOutput:
        """Return the loss of (B, D) embeddings beside the last ``length`` pairs; queue the batch.

        The loss is the mean of two: pictures against captions and queued captions, and captions
        against pictures and queued pictures.
        """
        old_texts, text_ids = _newest(self.texts, length)
        old_images, image_ids = _newest(self.images, length)
        forth = loss(
            images, torch.cat([texts, old_texts]), ids=ids, ids_b=torch.cat([ids, text_ids])
        )
        back = loss(
            torch.cat([images, old_images]), texts, ids=torch.cat([ids, image_ids]), ids_b=ids
        )
        self.images.push(images, ids)
        self.texts.push(texts, ids)
        return LossOutput((forth.loss + back.loss) / 2, forth.metrics)


def _newest(queue: KeyQueue, length: int) -> tuple[Tensor, Tensor]:
    """Return the newest keys and their ids, at most ``length``."""
    keys, ids = queue.held()
    newest = (int(queue.count) - 1 - torch.arange(min(length, len(keys)))) % len(queue.keys)
    newest = newest.to(keys.device)
    return keys[newest], ids[newest]
