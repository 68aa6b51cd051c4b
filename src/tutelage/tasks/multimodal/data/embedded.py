"""The data that ship with the task: drawings with titles, emoji with names in 28 languages."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tutelage.core.files import digest_bytes
from tutelage.tasks.multimodal.data.decode import Fit, fitted

EmbeddedName = Literal["openclipart64", "emoji_noto64"]
PARTS = ("images.npz", "pairs.jsonl.gz")
UNSORTED = "unsorted"
"""A tag that says nothing."""


@dataclass(frozen=True, slots=True)
class Described:
    """One embedded picture's captions with their languages, its name and its category."""

    name: str
    captions: tuple[tuple[str, str], ...]
    category: str
    group: str = ""


def embedded_digest(name: EmbeddedName) -> str:
    """Return a digest of an embedded set's content."""
    folder = files("tutelage.tasks.multimodal").joinpath("embedded", name)
    return digest_bytes(
        b"".join(digest_bytes(folder.joinpath(p).read_bytes()).encode() for p in PARTS)
    )


def embedded_images(name: EmbeddedName, size: int, fit: Fit) -> NDArray[np.uint8]:
    """Return an embedded set's pictures, (N, size, size, 3) uint8."""
    part = files("tutelage.tasks.multimodal").joinpath("embedded", name, PARTS[0])
    with as_file(part) as path, np.load(path) as arrays:
        images: NDArray[np.uint8] = arrays["images"]
    if images.shape[1] == size:
        return images
    return np.stack([fitted(Image.fromarray(image), size, fit) for image in images])


def embedded_texts(name: EmbeddedName, languages: tuple[str, ...]) -> list[Described]:
    """Return what an embedded set says of each of its pictures.

    Args:
        name: The set.
        languages: Of the emoji's names; empty for all.
    """
    part = files("tutelage.tasks.multimodal").joinpath("embedded", name, PARTS[1])
    lines = gzip.decompress(part.read_bytes()).decode().splitlines()
    describe = _drawing if name == "openclipart64" else _emoji
    return [describe(json.loads(line), languages) for line in lines]


def _drawing(row: dict[str, Any], languages: tuple[str, ...]) -> Described:
    """A drawing's title alone, and with its tags."""
    title = " ".join(row["title"].split())
    tags = [tag.replace("_", " ") for tag in row["tags"] if tag != UNSORTED]
    texts = [title] if not tags else [title, f"{title}, {', '.join(tags)}"]
    return Described(row["file"], tuple((text, "") for text in texts), row["category"])


def _emoji(row: dict[str, Any], languages: tuple[str, ...]) -> Described:
    """An emoji's name in each language."""
    labels = row["label"]
    chosen = [language for language in labels if not languages or language in languages]
    told = tuple((labels[language], language) for language in chosen)
    return Described(row["hex"], told, row["category"], group=row["hex"])
