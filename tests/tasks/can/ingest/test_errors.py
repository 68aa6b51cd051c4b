"""A capture that is wrong gives one message: which line, what is wrong, how many such lines."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

import can
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tutelage.core.errors import DataError
from tutelage.tasks.can.ingest import read_frames, require_labels
from tutelage.tasks.can.ingest.explain import LABEL_WORDS, WORDS

HEADER = "timestamp,arbitration_id,data_field,attack\n"
GOOD = "1.0,123,0011,0\n"


def refusal(path: Path, columns: dict[str, str] | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        read_frames(path, columns)
    return caught.value


def refusal_of(tmp_path: Path, text: str | bytes) -> DataError:
    path = tmp_path / "capture"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return refusal(path)


CSV_LINES = [
    ("1.0,123,00ZG11,0", "bad hex byte 'ZG'"),
    ("1.0,123,0011", "3 fields where the header has 4"),
    ("1.0,123,0011,0,5", "5 fields where the header has 4"),
    ("1.0,123", "2 fields where the header has 4"),
    ("1.0", "1 fields where the header has 4"),
    ("1.0,123,0011\0\0,0", "2 NUL bytes"),
    ("\0\0\0\0", "4 NUL bytes"),
    ("1.0,123,\0\0,0", "2 NUL bytes"),
    ("noon,123,0011,0", "timestamp 'noon' is not a number"),
    (",123,0011,0", "timestamp '' is not a number"),
    ("1_0,123,0011,0", "timestamp '1_0' is not a number"),
    ("nan,123,0011,0", "timestamp nan is not finite"),
    ("inf,123,0011,0", "timestamp inf is not finite"),
    ("1.0,12G,0011,0", "arbitration id '12G' is not hex"),
    ("1.0,,0011,0", "arbitration id '' is not hex"),
    ("1.0,0x,0011,0", "arbitration id '0x' is not hex"),
    ("1.0,20000000,0011,0", "wider than 29 bits"),
    ("1.0,123456789,0011,0", "wider than 29 bits"),
    ("1.0,123,001,0", "odd number of hex digits"),
    ("1.0,123,001122334455667788,0", "has 9 bytes"),
    ("1.0,123,0011,2", "label '2' is neither 0 nor 1"),
    ("1.0,123,0011,", "label '' is neither 0 nor 1"),
    ("1.0,123,0011,perhaps-not-an-attack", "is neither 0 nor 1"),
    ("0.98,123,0011,0", "runs backwards by 20.000 ms"),
]


@pytest.mark.parametrize(("line", "message"), CSV_LINES, ids=[repr(c[0]) for c in CSV_LINES])
def test_a_bad_csv_line_is_named_with_its_number_and_reason(
    tmp_path: Path, line: str, message: str
) -> None:
    error = refusal_of(tmp_path, HEADER + GOOD + "\n" + line + "\n" + GOOD)
    assert message in error.problem
    assert error.where == f"{tmp_path / 'capture'}:4"
    assert "(1 bad line in all)" in error.problem


def test_the_first_of_several_bad_lines_is_named_and_all_are_counted(tmp_path: Path) -> None:
    error = refusal_of(tmp_path, HEADER + GOOD + 3 * "1.0,123,0q,0\n" + GOOD + "1.0,123\n")
    assert error.where == f"{tmp_path / 'capture'}:3"
    assert "(4 bad lines in all)" in error.problem


def test_line_numbers_are_right_beyond_the_first_block(tmp_path: Path) -> None:
    text = HEADER + 100_000 * GOOD + "1.0,123,00XX,0\n" + 10 * GOOD
    assert refusal_of(tmp_path, text).where == f"{tmp_path / 'capture'}:100002"


def test_time_that_runs_backwards_across_a_block_is_seen(tmp_path: Path) -> None:
    lines = [f"{2 if k < 80_000 else 1}.0,123,0011,0\n" for k in range(80_001)]
    error = refusal_of(tmp_path, HEADER + "".join(lines))
    assert error.where == f"{tmp_path / 'capture'}:80002"


def test_small_backward_steps_keep_file_order_and_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEADER + "1.0,1,,0\n0.9997,2,,0\n1.1,3,,0\n1.095,4,,0\n")
    frames, report = read_frames(path)
    assert frames.arbitration_id.tolist() == [1, 2, 3, 4]
    assert report.backward_steps == 2
    assert report.largest_backward == pytest.approx(0.005)


HCRL = "1.5,0316,2,05,21,R"
HCRL_LINES = [
    ("1.5,0316,2,05,R", "2 fields after '1.5, 0316, 2'"),
    ("1.5,0316,2,05,21", "2 fields after '1.5, 0316, 2'"),
    ("1.5,0316,2,05,2,R", "bad hex byte '2'"),
    ("1.5,0316,2,05,2x,R", "bad hex byte '2x'"),
    ("1.5,0316,2,005,1,R", "bad hex byte '005'"),
    ("1.5,0316,9,05,21,R", "length '9' is not a number from 0 to 8"),
    ("1.5,0316,2,05,21,Q", "label 'Q'"),
    ("x,0316,2,05,21,R", "timestamp 'x'"),
    ("1.5,03g6,2,05,21,R", "arbitration id '03g6'"),
    ("1.5,03", "truncated line"),
    ("1.5,0316,2,05,2\0,R", "1 NUL byte"),
]
OTIDS = "Timestamp: 1.5        ID: 0350    000    DLC: 2    05 28"
OTIDS_LINES = [
    ("Timestamp: 1.5        ID: 0350    000    DLC: 2    05", "1 payload bytes where DLC says 2"),
    ("Timestamp: 1.5        ID: 0350    000    DLC: 2    05 2", "bad hex byte '2'"),
    ("Timestamp: 1.5        ID: 0350    000    DLC: 2    05  28", "malformed line"),
    ("Timestamp: 1.5        ID: 0350    000    DL", "truncated line"),
    ("Timestamp: x        ID: 0350    000    DLC: 2    05 28", "timestamp 'x'"),
    ("Timestamp: 1.5        ID: 03q0    000    DLC: 2    05 28", "arbitration id '03q0'"),
    ("Timestamp: 1.5        ID: 0350    000    DLC: 9    05 28", "length '9'"),
    ("Timestamp: 1.5        ID: 0350    000    DLC: 2    05 \0\0", "2 NUL bytes"),
]
CANDUMP = "(1.500000) can0 044#2A36"
CANDUMP_LINES = [
    ("(1.500000) can0 044##12A36", "CAN FD frame"),
    ("(1.500000) can0 044#2A3", "odd number of hex digits"),
    ("(1.500000) can0 044#2A3q", "bad hex byte '3q'"),
    ("(1.500000) can0 044#001122334455667788", "has 9 bytes"),
    ("(1.500000) can0 0x4q#2A", "arbitration id '0x4q'"),
    ("(1.500000) can0 40000000#2A", "wider than 29 bits"),
    ("(1.500000) can0 044", "truncated line"),
    ("(1.5", "truncated line"),
    ("(", "truncated line"),
    ("(1.50x000) can0 044#2A36", "timestamp '1.50x000'"),
    ("(1.500000) can0 044#2A\0\0", "2 NUL bytes"),
]
LOG_LINES = [
    (good, bad, message)
    for good, cases in ((HCRL, HCRL_LINES), (OTIDS, OTIDS_LINES), (CANDUMP, CANDUMP_LINES))
    for bad, message in cases
]


@pytest.mark.parametrize(("good", "bad", "message"), LOG_LINES, ids=[repr(c[1]) for c in LOG_LINES])
@pytest.mark.parametrize("last", [False, True], ids=["middle", "last"])
def test_a_bad_log_line_is_named_with_its_number_and_reason(
    tmp_path: Path, good: str, bad: str, message: str, last: bool
) -> None:
    rest = "" if last else f"\n{good}\n"
    error = refusal_of(tmp_path, f"{good}\n{good}\n{bad}{rest}")
    assert message in error.problem
    assert error.where == f"{tmp_path / 'capture'}:3"
    assert "(1 bad line in all)" in error.problem


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (HEADER.encode(), "holds no frames"),
        (b"(1.0) can0 0F6#R\n", "holds no frames"),
        (b"hello world\n", "not a CAN capture in a known format"),
        (b"\0\0\0\0\0", "5 NUL bytes"),
        (b"\x89PNG\r\n\x1a\n", "not a CAN capture"),
        (b"PAR1 and then nothing", "can't be read as Parquet"),
        (b"LOGG and then nothing", "can't be read as BLF"),
        (b"MDF     3.30    and then nothing", "MDF version 3.30; only 4 is read"),
        (b"MDF     4.10    and then nothing", "can't be read as MF4"),
    ],
)
def test_a_file_that_is_no_capture_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    error = refusal_of(tmp_path, content)
    assert message in error.problem
    assert error.where is not None
    assert error.where.startswith(str(tmp_path / "capture"))


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("utf-32", "UTF-32"),
    ],
)
def test_text_of_a_wide_encoding_is_named_with_the_way_out(
    tmp_path: Path, encoding: str, name: str
) -> None:
    error = refusal_of(tmp_path, (HEADER + GOOD).encode(encoding))
    assert f"{name} text; only UTF-8 can be read" in error.problem
    assert f"iconv -f {name} -t UTF-8" in (error.hint or "")


def test_a_decimal_comma_is_named(tmp_path: Path) -> None:
    error = refusal_of(tmp_path, (HEADER + GOOD).replace(",", ";").replace("1.0", "1,0"))
    assert "timestamp '1,0' has a decimal comma" in error.problem


def test_an_unknown_format_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    hint = refusal_of(tmp_path, "hello world\n").hint or ""
    for name in ("parquet", "csv", "hcrl", "otids", "candump", "asc", "blf", "trc", "mf4"):
        assert name in hint


def test_an_absent_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.csv").problem
    assert "a folder" in refusal(tmp_path).problem


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEADER + GOOD)
    path.chmod(0)
    assert "can't be read" in refusal(path).problem


def test_missing_columns_are_named_with_those_that_exist(tmp_path: Path) -> None:
    error = refusal_of(tmp_path, "moment,arbitration_id,x,attack\n" + GOOD)
    assert "no column for the timestamp (looked for timestamp)" in error.problem
    assert "data_field (looked for data_field)" in error.problem
    assert "It has moment, arbitration_id, x, attack." in (error.hint or "")
    assert "data.columns.timestamp=NAME data.columns.data_field=NAME" in (error.hint or "")


@pytest.mark.parametrize(
    ("header", "meant"),
    [
        ("Timestamp,id,data_field", "data.columns.timestamp=Timestamp"),
        ("timestamp,ID,DATA_FIELD", "data.columns.arbitration_id=ID data.columns.data_field=DATA"),
        ("timestamp,Arbitration ID,data_field", "'data.columns.arbitration_id=Arbitration ID'"),
        ("timestamp,id,Payload", "data.columns.data_field=Payload"),
        ("timestmap,id,data_field", "data.columns.timestamp=timestmap"),
        ("time,can_id,data", "data.columns.timestamp=time data.columns.arbitration_id=can_id"),
    ],
)
def test_a_column_that_may_be_meant_is_offered(tmp_path: Path, header: str, meant: str) -> None:
    error = refusal_of(tmp_path, header + "\n1.0,123,0011\n")
    assert f"Did you mean {meant}" in (error.hint or "")


@pytest.mark.parametrize(
    ("mapped", "meant"), [("Attack", "attack"), ("atack", "attack"), ("verdict", "NAME")]
)
def test_a_mapped_column_that_is_absent_is_named_with_the_nearest(
    tmp_path: Path, mapped: str, meant: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEADER + GOOD)
    error = refusal(path, {"label": mapped})
    assert f"{mapped!r}, which data.columns.label names" in error.problem
    assert "timestamp, arbitration_id, data_field, attack" in (error.hint or "")
    assert f"data.columns.label={meant}" in (error.hint or "")


def test_a_file_without_any_column_that_may_be_the_mapped_label_is_unlabelled(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("timestamp,arbitration_id,data_field\n1.0,123,0011\n")
    frames, _ = read_frames(path, {"label": "injected"})
    assert not frames.is_labelled
    with pytest.raises(DataError, match="no label column; looked for injected"):
        require_labels(frames, path, {"label": "injected"})


def test_a_label_column_of_another_case_is_offered(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEADER.replace("attack", "ATTACK") + GOOD)
    frames, _ = read_frames(path)
    with pytest.raises(DataError, match=r"Did you mean data\.columns\.label=ATTACK\?"):
        require_labels(frames, path)


def test_a_file_of_which_most_is_bad_makes_the_columns_suspect(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("stamp,id,speed,payload\n" + 30 * "1.0,123,7.5,0011\n")
    mapping = {"timestamp": "stamp", "data_field": "speed"}
    hint = refusal(path, mapping).hint or ""
    assert "Of 30 lines, 30 are bad: suspect the columns" in hint
    assert "timestamp='stamp', arbitration_id='id', data_field='speed'" in hint
    assert "of stamp, id, speed, payload." in hint and "data.columns.timestamp=NAME" in hint
    table = pa.table({**PARQUET, "x": pa.array(["a", "b", "c"])})
    pq.write_table(table, tmp_path / "a.parquet")
    hint = refusal(tmp_path / "a.parquet", {"data_field": "x"}).hint or ""
    assert "Of 3 rows, 3 are bad: suspect the columns" in hint and "data_field='x'" in hint


def test_a_log_of_which_most_is_bad_may_be_of_another_format(tmp_path: Path) -> None:
    error = refusal_of(tmp_path, CANDUMP + "\n" + 9 * "(1.5) can0 044\n")
    assert "the file may be of another format than candump" in (error.hint or "")
    error = refusal_of(tmp_path, 9 * (CANDUMP + "\n") + 2 * "(1.5) can0 044\n")
    assert (error.hint or "").startswith("Repair or remove the lines")


def test_a_mapping_of_an_unknown_quantity_offers_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEADER + GOOD)
    error = refusal(path, {"lable": "attack"})
    assert "data.columns.lable" in error.problem
    assert "'label'" in (error.hint or "")


PARQUET = {
    "timestamp": pa.array([1.0, 1.5, 2.0]),
    "id": pa.array([1, 2, 3], pa.uint32()),
    "data_field": pa.array(["0102", "", "00"]),
    "label": pa.array([0, 1, 0], pa.uint8()),
}
PARQUET_ROWS = [
    ("timestamp", pa.array([1.0, float("nan"), 2.0]), "nan is not finite"),
    ("timestamp", pa.array([1.0, None, 2.0]), "'timestamp' holds no value"),
    ("timestamp", pa.array([1.0, 0.5, 2.0]), "runs backwards by 500.000 ms"),
    ("id", pa.array([1, 1 << 29, 3], pa.uint32()), "0x20000000 is wider than 29 bits"),
    ("id", pa.array([1, -1, 3], pa.int64()), "values out of range"),
    ("id", pa.array(["1", "xyz", "3"]), "arbitration id 'xyz' is not hex"),
    ("data_field", pa.array(["00", "0G", "00"]), "bad hex byte '0G'"),
    ("data_field", pa.array(["00", "000", "00"]), "odd number"),
    ("data_field", pa.array([b"", b"123456789", b""]), "has 9 bytes"),
    ("data_field", pa.array(["00", None, "00"]), "'data_field' holds no value"),
    ("label", pa.array([0, 3, 0]), "label '3'"),
    ("label", pa.array([0, None, 0]), "'label' holds no value"),
]


@pytest.mark.parametrize(("column", "values", "message"), PARQUET_ROWS)
def test_a_bad_parquet_row_is_named_with_its_number_and_reason(
    tmp_path: Path, column: str, values: pa.Array, message: str
) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({**PARQUET, column: values}), path)
    error = refusal(path)
    assert message in error.problem
    assert error.where == f"{path}:2"
    assert "(1 bad row in all)" in error.problem


def test_a_parquet_with_other_columns_or_types_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": [1.0], "y": [2.0]}), path)
    error = refusal(path)
    assert "no column for the timestamp" in error.problem
    assert "It has x, y." in (error.hint or "")
    pq.write_table(pa.table({**PARQUET, "timestamp": pa.array([1, 2, 3])}), path)
    assert "'timestamp' has the type int64" in refusal(path).problem
    pq.write_table(pa.table({**PARQUET, "data_field": pa.array([1, 2, 3])}), path)
    assert "'data_field' has the type int64" in refusal(path).problem


def test_a_truncated_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(PARQUET), path)
    path.write_bytes(path.read_bytes()[:-100])
    assert "can't be read as Parquet" in refusal(path).problem


@pytest.fixture
def write_log(tmp_path: Path) -> Callable[[str, can.Message], Path]:
    def write(suffix: str, message: can.Message) -> Path:
        path = tmp_path / f"log.{suffix}"
        with can.Logger(path) as log:
            log.on_message_received(message)
        return path

    return write


def test_a_truncated_blf_is_refused(write_log: Callable[[str, can.Message], Path]) -> None:
    path = write_log("blf", can.Message(timestamp=1.0, arbitration_id=1, data=b"1"))
    path.write_bytes(path.read_bytes()[:-20])
    assert "where its header says" in refusal(path).problem


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_a_truncated_mf4_is_refused(
    write_log: Callable[[str, can.Message], Path], kept: float
) -> None:
    path = write_log("mf4", can.Message(timestamp=1.0, arbitration_id=1, data=b"1"))
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    assert refusal(path).where == str(path)


def test_a_damaged_mf4_is_refused_in_one_message_without_asammdf_own(
    write_log: Callable[[str, can.Message], Path],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unraisable: list[sys.UnraisableHookArgs] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    path = write_log("mf4", can.Message(timestamp=1.0, arbitration_id=1, data=b"1"))
    whole = path.read_bytes()
    for at in (whole.index(b"##FH"), whole.index(b"##DZ") + 60):
        path.write_bytes(whole[: at + 2] + b"?" + whole[at + 3 :])
        assert "can't be read as MF4" in refusal(path).problem
    gc.collect()
    assert not [each for each in unraisable if each.exc_type is not ResourceWarning]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", ["asc", "blf"])
def test_can_fd_in_a_binary_log_is_refused(
    write_log: Callable[[str, can.Message], Path], suffix: str
) -> None:
    message = can.Message(timestamp=1.0, arbitration_id=1, data=bytes(12), is_fd=True)
    error = refusal(write_log(suffix, message))
    assert "CAN FD frame" in error.problem
    assert (error.where or "").endswith(":1")


def test_the_words_that_a_label_may_be_are_those_that_are_read() -> None:
    pairs = [pair.lower().split("/") for pair in WORDS.split(", ")]
    assert all((LABEL_WORDS[no], LABEL_WORDS[yes]) == (0, 1) for no, yes in pairs)


def test_a_likely_label_column_is_offered_with_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Time,CanID,Payload,is_attack\n1.0,123,0011,0\n")
    with pytest.raises(DataError, match=r"data\.columns\.label=is_attack\?"):
        read_frames(path)


@pytest.mark.parametrize(("head", "what"), [(b"PK\x03\x04", "Excel"), (b"\x1f\x8b", "gzip")])
def test_what_is_packed_is_called_so(tmp_path: Path, head: bytes, what: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(head + bytes(60))
    with pytest.raises(DataError, match=what):
        read_frames(path)
