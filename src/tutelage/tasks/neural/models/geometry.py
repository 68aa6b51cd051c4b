"""`Axis`: how many places a map has along one side, and where they lie in stimulus pixels."""

from __future__ import annotations

from dataclasses import dataclass

from tutelage.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Axis:
    """Evenly spaced places along one side of the stimulus.

    Args:
        size: How many.
        stride: Pixels from one to the next.
        first: Pixel of the first one's centre.
    """

    size: int
    stride: float = 1.0
    first: float = 0.0

    def conv(self, kernel: int, same: bool, stride: int = 1) -> Axis:
        """Return the places after a convolution, with zeros around the map or without."""
        pad = kernel // 2 if same else 0
        size = (self.size + 2 * pad - kernel) // stride + 1
        first = self.first + ((kernel - 1) / 2 - pad) * self.stride
        return Axis(_some(size, self.size, kernel), self.stride * stride, first)

    def pool(self, places: int) -> Axis:
        """Return the places after means over ``places`` neighbours."""
        first = self.first + (places - 1) / 2 * self.stride
        return Axis(_some(self.size // places, self.size, places), self.stride * places, first)

    def pixels(self, position: float) -> float:
        """Return the pixel of a position, -1 for the first place's centre, 1 for the last's."""
        return self.first + (position + 1) / 2 * (self.size - 1) * self.stride


def _some(size: int, before: int, kernel: int) -> int:
    if size < 1:
        raise ConfigError(
            f"a map of {before} places is too small for a layer of {kernel}",
            where="model.convnet",
            hint="Use smaller kernels or pools, or padding=same.",
        )
    return size
