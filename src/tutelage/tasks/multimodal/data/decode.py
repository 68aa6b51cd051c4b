"""Pictures from bytes: decoded by Pillow, laid on white, cut or padded to a square."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from tutelage.core.files import open_regular
from tutelage.tasks.multimodal.data.entries import Entry

Fit = Literal["crop", "pad", "stretch"]
Decoded = NDArray[np.uint8] | str
"""A picture, or why there is none."""
KINDS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""What is decoded; Pillow knows others, of which one hands its content to another program."""
_DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError,
    ArithmeticError, RuntimeError, MemoryError, struct.error,
)  # fmt: skip
"""What Pillow's readers end in where a picture is damaged."""
THREADS = 2
_AHEAD = 256


def decode_all(entries: Sequence[Entry], size: int, fit: Fit) -> Iterator[Decoded]:
    """Yield each entry's picture in order, (size, size, 3), or the reason why there is none."""
    with ThreadPoolExecutor(THREADS, thread_name_prefix="decode") as pool:
        for start in range(0, len(entries), _AHEAD):
            part = entries[start : start + _AHEAD]
            yield from pool.map(lambda entry: decode_entry(entry, size, fit), part)


def decode_entry(entry: Entry, size: int, fit: Fit) -> Decoded:
    """Read and decode one picture; a reason where it can't be."""
    try:
        with open_regular(entry.path) as file:
            file.seek(entry.offset)
            content = file.read() if entry.size is None else file.read(entry.size)
    except (FileNotFoundError, ValueError):  # or no name that a file can have
        return "there is no such file"
    except OSError as error:
        return f"can't be read: {error.strerror or error}"
    return decode(content, size, fit)


def decode(content: bytes, size: int, fit: Fit) -> Decoded:
    """Decode one picture; a reason where it can't be.

    Args:
        content: The file's bytes.
        size: Side of the result in pixels.
        fit: ``crop`` cuts the middle square, ``pad`` adds white, ``stretch`` does neither.
    """
    if not content:
        return "the file is empty"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=KINDS) as image:
                image.draft("RGB", (size, size))
                return fitted(ImageOps.exif_transpose(image), size, fit)
    except UnidentifiedImageError:
        return "is no picture of a known kind"
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        return f"has more than {Image.MAX_IMAGE_PIXELS or 0} pixels"
    except _DAMAGED as error:
        return f"is damaged: {error}"


def fitted(image: Image.Image, size: int, fit: Fit) -> NDArray[np.uint8]:
    """Return the picture on white as (size, size, 3) uint8."""
    if image.mode not in ("RGB", "L"):
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        image = Image.alpha_composite(white, layered)
    image = image.convert("RGB")
    square, filtered = (size, size), Image.Resampling.LANCZOS
    if image.size != square:
        if fit == "crop":
            image = ImageOps.fit(image, square, filtered)
        elif fit == "pad":
            image = ImageOps.pad(image, square, filtered, color="white")
        else:
            image = image.resize(square, filtered)
    return np.array(image, dtype=np.uint8)
