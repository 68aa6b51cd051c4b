"""`LinearChainCRF`: a conditional random field over the tags of a row of words."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

TRANSITIONS: Final = "transitions"
"""What an exported tagger's card calls the CRF's table, as JSON."""
_NEVER: Final = -1e4
"""Score of a transition that may not be."""


class LinearChainCRF(nn.Module):
    """Scores of whole rows of tags: emissions, transitions, and scores of first and last tags.

    Rows are padded on the right; padding changes nothing.

    Args:
        tags: C, the number of tags.
        may_follow: (C + 1, C + 1) bool, whether the second tag may come after the first; the last
            row is the beginning of a row, the last column its end. What may not comes out as
            impossible.

    Source: Lafferty, McCallum & Pereira 2001; Lample et al. 2016, https://arxiv.org/abs/1603.01360.
    """

    forbidden: Tensor

    def __init__(self, tags: int, may_follow: Tensor) -> None:
        super().__init__()
        if may_follow.shape != (tags + 1, tags + 1):
            raise ValueError(f"may_follow of shape {tuple(may_follow.shape)} for {tags} tags")
        self.tags = tags
        self.scores = nn.Parameter(torch.zeros(tags + 1, tags + 1))
        self.register_buffer("forbidden", ~may_follow, persistent=False)

    @classmethod
    def from_table(cls, table: Tensor) -> LinearChainCRF:
        """Return the CRF, not to be trained any more, whose `table` is the given one."""
        made = cls(len(table) - 1, table > _NEVER)
        made.scores.data.copy_(table)
        return made.requires_grad_(False)

    def table(self) -> Tensor:
        """The transitions' scores, (C + 1, C + 1); a forbidden one's is very low, but finite."""
        return self.scores.masked_fill(self.forbidden, _NEVER)

    def _forward(self, emissions: Tensor, mask: Tensor) -> list[Tensor]:
        """Return for each place the log of the summed weights of all that leads to each tag."""
        table = self.table()
        inner, alpha = table[:-1, :-1], table[-1, :-1] + emissions[:, 0]
        found = [alpha]
        for place in range(1, emissions.shape[1]):
            longer = torch.logsumexp(alpha[:, :, None] + inner, 1) + emissions[:, place]
            alpha = torch.where(mask[:, place, None], longer, alpha)
            found.append(alpha)
        return found

    def log_likelihood(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Return the log-probability of each row of tags.

        Args:
            emissions: (B, T, C).
            tags: (B, T) int64, anything where there is no word.
            mask: (B, T) bool, True for words, which come first; each row has one at least.

        Returns:
            (B,).
        """
        emissions = emissions.float()
        table, tags = self.table(), tags.masked_fill(~mask, 0)
        ends = self._forward(emissions, mask)[-1]
        total = torch.logsumexp(ends + table[:-1, -1], 1)
        emitted = (emissions.gather(2, tags[:, :, None]).squeeze(2) * mask).sum(1)
        moved = (table[tags[:, :-1], tags[:, 1:]] * mask[:, 1:]).sum(1)
        last = tags.gather(1, mask.sum(1, keepdim=True) - 1).squeeze(1)
        return emitted + moved + table[-1, tags[:, 0]] + table[last, -1] - total

    def log_marginals(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Return the log-probability of each tag of each word, given the whole row.

        Args:
            emissions: (B, T, C).
            mask: (B, T) bool.

        Returns:
            (B, T, C); of padding, anything.
        """
        emissions = emissions.float()
        table = self.table()
        inner, end = table[:-1, :-1], table[:-1, -1]
        alphas = torch.stack(self._forward(emissions, mask), 1)
        beta = end.expand(len(emissions), -1)
        betas = [beta]
        for place in range(emissions.shape[1] - 1, 0, -1):
            ahead = (emissions[:, place] + beta)[:, None, :]
            longer = torch.logsumexp(inner + ahead, 2)
            beta = torch.where(mask[:, place, None], longer, beta)
            betas.append(beta)
        return torch.log_softmax(alphas + torch.stack(betas[::-1], 1), 2)

    def best(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Return the most probable tags of each row (Viterbi), (B, T) int64; 0 for padding."""
        emissions = emissions.float()
        table = self.table()
        inner, score = table[:-1, :-1], table[-1, :-1] + emissions[:, 0]
        back: list[Tensor] = []
        stay = torch.arange(self.tags, device=emissions.device).expand_as(score)
        for place in range(1, emissions.shape[1]):
            longer, source = (score[:, :, None] + inner).max(1)
            here = mask[:, place, None]
            back.append(torch.where(here, source, stay))
            score = torch.where(here, longer + emissions[:, place], score)
        tag = (score + table[:-1, -1]).argmax(1)
        path = [tag]
        for source in reversed(back):
            tag = source.gather(1, tag[:, None]).squeeze(1)
            path.append(tag)
        return torch.stack(path[::-1], 1) * mask
