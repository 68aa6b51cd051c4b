"""`Tagger`: a body, and a layer that says of each word how much each tag fits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tutelage.tasks.ner.labels import LabelSet
from tutelage.tasks.ner.models.body import Body
from tutelage.tasks.ner.models.config import TaggerConfig
from tutelage.tasks.ner.models.crf import LinearChainCRF
from tutelage.tasks.ner.tokens.batch import TokenBatch


class Tagger(nn.Module):
    """Tags the words of windows.

    Args:
        body: From tokens to vectors.
        config: Dropout and head.
        labels: The tags, C in all.
    """

    def __init__(self, body: Body, config: TaggerConfig, labels: LabelSet) -> None:
        super().__init__()
        self.body = body
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(body.width, len(labels.tags))
        nn.init.normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)
        allowed = torch.from_numpy(labels.may_follow)
        self.crf = LinearChainCRF(len(labels.tags), allowed) if config.head == "crf" else None

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        characters: Tensor | None,
        position: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return (W, C) logits of words and (W, H) vectors that they are made from.

        Args:
            input_ids: (B, T) tokens.
            attention_mask: (B, T), or none where nothing is padded.
            characters: (B, T, K) bytes of words, or none.
            position: (W,) place of each word's first token in ``input_ids`` made flat.
        """
        hidden = self.body(input_ids, attention_mask, characters)
        words = hidden.reshape(-1, hidden.shape[-1])[position]
        return self.classifier(self.dropout(words)), words

    def likelihood(self, logits: Tensor, batch: TokenBatch) -> Tensor:
        """Return the mean log-probability a word of the batch's tags under the CRF, a scalar."""
        assert self.crf is not None
        mask = batch.words_mask()
        tags = torch.zeros(mask.shape, dtype=torch.int64, device=mask.device)
        tags[mask] = batch.labels
        return self.crf.log_likelihood(_rows(logits, mask), tags, mask).sum() / len(logits)

    def log_probabilities(self, logits: Tensor, batch: TokenBatch) -> Tensor:
        """Return (W, C) log-probabilities of the tags of each word; a CRF's are marginal ones."""
        return word_log_probabilities(logits, batch, self.crf)


def word_log_probabilities(logits: Tensor, batch: TokenBatch, crf: LinearChainCRF | None) -> Tensor:
    """Return (W, C) log-probabilities of tags by logits; those of a CRF are marginal ones.

    Args:
        logits: (W, C), which a CRF takes for emissions.
        batch: Whose words they are of.
        crf: None if each word's tag is for itself.
    """
    if crf is None:
        return torch.log_softmax(logits.float(), 1)
    mask = batch.words_mask()
    return crf.log_marginals(_rows(logits, mask), mask)[mask]


def _rows(logits: Tensor, mask: Tensor) -> Tensor:
    """Return (B, V, C): the words of each window in a row of their own."""
    rows = logits.new_zeros((*mask.shape, logits.shape[1]))
    rows[mask] = logits
    return rows
