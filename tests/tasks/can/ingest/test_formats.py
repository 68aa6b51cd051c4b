"""Each format gives the frames that were written in it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import can
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tutelage.core.errors import DataError
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.ingest import read_frames, require_labels

NATIVE = """timestamp,arbitration_id,data_field,attack
1513921661.08358,260,151E1E30008F7B2C,0
1513921661.083812,2A0,4000,1
1513921661.08406,1FFFFFFF,,0
"""
HCRL = """1478198376.389427,0316,8,05,21,68,09,21,21,00,6f,R
1478198376.389636,018f,2,fe,5b,T
1478198376.389864,0260,0,R
"""
OTIDS = """Timestamp: 1479121434.850202        ID: 0350    000    DLC: 8    05 28 84 66 6d 00 00 a2
Timestamp: 1479121434.850423        ID: 02c0    100    DLC: 8    00 00 00 00 00 00 00 00
Timestamp: 1479121434.850977        ID: 18fef100    010    DLC: 2    14 a0
Timestamp: 1479121434.851004        ID: 0430    000    DLC: 0
Timestamp: 1479121434.851100        ID: 0004    001    DLC: 0
"""
CANDUMP = """(1436509052.249713) can0 044#2A366C2BBA
(1436509052.449847) vcan10 18FEF100#
(1436509052.650004) can0 0F6#R
(1436509052.650010) can0 0F6#R8
(1436509052.700000) can0 20000004#0000000000000000
(1436509052.850034) can0 7FF#FFffFFffFFffFFff R
"""

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return write_


def rows(frames: Frames) -> list[tuple[float, int, str, int]]:
    return [
        (float(t), int(i), p[:d].tobytes().hex(), int(y))
        for t, i, d, p, y in zip(
            frames.timestamp,
            frames.arbitration_id,
            frames.dlc,
            frames.payload,
            frames.label,
            strict=True,
        )
    ]


def test_a_csv_with_header_gives_its_frames_and_labels(write: Write) -> None:
    frames, report = read_frames(write("a.bin", NATIVE))
    assert rows(frames) == [
        (1513921661.08358, 0x260, "151e1e30008f7b2c", 0),
        (1513921661.083812, 0x2A0, "4000", 1),
        (1513921661.08406, 0x1FFFFFFF, "", 0),
    ]
    assert (report.format, report.n_frames, report.labelled) == ("csv", 3, True)
    assert not frames.payload[1, 2:].any()


@pytest.mark.parametrize(
    "text",
    [
        NATIVE.replace("\n", "\r\n"),
        NATIVE.rstrip("\n"),
        "\ufeff" + NATIVE,
        NATIVE.replace("\n", "\n\n"),
        NATIVE.replace(",", ", "),
        NATIVE.replace("260", '"260"').replace("4000", '"40 00"'),
        NATIVE.replace("260", "0x260"),
        NATIVE.replace(",", ";"),
        NATIVE.replace(",", "\t"),
        NATIVE.replace(",", " ; "),
    ],
    ids=[
        *("crlf", "no last newline", "bom", "empty lines", "spaces", "quotes", "0x"),
        *("semicolons", "tabs", "semicolons and spaces"),
    ],
)
def test_variants_of_writing_a_csv_give_the_same_frames(write: Write, text: str) -> None:
    plain, _ = read_frames(write("plain.csv", NATIVE))
    frames, _ = read_frames(write("variant.csv", text))
    assert rows(frames) == rows(plain)


def test_timestamps_with_more_digits_than_a_double_holds_round_as_float_does(write: Write) -> None:
    text = "timestamp,arbitration_id,data_field,attack\n"
    times = ["1672531200.0000212", "1672531200.00012345678901", "1672531201", "1.6725312015e9"]
    frames, _ = read_frames(write("t.csv", text + "".join(f"{t},1,00,0\n" for t in times)))
    assert frames.timestamp.tolist() == [float(t) for t in times]


def test_foreign_columns_are_read_through_a_mapping(write: Write) -> None:
    path = write(
        "challenge.csv",
        "Time,ID,DLC,Data,Class,SubClass\n"
        "1.5,153,8,00 80 10 FF 00 FF 80 CE,Normal,Normal\n"
        "1.6,220,2,F9 03 10 00 00 00 00 00,Attack,Flooding\n",
    )
    columns = {
        "timestamp": "Time",
        "arbitration_id": "ID",
        "data_field": "Data",
        "dlc": "DLC",
        "label": "Class",
    }
    frames, report = read_frames(path, columns)
    assert rows(frames) == [(1.5, 0x153, "008010ff00ff80ce", 0), (1.6, 0x220, "f903", 1)]
    assert not frames.payload[1, 2:].any()
    assert report.labelled


def test_hcrl_lines_of_any_width_give_their_bytes_and_labels(write: Write) -> None:
    frames, report = read_frames(write("DoS_dataset.csv", HCRL))
    assert rows(frames) == [
        (1478198376.389427, 0x316, "052168092121006f", 0),
        (1478198376.389636, 0x18F, "fe5b", 1),
        (1478198376.389864, 0x260, "", 0),
    ]
    assert report.format == "hcrl"


@pytest.mark.parametrize("delimiter", [";", "\t", ", "])
def test_hcrl_fields_may_stand_apart_in_another_way(write: Write, delimiter: str) -> None:
    plain, _ = read_frames(write("plain.csv", HCRL))
    frames, report = read_frames(write("other.csv", HCRL.replace(",", delimiter)))
    assert report.format == "hcrl"
    assert rows(frames) == rows(plain)


def test_hcrl_survival_labels_are_numbers(write: Write) -> None:
    frames, _ = read_frames(write("s.txt", HCRL.replace("R", "0").replace("T", "1")))
    assert frames.label.tolist() == [0, 1, 0]


def test_hcrl_lines_without_a_label_are_unlabelled(write: Write) -> None:
    frames, report = read_frames(write("s.csv", HCRL.replace(",R", "").replace(",T", "")))
    assert frames.label.tolist() == [-1, -1, -1]
    assert frames.dlc.tolist() == [8, 2, 0]
    assert not report.labelled


def test_otids_gives_data_frames_and_counts_the_others(write: Write) -> None:
    frames, report = read_frames(write("normal_run_data.txt", OTIDS))
    assert rows(frames) == [
        (1479121434.850202, 0x350, "052884666d0000a2", -1),
        (1479121434.850977, 0x18FEF100, "14a0", -1),
        (1479121434.851004, 0x430, "", -1),
    ]
    assert report.skipped == {"remote": 1, "error": 1}


def test_candump_gives_data_frames_and_counts_the_others(write: Write) -> None:
    frames, report = read_frames(write("a.log", CANDUMP))
    assert rows(frames) == [
        (1436509052.249713, 0x44, "2a366c2bba", -1),
        (1436509052.449847, 0x18FEF100, "", -1),
        (1436509052.850034, 0x7FF, "ffffffffffffffff", -1),
    ]
    assert report.skipped == {"remote": 2, "error": 1}
    assert not report.labelled


def messages() -> list[can.Message]:
    make = can.Message
    return [
        make(timestamp=1000.0, arbitration_id=0x123, data=b"\x01\x02", is_extended_id=False),
        make(timestamp=1000.5, arbitration_id=0x18FEF100, data=bytes(range(8))),
        make(timestamp=1000.6, arbitration_id=0x1, is_remote_frame=True, is_extended_id=False),
        make(timestamp=1001.25, arbitration_id=0x7FF, data=b"", is_extended_id=False),
    ]


@pytest.mark.parametrize(
    ("suffix", "writer"),
    [
        ("asc", can.ASCWriter),
        ("blf", can.BLFWriter),
        ("trc", can.TRCWriter),
        ("mf4", can.MF4Writer),
    ],
)
def test_logs_of_python_can_give_their_data_frames(
    tmp_path: Path, suffix: str, writer: Callable[[Path], can.Listener]
) -> None:
    path = tmp_path / f"log.{suffix}"
    log = writer(path)
    for message in messages():
        log.on_message_received(message)
    log.stop()
    unnamed = path.rename(tmp_path / "capture") if suffix != "mf4" else path
    frames, report = read_frames(unnamed)
    assert report.format == suffix
    assert report.skipped == ({} if suffix == "trc" else {"remote": 1})  # TRCWriter leaves it out
    assert [r[1:] for r in rows(frames)] == [
        (0x123, "0102", -1),
        (0x18FEF100, "0001020304050607", -1),
        (0x7FF, "", -1),
    ]
    assert np.allclose(np.diff(frames.timestamp), [0.5, 0.75], atol=2e-3)


def parquet(path: Path, **columns: pa.Array) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


PARQUET = {
    "timestamp": pa.array([1.0, 1.5, 2.0]),
    "id": pa.array([0x123, 0x18FEF100, 7], pa.uint32()),
    "data_field": pa.array(["0102", "", "00112233445566ff"]),
    "label": pa.array([0, 1, 0], pa.uint8()),
}
EXPECTED = [(1.0, 0x123, "0102", 0), (1.5, 0x18FEF100, "", 1), (2.0, 7, "00112233445566ff", 0)]
RAW = [b"\x01\x02", b"", bytes.fromhex("00112233445566ff")]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"id": pa.array(["123", "0x18FEF100", "7"])},
        {"id": pa.array([0x123, 0x18FEF100, 7], pa.int64())},
        {"data_field": pa.array(RAW, pa.binary())},
        {"data_field": pa.array([list(r) for r in RAW], pa.list_(pa.uint8()))},
        {"data_field": PARQUET["data_field"].cast(pa.large_string())},
        {"data_field": PARQUET["data_field"].dictionary_encode()},
        {"label": pa.array([False, True, False])},
        {"label": pa.array(["Normal", "Attack", "Normal"])},
        {"label": pa.array(["no", "Yes", "no"])},
        {"timestamp": pa.array([1_000_000, 1_500_000, 2_000_000], pa.timestamp("us"))},
    ],
    ids=lambda c: ",".join(f"{k}:{v.type}" for k, v in c.items()) or "canonical",
)
def test_parquet_gives_its_frames_whatever_type_the_columns_have(
    tmp_path: Path, changed: dict[str, pa.Array]
) -> None:
    frames, report = read_frames(parquet(tmp_path / "a", **{**PARQUET, **changed}))
    assert rows(frames) == EXPECTED
    assert report.format == "parquet"
    assert report.labelled


@pytest.mark.parametrize("kind", [pa.binary(2), pa.list_(pa.uint8(), 2)], ids=str)
def test_parquet_payloads_may_have_a_fixed_width(tmp_path: Path, kind: pa.DataType) -> None:
    raw = [b"\1\2", b"\3\4", b"\5\6"]
    values = pa.array(raw if kind == pa.binary(2) else [list(r) for r in raw], kind)
    frames, _ = read_frames(parquet(tmp_path / "a", **{**PARQUET, "data_field": values}))
    assert [r[2] for r in rows(frames)] == ["0102", "0304", "0506"]


def test_parquet_batches_join_without_a_seam(tmp_path: Path) -> None:
    n = 70_000
    payloads = [bytes(k & 255 for k in range(j, j + j % 9)) for j in range(n)]
    columns = {
        "timestamp": pa.array(np.arange(n) / 1e3),
        "id": pa.array(np.arange(n) % 2048, pa.uint32()),
    }
    hexed = pa.array([p.hex() for p in payloads])
    binary = pa.array(payloads, pa.binary())
    for data_field in (hexed, binary, pa.array([list(p) for p in payloads], pa.list_(pa.uint8()))):
        path = parquet(tmp_path / "a", **columns, data_field=data_field)
        frames, _ = read_frames(path)
        assert frames.payload.tobytes() == b"".join(p.ljust(8, b"\0") for p in payloads)
        assert frames.dlc.tolist() == [len(p) for p in payloads]


def test_parquet_columns_are_mapped_and_a_length_column_cuts_padding(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "a.parquet",
        time=PARQUET["timestamp"],
        id=PARQUET["id"],
        bytes=pa.array(["0102000000000000"] * 3),
        n=pa.array([2, 0, 8]),
    )
    columns = {"timestamp": "time", "data_field": "bytes", "dlc": "n"}
    frames, _ = read_frames(path, columns)
    assert [r[2] for r in rows(frames)] == ["0102", "", "0102000000000000"]
    assert frames.payload[1].tolist() == [0] * 8
    assert frames.label.tolist() == [-1] * 3


def test_a_missing_label_column_is_no_guess_and_the_refusal_says_what_to_do(tmp_path: Path) -> None:
    csv = tmp_path / "a.csv"
    csv.write_text("timestamp,arbitration_id,data_field,verdict\n1.0,1,00,0\n")
    frames, report = read_frames(csv)
    assert frames.label.tolist() == [-1]
    assert not report.labelled
    with pytest.raises(DataError) as refusal:
        require_labels(frames, csv)
    text = str(refusal.value)
    assert "attack or label" in text
    assert "timestamp, arbitration_id, data_field, verdict" in text
    assert "data.columns.label=NAME" in text
    mapped, _ = read_frames(csv, {"label": "verdict"})
    require_labels(mapped, csv)


def test_requiring_labels_of_a_format_without_columns_says_so(write: Write) -> None:
    path = write("a.log", CANDUMP)
    with pytest.raises(DataError, match="no label column"):
        require_labels(read_frames(path)[0], path)


ROAD = "".join(f"({100 + k / 10:.6f}) can0 {i}#{d}\n" for k, (i, d) in enumerate([
    ("0D0", "00FF000000000000"),
    ("0D0", "00FF000000000000"),
    ("0D1", "00FF000000000000"),
    ("0D0", "0000000000000000"),
    ("0D0", "00FF000000000000"),
]))  # fmt: skip


def road(folder: Path, entry: object, name: str = "capture") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "capture_metadata.json").write_text(json.dumps({name: entry}))
    path = folder / "capture.log"
    path.write_text(ROAD)
    return path


def test_road_labels_the_interval_id_and_payload_of_its_metadata(tmp_path: Path) -> None:
    entry = {
        "injection_interval": [0.1, 0.3],
        "injection_id": "0x0D0",
        "injection_data_str": "XXFFXXXXXXXXXXXX",
    }
    frames, report = read_frames(road(tmp_path / "attacks", entry))
    assert frames.label.tolist() == [0, 1, 0, 0, 0]
    assert report.labelled
    anywhere = {**entry, "injection_id": "XXX"}
    frames, _ = read_frames(road(tmp_path / "attacks", anywhere))
    assert frames.label.tolist() == [0, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("folder", "name", "entry", "label"),
    [
        ("ambient", "capture", {"elapsed_sec": 5.0}, 0),
        ("attacks", "capture", {"elapsed_sec": 5.0}, -1),
        ("attacks", "capture", {"injection_interval": None, "injection_id": "XXX"}, -1),
        ("ambient", "another", {"elapsed_sec": 5.0}, -1),
    ],
)
def test_road_without_an_interval_is_benign_only_where_the_metadata_say_so(
    tmp_path: Path, folder: str, name: str, entry: object, label: int
) -> None:
    frames, _ = read_frames(road(tmp_path / folder, entry, name))
    assert set(frames.label.tolist()) == {label}


def test_road_metadata_of_another_form_are_refused(tmp_path: Path) -> None:
    path = road(tmp_path, {"injection_interval": "soon"})
    with pytest.raises(DataError, match="injection_interval") as refusal:
        read_frames(path)
    assert refusal.value.where == str(tmp_path / "capture_metadata.json")


def test_importing_the_package_loads_no_reader() -> None:
    code = "import sys, tutelage.tasks.can.ingest; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"pyarrow", "polars", "can", "asammdf", "torch"} & set(loaded.stdout.split())
