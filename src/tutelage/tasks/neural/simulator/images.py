"""What the simulated eye looks at: photographs through fixational eye movements, and noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tutelage.core.errors import RequestError
from tutelage.core.installing import install_command
from tutelage.tasks.neural.sessions.session import Bytes

PHOTOGRAPHS = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png",
    "grass.png", "gravel.png", "motorcycle_left.png", "rocket.jpg",
)  # fmt: skip
SHRINK = 2
"""Pixels of a photograph that make one of a frame, each way."""
FIXATION_SECONDS = 0.35
"""Mean time between two large saccades."""
DRIFT = 0.25
"""Pixels that the eye drifts in a frame (standard deviation)."""
MICROSACCADES_HZ = 1.5
"""Small jumps of the eye a second."""
NOISE_FRAMES = 2
"""Frames that a noise pattern stays."""
NOISE_PIXELS = 2
"""Edge of a noise pattern's squares."""
Double = NDArray[np.float64]


def photographs() -> list[Double]:
    """Return scikit-image's packaged photographs, grey, shrunk, mean 0 and deviation 1 each.

    Raises:
        RequestError: scikit-image is not installed.
    """
    try:
        import skimage.data
        from skimage.color import rgb2gray
        from skimage.io import imread
        from skimage.transform import downscale_local_mean
    except ImportError as error:
        hint = f"Install it: {install_command('neural')}."
        raise RequestError("the embedded data need scikit-image", hint=hint) from error
    folder = Path(str(skimage.data.__file__)).parent
    found = []
    for name in PHOTOGRAPHS:
        image = imread(folder / name)
        grey = rgb2gray(image[..., :3]) if image.ndim == 3 else image / 255
        small = downscale_local_mean(grey, (SHRINK, SHRINK))
        found.append((small - small.mean()) / small.std())
    return found


def natural_movie(
    images: list[Double], frames: int, size: int, rate_hz: float, random: np.random.Generator
) -> Bytes:
    """Return (T, H, W) of what falls on the retina while the eye looks around.

    The eye drifts, makes small saccades, and at large ones goes to another place of another
    photograph. Contrast is scaled so that deviations of two standard deviations are seen whole.
    """
    jump = random.random(frames) < 1 / (FIXATION_SECONDS * rate_hz)
    jump[0] = True
    fixation = np.cumsum(jump) - 1
    which = random.integers(len(images), size=fixation[-1] + 1)[fixation]
    place = random.random((fixation[-1] + 1, 2))[fixation]
    steps = random.normal(0, DRIFT, (frames, 2))
    small = random.random(frames) < MICROSACCADES_HZ / rate_hz
    steps += small[:, None] * random.normal(0, 2.0, (frames, 2))
    walk = np.cumsum(steps, axis=0)
    walk -= walk[np.flatnonzero(jump)][fixation]  # each fixation starts where it was aimed
    movie = np.zeros((frames, size, size))
    for number, image in enumerate(images):
        mine = np.flatnonzero(which == number)
        room = np.array(image.shape) - size - 2
        corner = np.clip(place[mine] * room + walk[mine], 0, room)
        movie[mine] = _crops(image, corner, size)
    return np.clip(127.5 + 60 * movie, 0, 255).astype(np.uint8)


def _crops(image: Double, corner: Double, size: int) -> Double:
    """Return (t, size, size) squares of an image at (t, 2) fractional corners, interpolated."""
    whole = np.floor(corner).astype(np.int64)
    part = (corner - whole)[:, :, None, None]
    rows = whole[:, 0, None, None] + np.arange(size)[:, None]
    columns = whole[:, 1, None, None] + np.arange(size)
    down, right = part[:, 0], part[:, 1]
    upper = image[rows, columns] * (1 - right) + image[rows, columns + 1] * right
    lower = image[rows + 1, columns] * (1 - right) + image[rows + 1, columns + 1] * right
    crops: Double = upper * (1 - down) + lower * down
    return crops


def noise_movie(frames: int, size: int, random: np.random.Generator) -> Bytes:
    """Return (T, H, W) of black, grey and white squares that change every few frames."""
    shape = (-(-frames // NOISE_FRAMES), -(-size // NOISE_PIXELS), -(-size // NOISE_PIXELS))
    squares = random.choice(np.array([0, 127, 255], np.uint8), shape)
    for axis, repeats in enumerate((NOISE_FRAMES, NOISE_PIXELS, NOISE_PIXELS)):
        squares = squares.repeat(repeats, axis=axis)
    return np.ascontiguousarray(squares[:frames, :size, :size])
