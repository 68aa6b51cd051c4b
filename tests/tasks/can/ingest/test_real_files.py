"""Real captures give the frames that their files hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.ingest import find_captures, read_frames


@pytest.fixture(scope="module")
def real_can(shared_data: Path) -> Path:
    return shared_data / "can"


def test_every_parquet_capture_is_read_whole(real_can: Path) -> None:
    captures = [c for c in find_captures(real_can) if c.path.suffix == ".parquet"]
    assert len(captures) >= 20
    for capture in captures[::3]:
        frames, report = read_frames(capture.path)
        assert len(frames) == pq.read_metadata(capture.path).num_rows == report.n_frames
        assert report.labelled
        assert report.largest_backward < 0.001


def test_parquet_values_are_those_that_arrow_reads(real_can: Path) -> None:
    path = real_can / "hcrl_sa" / "test_02_unknown_vehicle_known_attack__DoS-spark.parquet"
    frames, _ = read_frames(path)
    table = pq.read_table(path)
    assert np.array_equal(frames.timestamp, table["timestamp"].to_numpy())
    assert np.array_equal(frames.arbitration_id, table["id"].to_numpy())
    assert np.array_equal(frames.label, table["label"].to_numpy())
    payloads = [bytes.fromhex(text) for text in table["data_field"].to_pylist()]
    assert frames.dlc.tolist() == [len(p) for p in payloads]
    assert frames.payload.tobytes() == b"".join(p.ljust(8, b"\0") for p in payloads)


def test_the_native_csv_holds_the_first_frames_of_its_parquet(real_can: Path) -> None:
    native, report = read_frames(real_can / "csv" / "fuzzing-sonata_native.csv")
    whole, _ = read_frames(real_can / "hcrl_sa" / "train_02_with_attacks__fuzzing-sonata.parquet")
    assert report.n_frames == 37074
    for column in Frames.__slots__:
        assert np.array_equal(getattr(native, column), getattr(whole[: len(native)], column))
