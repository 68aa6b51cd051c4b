"""The audit names bad pictures, near repeats across the split, and captions that tell nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from made_pairs import drawing, make_folder, png
from PIL import Image

from tutelage.tasks.multimodal import MultimodalTask
from tutelage.tasks.multimodal.config import MultimodalConfig, MultimodalData


def audited(root: Path, cache: Path):  # type: ignore[no-untyped-def]
    return MultimodalTask().audit(MultimodalConfig(data=MultimodalData(root=root, size=32)), cache)


def test_sound_pictures_are_clean(tmp_path: Path) -> None:
    found = audited(make_folder(tmp_path / "mine"), tmp_path / "cache")
    assert found.stamp.verdict == "clean"
    assert found.tables[0].title == "Pictures"
    assert sum(int(row[1]) for row in found.tables[0].rows) == 144  # type: ignore[arg-type]


def test_bad_pictures_and_near_repeats_are_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "mine")
    (folder / "red-circle-small-0.png").write_bytes(b"")
    image = drawing("red", "square", "large", 0)
    image[:8, :8] = 0  # like none of the others
    near = np.array(image)
    near[14:18, 14:18] = (170, 60, 60)  # another thumbnail, hardly another picture
    (folder / "x-train.png").write_bytes(png(image))
    Image.fromarray(near).save(folder / "x-test.png")
    names = sorted(p.name for p in folder.glob("*-*-*.png"))
    with (folder / "captions.csv").open() as file:
        header, *rows = file.read().splitlines()
    parts = ["train" if "small" in row else "validation" if "mid" in row else "" for row in rows]
    parts = ["test" if "large" in row else part for row, part in zip(rows, parts, strict=True)]
    lines = [f"{row},{part}" for row, part in zip(rows, parts, strict=True)]
    more = ["x-train.png,one thing,square,train", "x-test.png,another thing,square,test"]
    (folder / "captions.csv").write_text("\n".join([f"{header},split", *lines, *more]) + "\n")
    found = audited(folder, tmp_path / "cache")
    assert found.stamp.verdict == "warnings" and names
    titles = {table.title: table for table in found.tables}
    assert titles["Pictures left out"].rows == (("red-circle-small-0.png", "the file is empty"),)
    assert ("x-test.png", "x-train.png") in titles["Nearly alike across the split"].rows
