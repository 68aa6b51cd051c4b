"""The cache gives back what was read, notices damage, and bears several writers."""

from __future__ import annotations

import logging
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from tutelage.core.errors import DataError, StorageError
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.ingest import CaptureCache, CaptureFile, find_captures, read_frames

HEADER = "timestamp,arbitration_id,data_field,attack\n"


def same(a: Frames, b: Frames) -> bool:
    return all(np.array_equal(getattr(a, c), getattr(b, c)) for c in Frames.__slots__)


@pytest.fixture
def capture(tmp_path: Path) -> CaptureFile:
    path = tmp_path / "data" / "DoS-kia.csv"
    path.parent.mkdir()
    frames = [(k, bytes(j + k & 255 for j in range(k % 9)).hex(), k % 2) for k in range(200)]
    path.write_text(HEADER + "".join(f"{1 + k / 1e3:.6f},{k:X},{p},{y}\n" for k, p, y in frames))
    return find_captures(path)[0]


def test_a_second_load_maps_the_same_frames_and_report(
    capture: CaptureFile, tmp_path: Path
) -> None:
    cache = CaptureCache(tmp_path / "cache")
    frames, report = read_frames(capture.path)
    first = cache.load(capture)
    stored = list(cache.root.iterdir())
    written = stored[0].stat().st_mtime_ns
    second = cache.load(capture)
    assert len(stored) == 1
    assert stored[0].stat().st_mtime_ns == written
    for loaded, said, digest in (first, second):
        assert same(loaded, frames)
        assert said == report
        assert digest == first[2]
        assert loaded.timestamp.dtype == np.float64
        assert loaded.payload.shape == (len(frames), 8)
        assert not loaded.payload.flags.writeable
    assert list(capture.path.parent.iterdir()) == [capture.path]


def test_a_copy_with_other_line_ends_has_the_same_digest(
    capture: CaptureFile, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.csv"
    copy.write_bytes(capture.path.read_bytes().replace(b"\n", b"\r\n"))
    cache = CaptureCache(tmp_path / "cache")
    assert cache.load(find_captures(copy)[0])[2] == cache.load(capture)[2]
    assert len(list(cache.root.iterdir())) == 2


def test_changed_content_and_another_mapping_are_read_again(
    capture: CaptureFile, tmp_path: Path
) -> None:
    cache = CaptureCache(tmp_path / "cache")
    frames, _, digest = cache.load(capture)
    unlabelled, _, _ = cache.load(capture, {"label": "attack"})
    capture.path.write_text(HEADER + "1.0,1,00,0\n")
    changed, _, other = cache.load(capture)
    assert len(list(cache.root.iterdir())) == 3
    assert (len(changed), len(unlabelled)) == (1, len(frames))
    assert other != digest


def test_a_rebuild_can_be_forced(capture: CaptureFile, tmp_path: Path) -> None:
    cache = CaptureCache(tmp_path / "cache")
    cache.load(capture)
    inode = next(cache.root.iterdir()).stat().st_ino
    cache.load(capture, force_rebuild=True)
    assert next(cache.root.iterdir()).stat().st_ino != inode


@pytest.mark.parametrize("damage", ["truncated", "flipped", "foreign", "empty"])
def test_a_damaged_cache_file_is_noticed_and_rebuilt(
    capture: CaptureFile, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = CaptureCache(tmp_path / "cache")
    cache.load(capture)
    path = next(cache.root.iterdir())
    raw = bytearray(path.read_bytes())
    middle = raw.rfind(read_frames(capture.path)[0].payload.tobytes()) + 100
    raw[middle] ^= 1
    contents = {
        "truncated": raw[: len(raw) // 2],
        "flipped": raw,
        "foreign": b"x" * 999,
        "empty": b"",
    }
    path.write_bytes(contents[damage])
    with caplog.at_level(logging.WARNING):
        frames, _, _ = cache.load(capture)
    assert same(frames, read_frames(capture.path)[0])
    assert "damaged" in caplog.text
    caplog.clear()
    cache.load(capture)
    assert not caplog.text


def test_a_change_of_road_metadata_changes_the_digest_and_the_labels(tmp_path: Path) -> None:
    log = tmp_path / "attacks" / "a.log"
    log.parent.mkdir()
    log.write_text("(1.0) can0 001#00\n(2.0) can0 001#00\n")
    cache = CaptureCache(tmp_path / "cache")
    capture = find_captures(log)[0]
    plain, _, digest = cache.load(capture)
    metadata = '{"a": {"injection_interval": [0.5, 1.5], "injection_id": "0x001"}}'
    (log.parent / "capture_metadata.json").write_text(metadata)
    labelled, _, other = cache.load(capture)
    assert plain.label.tolist() == [-1, -1]
    assert labelled.label.tolist() == [0, 1]
    assert digest != other


def test_a_bad_capture_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEADER + "1.0,1,0q,0\n")
    cache = CaptureCache(tmp_path / "cache")
    with pytest.raises(DataError):
        cache.load(CaptureFile(path, "", "a", "a", ""))
    with pytest.raises(DataError, match="no such file"):
        cache.load(CaptureFile(tmp_path / "none.csv", "", "a", "a", ""))
    assert not cache.root.exists()


def test_a_cache_that_can_not_be_made_is_a_storage_error(
    capture: CaptureFile, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        CaptureCache(tmp_path / "file" / "cache").load(capture)


def _load(root: Path, capture: CaptureFile) -> int:
    return len(CaptureCache(root).load(capture, force_rebuild=True)[0])


def test_several_processes_may_write_one_capture_at_once(
    capture: CaptureFile, tmp_path: Path
) -> None:
    root = tmp_path / "cache"
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        counts = pool.starmap(_load, [(root, capture)] * 8)
    assert set(counts) == {len(read_frames(capture.path)[0])}
    assert [p.suffix for p in root.iterdir()] == [".arrow"]
