"""A session's own view of the stimulus: learned shift, scale and blur."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AffineAdapter(nn.Module):
    """Shifts, scales and blurs a session's frames; at first it changes next to nothing.

    Eyes differ in optics and screens in distance: one core may serve all of them after this.
    """

    REACH = 4
    """Pixels on each side that the blur spans."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(2))
        self.log_scale = nn.Parameter(torch.zeros(2))
        self.log_blur = nn.Parameter(torch.tensor(-1.2))

    def forward(self, frames: Tensor) -> Tensor:
        """Return frames (B, T, H, W) as this session's core sees them."""
        return self._moved(self._blurred(frames))

    def _blurred(self, frames: Tensor) -> Tensor:
        offset = torch.arange(-self.REACH, self.REACH + 1, device=frames.device)
        weight = (-0.5 * (offset / self.log_blur.exp()).square()).softmax(0)
        images = F.pad(frames.flatten(0, 1)[:, None], (self.REACH,) * 4, mode="replicate")
        images = F.conv2d(F.conv2d(images, weight.view(1, 1, -1, 1)), weight.view(1, 1, 1, -1))
        return images.view(frames.shape)

    def _moved(self, frames: Tensor) -> Tensor:
        affine = torch.cat([torch.diag(self.log_scale.exp()), self.shift[:, None]], dim=1)
        size = [1, 1, *frames.shape[2:]]
        grid = F.affine_grid(affine[None], size, align_corners=False)
        each = grid.expand(len(frames), -1, -1, -1)
        return F.grid_sample(frames, each, padding_mode="border", align_corners=False)
