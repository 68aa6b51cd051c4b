"""Layers over clips (B, T, H, W, C): every frame at once, channels last in memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutelage.tasks.neural.models.distributed import pooled_moments
from tutelage.tasks.neural.models.geometry import Axis

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "elu": F.elu,
    "relu": F.relu,
    "softplus": F.softplus,
}


def frames_of(clip: Tensor) -> Tensor:
    """Return (B, T, H, W, C) as images (B * T, C, H, W), without a copy."""
    return clip.flatten(0, 1).permute(0, 3, 1, 2)


def clip_of(frames: Tensor, batch: int, length: int) -> Tensor:
    """Return images (B * T, C, H, W) as a clip (B, T, H, W, C), without a copy; B may be 0."""
    shape = (batch, length, *frames.shape[2:], frames.shape[1])
    return frames.permute(0, 2, 3, 1).reshape(shape)


def stacked_taps(clip: Tensor, frames: int) -> Tensor:
    """Put each frame beside its past: (B, T, ..., C) to (B, T - frames + 1, ..., frames * C).

    The channels are of the oldest frame first. A convolution over time is one over space of this.
    """
    if frames == 1:
        return clip
    stacked: Tensor = _Taps.apply(clip, frames)  # type: ignore[no-untyped-call]
    return stacked


class _Taps(torch.autograd.Function):
    """Slices beside each other; its gradient is summed in place, not in a buffer for each slice.

    The sum is in 32 bits at least, which half precision is neither exact enough nor fast for.
    """

    @staticmethod
    def forward(ctx: Any, clip: Tensor, frames: int) -> Tensor:
        ctx.frames, ctx.shape = frames, clip.shape
        length = clip.shape[1] - frames + 1
        slices = clip.unfold(1, frames, 1).movedim(-1, -2)
        return slices.reshape(len(clip), length, *clip.shape[2:-1], frames * clip.shape[-1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = grads
        total = grad.new_zeros(ctx.shape, dtype=torch.promote_types(grad.dtype, torch.float32))
        for tap, part in enumerate(grad.chunk(ctx.frames, dim=-1)):
            total[:, tap : tap + part.shape[1]] += part
        return total.to(grad.dtype), None


class ClipConv(nn.Module):
    """A causal convolution over time and space, without padding in time.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        kernel: Height and width.
        frames: Frames that a filter spans, the present one last.
        same: Zeros around each frame, or smaller maps.
        stride: Places from one output to the next.
        bias: Whether outputs have one.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        frames: int = 1,
        same: bool = True,
        stride: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.inputs, self.kernel, self.frames = inputs, kernel, frames
        self.same, self.stride = same, stride
        fan = inputs * frames * kernel**2
        weight = torch.empty(outputs, frames * inputs, kernel, kernel)
        self.weight = nn.Parameter(weight.uniform_(-1, 1) / math.sqrt(fan))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def axis(self, axis: Axis) -> Axis:
        """Return where the outputs lie along one side."""
        return axis.conv(self.kernel, self.same, self.stride)

    def forward(self, clip: Tensor, mixing: Tensor | None = None) -> Tensor:
        """Return (B, T - frames + 1, H', W', outputs) of clip (B, T, H, W, inputs).

        Args:
            clip: What is convolved.
            mixing: (inputs, c), where the inputs are these sums of the channels of a clip with c.
                The filters are summed in their place, which costs no pass over the clip.
        """
        weight: Tensor = self.weight
        if mixing is not None:
            size = (len(weight), self.frames, self.inputs, self.kernel, self.kernel)
            weight = torch.einsum("ofihw,ic->ofchw", weight.view(size), mixing).flatten(1, 2)
        stacked = stacked_taps(clip, self.frames)
        weight = weight.contiguous(memory_format=torch.channels_last)
        padding = self.kernel // 2 if self.same else 0
        out = F.conv2d(frames_of(stacked), weight, self.bias, self.stride, padding)
        return clip_of(out, *stacked.shape[:2])

    def kernels(self) -> Tensor:
        """Return the filters, (outputs, inputs, frames, kernel, kernel), the oldest frame first."""
        by_tap = self.weight.detach().reshape(
            len(self.weight), self.frames, self.inputs, self.kernel, self.kernel
        )
        return by_tap.transpose(1, 2)


class ClipNorm(nn.BatchNorm2d):
    """Batch normalisation of a clip's channels; in training its moments are of all processes.

    torch's `SyncBatchNorm` refuses CPUs, and one process's moments alone would make the loss
    depend on how many there are. Once `fixed`, it keeps its moments in training too.
    """

    fixed = False

    def forward(self, clip: Tensor) -> Tensor:
        """Return clip (B, T, H, W, C), each channel with mean 0 and variance 1, then scaled."""
        images = frames_of(clip)
        if self.fixed:
            kept = F.batch_norm(
                images,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                False,
                0.0,
                self.eps,
            )
            return clip_of(kept, *clip.shape[:2])
        moments = pooled_moments(images) if self.training else None
        if moments is None:
            return clip_of(super().forward(images), *clip.shape[:2])
        mean, variance, count = moments
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None
            assert self.num_batches_tracked is not None and self.momentum is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1).clamp(min=1), self.momentum)
        out = (clip - mean) * (variance + self.eps).rsqrt()
        return out * self.weight + self.bias if self.affine else out


def pooled(clip: Tensor, places: int) -> Tensor:
    """Return means over ``places`` by ``places`` neighbours of clip (B, T, H, W, C)."""
    if places == 1:
        return clip
    return clip_of(F.avg_pool2d(frames_of(clip), places), *clip.shape[:2])
