"""A folder of pictures with captions, made in a moment: coloured shapes on white."""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

COLOURS = {
    "red": (210, 30, 30), "green": (30, 160, 40), "blue": (30, 60, 200), "yellow": (230, 200, 20),
    "purple": (130, 40, 160), "orange": (240, 130, 20), "black": (10, 10, 10),
    "grey": (128, 128, 128),
}  # fmt: skip
SHAPES = ("circle", "square", "triangle")
SIZES = {"small": 5, "middling": 9, "large": 13}
SIDE = 32


def drawing(colour: str, shape: str, size: str, shift: int) -> NDArray[np.uint8]:
    """One shape on white, (32, 32, 3)."""
    image = Image.new("RGB", (SIDE, SIDE), "white")
    draw, radius = ImageDraw.Draw(image), SIZES[size]
    x, y = 15 + shift, 16 - shift
    box = (x - radius, y - radius, x + radius, y + radius)
    if shape == "circle":
        draw.ellipse(box, fill=COLOURS[colour])
    elif shape == "square":
        draw.rectangle(box, fill=COLOURS[colour])
    else:
        points = [(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)]
        draw.polygon(points, fill=COLOURS[colour])
    return np.array(image)


def drawings(copies: int = 2) -> list[tuple[str, str, str, NDArray[np.uint8]]]:
    """File name, caption, category and picture of each; copies share their caption."""
    return [
        (f"{colour}-{shape}-{size}-{copy}.png", f"a {size} {colour} {shape}", shape,
         drawing(colour, shape, size, 2 * copy))
        for colour in COLOURS
        for shape in SHAPES
        for size in SIZES
        for copy in range(copies)
    ]  # fmt: skip


def write_rows(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def make_folder(folder: Path, copies: int = 2) -> Path:
    """Write the pictures and captions.csv; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [["image", "caption", "category"]]
    for name, caption, category, image in drawings(copies):
        Image.fromarray(image).save(folder / name)
        rows.append([name, caption, category])
    write_rows(folder / "captions.csv", rows)
    return folder


def png(image: NDArray[np.uint8]) -> bytes:
    """The bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    return buffer.getvalue()


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a member to a tar file."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


SMALL = (
    "data.size=32",
    "model.width=8",
    "model.text.width=32",
    "model.text.buckets=512",
    "model.text.length=32",
    "model.embedding=16",
    "training.batch_size=32",
    "evaluation.resamples=20",
)
"""Settings of a model that trains in a second."""
