"""A transformer layer as all towers of ours use it."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class FeatureTower(nn.Module):
    """A network that describes a picture or a text by ``out_width`` features."""

    out_width: int
    token_count: int
    """Of a text tower: how many different tokens it reads."""


class TransformerLayer(nn.Module):
    """Attention and a perceptron, each after a normalisation (Xiong et al. 2020).

    Source: https://arxiv.org/abs/2002.04745.

    Args:
        width: D, the number of channels.
        heads: Attention heads.
        dropout: Share of channels dropped in training.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return (B, T, D) from (B, T, D); ``mask`` (B, 1, 1, T) is true where there is content."""
        batch, length, width = x.shape
        parts = self.project(self.before_attention(x))
        q, k, v = parts.view(batch, length, 3, self.heads, width // self.heads).permute(
            2, 0, 3, 1, 4
        )
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.drop(self.join(mixed.transpose(1, 2).reshape(batch, length, width)))
        out: Tensor = x + self.drop(self.mlp(self.before_mlp(x)))
        return out
