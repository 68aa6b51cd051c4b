"""What a teacher says of the words of the training texts, asked once, and how it is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from tutelage.training.length_batches import length_batches

if TYPE_CHECKING:
    from tutelage.tasks.ner.modules import NERModule
    from tutelage.tasks.ner.tokens.store import EncodedTexts

_WINDOWS: Final = 32
"""Windows of a batch that the teacher is asked of."""


@dataclass(eq=False)
class Lessons:
    """Texts in a teacher's tokens, and what it says of them.

    A teacher does not learn, so that it says the same in every epoch. It is asked of all texts in
    batches that depend on the texts alone: a run that is resumed is taught the same bits.

    Args:
        texts: The training texts, as the teacher reads them.
        said: (W, C) log-probabilities of the tags of each word, once it was asked.
    """

    texts: EncodedTexts
    said: Tensor | None = None

    def of(self, teacher: NERModule) -> Tensor:
        """Return (W, C) what the teacher says of every word; its weights get no gradient."""
        if self.said is None:
            self.said = self._ask(teacher)
        return self.said

    @torch.no_grad()
    def _ask(self, teacher: NERModule) -> Tensor:
        words, tags = len(self.texts.labels), len(teacher.labels.tags)
        said = torch.zeros(words, tags, device=teacher.device)
        parts = length_batches(self.texts.lengths.numpy(), -(-len(self.texts) // _WINDOWS))
        for windows in parts:
            batch = self.texts.batch(torch.from_numpy(windows)).to(teacher.device)
            said[batch.word] = teacher.log_probabilities(batch).float()
        return said


class WeighedSoftTargets(nn.Module):
    """Soft targets of words, each word weighed as the tags are that its teacher expects there.

    Most words are outside of every entity. Where a student's tags are weighed so that it finds rare
    ones, soft targets of words that all count alike would teach it to find them no more.

    Args:
        temperature: T, which softens both models' outputs.
        weights: (C,) of the tags, as the student's own loss has them.

    Source: Hinton et al. 2015, https://arxiv.org/abs/1503.02531, with the words' weights.
    """

    weights: Tensor

    def __init__(self, temperature: float, weights: Tensor) -> None:
        super().__init__()
        self.temperature = temperature
        self.register_buffer("weights", weights.clone(), persistent=False)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the weighed mean of T² KL, a scalar, of logits (W, C) of both."""
        ours, theirs = ((z / self.temperature).log_softmax(1) for z in (student, teacher))
        divergence = (theirs.exp() * (theirs - ours)).sum(1)
        weight = teacher.softmax(1) @ self.weights
        return self.temperature**2 * (weight * divergence).sum() / weight.sum()
