"""Projection heads: from a tower's features to the space where a loss compares them."""

from __future__ import annotations

from torch import Tensor, nn

from tutelage.core.errors import ConfigError


class LinearProjection(nn.Module):
    """One matrix, as CLIP projects its towers (Radford et al. 2021, figure 3).

    Args:
        features: F, the tower's number of features.
        embedding_dim: d, the embeddings' width.
    """

    def __init__(self, features: int, embedding_dim: int) -> None:
        super().__init__()
        self.linear: nn.Linear = nn.Linear(features, embedding_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, d) embeddings of ``x`` (N, F), not normalised."""
        embeddings: Tensor = self.linear(x)
        return embeddings


class MLPProjection(nn.Module):
    """Layers with normalisation and ReLU between them, as SimCLR and VICReg project theirs.

    Source: Chen et al. 2020, https://arxiv.org/abs/2002.05709, section 2.1. Layer normalisation
    takes the place of batch normalisation: embeddings then do not depend on the batch, so that
    they may be made in parts (see `gradcache`).

    Args:
        features: F, the tower's number of features.
        embedding_dim: d, the embeddings' width.
        hidden_dim: Width between; None: F.
        layers: Linear layers in all; at least 2.

    Raises:
        ConfigError: Fewer than 2 layers are asked for.
    """

    def __init__(
        self, features: int, embedding_dim: int, hidden_dim: int | None = None, layers: int = 2
    ) -> None:
        super().__init__()
        if layers < 2:
            raise ConfigError(f"a perceptron of {layers} layers", hint="Take LinearProjection.")
        hidden = hidden_dim or features
        widths = [features, *[hidden] * (layers - 1)]
        blocks: list[nn.Module] = []
        for wide, narrow in zip(widths, widths[1:], strict=False):
            blocks += [nn.Linear(wide, narrow), nn.LayerNorm(narrow), nn.ReLU()]
        self.layers: nn.Sequential = nn.Sequential(
            *blocks, nn.Linear(hidden, embedding_dim, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, d) embeddings of ``x`` (N, F), not normalised."""
        embeddings: Tensor = self.layers(x)
        return embeddings
