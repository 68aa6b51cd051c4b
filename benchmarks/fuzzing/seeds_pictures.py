"""Real seeds of pictures, captions and shards."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzzing.formats import odd_column
from fuzzing.seeds_shared import table


def image(kind: str) -> Callable[[Path], list[bytes]]:
    """Return what makes small pictures of a kind."""

    def make(folder: Path) -> list[bytes]:
        from PIL import Image

        grey = Image.fromarray(np.arange(300, dtype=np.uint16).astype(np.uint8).reshape(15, 20))
        found = []
        for mode in ("RGB", "L", "P", "RGBA", "CMYK", "1"):
            out = io.BytesIO()
            if (kind, mode) in {
                ("JPEG", "P"),
                ("JPEG", "RGBA"),
                ("PNG", "CMYK"),
                ("GIF", "CMYK"),
                ("BMP", "CMYK"),
                ("WEBP", "CMYK"),
                ("WEBP", "1"),
                ("WEBP", "P"),
            }:
                continue
            settings = {"compression": "tiff_lzw"} if (kind, mode) == ("TIFF", "RGB") else {}
            grey.convert("RGB").convert(mode).save(out, kind, **settings)
            found.append(out.getvalue())
        return found

    return make


def _pictures(folder: Path) -> None:
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(image("PNG")(folder)[0])


def captions_csv(folder: Path) -> list[bytes]:
    _pictures(folder)
    one = 'image,caption,category,split\na.png,a car,thing,train\nb.png,"a, red one",thing,test\n'
    return [one.encode(), b"file_name;text\na.png;x\nb.png;y\n"]


def captions_jsonl(folder: Path) -> list[bytes]:
    _pictures(folder)
    rows = [
        {"image": "a.png", "caption": ["a car", "x"], "language": "en"},
        {"image": "b.png", "caption": "y", "split": "val", "group": 3},
    ]
    return ["\n".join(map(json.dumps, rows)).encode()]


def caption_columns(random: Random) -> dict[str, Any]:
    import pyarrow as pa

    rows = random.choice((0, 1, 2, 2))
    usual = {
        "image": lambda: pa.array(["a.png", "b.png"][:rows]),
        "caption": lambda: pa.array(["x", "y"][:rows]),
        random.choice(("split", "group", "category")): lambda: pa.array(["train", "test"][:rows]),
    }
    return {name: odd_column(random, make, rows) for name, make in usual.items()}


def captions_parquet(folder: Path) -> list[bytes]:
    _pictures(folder)
    return [table({"image": ["a.png", "b.png"], "caption": ["x", "y"]})]


def _tar(members: Iterable[tuple[str, bytes]], form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def shard(folder: Path) -> list[bytes]:
    picture = image("PNG")(folder)[0]
    members = [
        ("1.png", picture),
        ("1.txt", b"a car"),
        ("1.cls", b"3"),
        ("x/2.png", picture),
        ("x/2.json", b'{"caption": ["a", "b"], "category": "c"}'),
    ]
    return [
        _tar(members, form)
        for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)
    ]
