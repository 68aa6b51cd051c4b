"""`Lessons`: what a teacher says of the words of the training texts, asked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

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
