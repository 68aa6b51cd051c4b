"""`MaskedTokens`: tell hidden tokens from those around them, before any tag is learned."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.core.errors import ConfigError
from tutelage.tasks.ner.models.config import Pretraining
from tutelage.tasks.ner.modules import NERModule
from tutelage.tasks.ner.tokens.batch import TokenBatch
from tutelage.training.contracts import Objective, TaskModule

_NOT_ASKED = -100


class MaskedTokens(Objective):
    """Cross-entropy of hidden tokens, told by the network's own embedding of them.

    Of the hidden tokens most are the mask, some another token, some themselves. The bytes of a
    hidden word are hidden with it.

    Args:
        module: The network, whose embedding is shared.
        settings: How many tokens are hidden, and how.

    Raises:
        ConfigError: The network's tokenizer has no token that hides another.

    Source: Devlin et al. 2019, https://arxiv.org/abs/1810.04805.
    """

    ordinary: Tensor
    is_ordinary: Tensor

    def __init__(self, module: NERModule, settings: Pretraining) -> None:
        super().__init__()
        coder, body = module.coder, module.network.body
        if coder.mask is None:
            hint = "Use an encoder that was trained by masked tokens, or another mode."
            raise ConfigError("this encoder's tokenizer has no mask token", hint=hint)
        self.mask, self.settings = coder.mask, settings
        size, width = body.embedding.weight.shape
        self.transform = nn.Sequential(nn.Linear(body.width, width), nn.GELU(), nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.zeros(size))
        self.register_buffer("ordinary", torch.from_numpy(coder.ordinary), persistent=False)
        is_ordinary = torch.zeros(size, dtype=torch.bool)
        is_ordinary[self.ordinary] = True
        self.register_buffer("is_ordinary", is_ordinary, persistent=False)

    def forward(self, module: TaskModule, batch: TokenBatch) -> dict[str, Tensor]:
        """Return the mean loss of the hidden tokens, and the share that is told rightly."""
        assert isinstance(module, NERModule)
        hidden, targets = self.hide(batch)
        body = module.network.body
        seen = body(hidden.input_ids, hidden.attention_mask, hidden.characters)
        asked = targets != _NOT_ASKED
        logits = F.linear(self.transform(seen[asked]), body.embedding.weight, self.bias)
        found, told = logits.float(), targets[asked]
        count = max(1, len(told))  # of a batch in which nothing is hidden the loss is 0
        loss = F.cross_entropy(found, told, reduction="sum") / count
        right = (found.argmax(1) == told).sum() / count
        return {"loss": loss, "masked_accuracy": right.detach()}

    def hide(self, batch: TokenBatch) -> tuple[TokenBatch, Tensor]:
        """Return the batch with some tokens hidden, and (B, T) what they were; -100 elsewhere."""
        ids, settings = batch.input_ids, self.settings
        draw = torch.rand(ids.shape, device=ids.device)
        asked = (draw < settings.masked_share) & self.is_ordinary[ids]
        targets = ids.masked_fill(~asked, _NOT_ASKED)
        fate = torch.rand(ids.shape, device=ids.device)
        masked = asked & (fate >= 2 * settings.replaced_share)
        replaced = asked & (fate < settings.replaced_share)
        places = torch.randint(len(self.ordinary), ids.shape, device=ids.device)
        others = self.ordinary[places]
        shown = torch.where(masked, self.mask, torch.where(replaced, others, ids))
        characters = batch.characters
        if characters is not None:
            characters = characters.masked_fill((masked | replaced)[:, :, None], 0)
        return replace(batch, input_ids=shown, characters=characters), targets
