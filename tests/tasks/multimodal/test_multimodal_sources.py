"""Folders, shards and embedded sets become pairs; what is bad is named and counted."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from made_pairs import add, drawing, make_folder, png, write_rows
from PIL import Image

from tutelage.core.errors import DataError
from tutelage.tasks.multimodal.config import MultimodalData
from tutelage.tasks.multimodal.data.sources import load_pairs, pairs_fingerprint


def jpeg(image: np.ndarray) -> bytes:  # type: ignore[type-arg]
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "jpeg", quality=95)
    return buffer.getvalue()


def read(root: Path, cache: Path, **settings: object):  # type: ignore[no-untyped-def]
    return load_pairs(MultimodalData(root=root, size=32, **settings), cache)  # type: ignore[arg-type]


def test_a_folder_with_captions_is_read_in_its_own_order(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    red, blue = drawing("red", "circle", "large", 0), drawing("blue", "square", "small", 0)
    (folder / "b.png").write_bytes(png(blue))
    (folder / "a.png").write_bytes(png(red))
    rows = [["b.png", "blue"], ["a.png", "red"], ["b.png", "a square"]]
    write_rows(folder / "captions.csv", [["image", "caption"], *rows])
    pairs = read(folder, tmp_path / "cache")
    assert list(pairs.names) == ["b.png", "a.png"]
    assert list(pairs.captions) == ["blue", "a square", "red"]
    assert pairs.image_of.tolist() == [0, 0, 1]
    assert np.array_equal(pairs.images[0], blue) and np.array_equal(pairs.images[1], red)
    assert pairs.report.bad == ()


def test_pictures_are_decoded_once_and_then_mapped(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "mine", copies=1)
    first = read(folder, tmp_path / "cache")
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache" / "images").iterdir()}
    again = read(folder, tmp_path / "cache")
    assert isinstance(again.images, np.memmap)
    assert np.array_equal(first.images, again.images)
    assert stamps == {p: p.stat().st_mtime_ns for p in (tmp_path / "cache" / "images").iterdir()}


def test_a_damaged_cache_is_made_again(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "mine", copies=1)
    first = np.array(read(folder, tmp_path / "cache").images)
    (array,) = (tmp_path / "cache" / "images").glob("*.npy")
    array.write_bytes(array.read_bytes()[:5000])
    assert np.array_equal(read(folder, tmp_path / "cache").images, first)


def test_bad_pictures_are_named_and_never_replaced(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "mine")
    whole = jpeg(drawing("red", "circle", "large", 0))
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "note.png").write_text("no picture")
    (folder / "silent.png").write_bytes(png(drawing("red", "circle", "large", 0)))
    bad = [["missing.png", "x"], ["cut.jpg", "x"], ["empty.png", "x"], ["note.png", "x"]]
    with (folder / "captions.csv").open("a") as file:
        file.writelines(f"{name},{caption},x\n" for name, caption in [*bad, ["silent.png", "  "]])
    good = len(list(folder.glob("*-*.png")))
    pairs = read(folder, tmp_path / "cache")
    reasons = dict(pairs.report.bad)
    assert reasons.keys() == {"missing.png", "cut.jpg", "empty.png", "note.png", "silent.png"}
    assert reasons["missing.png"] == "there is no such file"
    assert "truncated" in reasons["cut.jpg"]
    assert reasons["silent.png"] == "has no caption"
    assert pairs.report.empty_captions == 1
    assert len(pairs) == len(pairs.images) == good
    assert pairs.report.asked == good + 5
    assert list(read(folder, tmp_path / "cache").report.bad) == list(pairs.report.bad)  # cached
    with pytest.raises(DataError, match=f"5 of {good + 5} pictures can't be used: missing.png"):
        read(folder, tmp_path / "cache", bad_share=0.01)


def test_transparency_lies_on_white_and_shape_is_kept_or_not_as_asked(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    wide = Image.new("RGBA", (64, 32), (0, 0, 0, 0))
    wide.paste((255, 0, 0, 255), (0, 0, 32, 32))
    wide.save(folder / "wide.png")
    write_rows(folder / "captions.csv", [["image", "caption"], ["wide.png", "x"]])
    padded = read(folder, tmp_path / "cache", fit="pad").images[0]
    assert padded[0, 0].tolist() == [255, 255, 255]  # the border that was added
    assert padded[16, 4].tolist() == [255, 0, 0]
    assert padded[16, 28].tolist() == [255, 255, 255]  # see-through
    cropped = read(folder, tmp_path / "cache", fit="crop").images[0]
    assert cropped[0, 4].tolist() == [255, 0, 0]


def test_shards_are_read_in_the_order_of_names_and_members(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    shapes = [drawing(c, "circle", "large", 0) for c in ("red", "green", "blue")]
    with tarfile.open(folder / "001.tar", "w") as archive:
        add(archive, "c.json", json.dumps({"captions": ["blue", "bleu"], "category": "z"}).encode())
        add(archive, "c.png", png(shapes[2]))
    with tarfile.open(folder / "000.tar", "w") as archive:
        add(archive, "b.png", png(shapes[1]))
        add(archive, "b.txt", b"green\n")
        add(archive, "b.cls", b"7")
        add(archive, "deep/a.png", png(shapes[0]))
        add(archive, "deep/a.txt", b"red")
    pairs = read(folder, tmp_path / "cache")
    assert list(pairs.names) == ["b.png", "deep/a.png", "c.png"]
    assert list(pairs.captions) == ["green", "red", "blue", "bleu"]
    assert list(pairs.categories) == ["7", "", "z"]
    assert np.array_equal(pairs.images, np.stack([shapes[1], shapes[0], shapes[2]]))


def test_a_truncated_shard_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w") as archive:
        add(archive, "a.png", png(drawing("red", "circle", "large", 0)))
        add(archive, "a.txt", b"red" * 2000)
    content = (tmp_path / "0.tar").read_bytes()
    (tmp_path / "0.tar").write_bytes(content[:2500])
    with pytest.raises(DataError, match="the shard can't be read"):
        read(tmp_path / "0.tar", tmp_path / "cache")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "holds neither a caption file nor tar shards.*\n.*captions.csv"),
        (["a.csv", "b.csv"], "isn't clear.*a.csv, b.csv.*\n.*data.root="),
    ],
)
def test_a_folder_that_says_nothing_clear_is_refused(
    tmp_path: Path, files: list[str], words: str
) -> None:
    for name in files:
        (tmp_path / name).write_text("image,caption\nx.png,y\n")
    with pytest.raises(DataError, match=f"(?s){words}"):
        read(tmp_path, tmp_path / "cache")


def test_the_fingerprint_follows_pictures_and_captions(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "mine", copies=1)
    data = MultimodalData(root=folder)
    prints = [pairs_fingerprint(data)]
    (folder / "red-circle-small-0.png").write_bytes(png(drawing("grey", "square", "large", 1)))
    prints.append(pairs_fingerprint(data))
    with (folder / "captions.csv").open("a") as file:
        file.write("red-circle-small-0.png,another,circle\n")
    prints.append(pairs_fingerprint(data))
    assert len(set(prints)) == 3


def test_the_embedded_sets_are_whole(tmp_path: Path) -> None:
    clips = load_pairs(MultimodalData(), tmp_path)
    assert len(clips) == 2938 and clips.images.shape == (2938, 64, 64, 3)
    emoji = load_pairs(MultimodalData(embedded="emoji_noto64", languages=("en", "th")), tmp_path)
    assert len(emoji) == 1911 and set(emoji.languages) == {"en", "th"}
    assert emoji.report.bad == () == clips.report.bad
