"""Any frames, written as text and read again, are the same frames."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.core.errors import DataError
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.ingest import read_frames
from tutelage.tasks.can.ingest.fields import decimal, padded

Row = tuple[int, int, bytes, int]
ROWS = st.lists(
    st.tuples(
        st.integers(0, 10**15),
        st.integers(0, 0x1FFFFFFF) | st.integers(0, 0x7FF),
        st.binary(max_size=8),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=40,
).map(lambda rows: sorted(rows, key=lambda row: row[0]))


def read_back(text: str) -> Frames:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "capture"
        path.write_text(text)
        return read_frames(path)[0]


def check(frames: Frames, rows: list[Row], labelled: bool) -> None:
    assert frames.timestamp.tolist() == [float(f"{t // 10**6}.{t % 10**6:06d}") for t, *_ in rows]
    assert frames.arbitration_id.tolist() == [i for _, i, _, _ in rows]
    assert frames.dlc.tolist() == [len(p) for _, _, p, _ in rows]
    assert frames.payload.tobytes() == b"".join(p.ljust(8, b"\0") for _, _, p, _ in rows)
    assert frames.label.tolist() == [y if labelled else -1 for *_, y in rows]


def clock(t: int) -> str:
    return f"{t // 10**6}.{t % 10**6:06d}"


@settings(deadline=None, max_examples=60)
@given(ROWS)
def test_csv_round_trip(rows: list[Row]) -> None:
    lines = [f"{clock(t)},{i:X},{p.hex().upper()},{y}\n" for t, i, p, y in rows]
    check(read_back("timestamp,arbitration_id,data_field,attack\n" + "".join(lines)), rows, True)


@settings(deadline=None, max_examples=60)
@given(ROWS)
def test_candump_round_trip(rows: list[Row]) -> None:
    lines = [f"({clock(t)}) can0 {i:0{3 if i < 0x800 else 8}X}#{p.hex()}\n" for t, i, p, _ in rows]
    check(read_back("".join(lines)), rows, False)


@settings(deadline=None, max_examples=60)
@given(ROWS)
def test_hcrl_round_trip(rows: list[Row]) -> None:
    lines = [
        ",".join([clock(t), f"{i:04x}", str(len(p)), *(f"{b:02x}" for b in p), "RT"[y]]) + "\n"
        for t, i, p, y in rows
    ]
    check(read_back("".join(lines)), rows, True)


@settings(deadline=None, max_examples=60)
@given(ROWS)
def test_otids_round_trip(rows: list[Row]) -> None:
    lines = [
        f"Timestamp: {clock(t):>15}        ID: {i:04x}    000    DLC: {len(p)}    {p.hex(' ')}\n"
        for t, i, p, _ in rows
    ]
    check(read_back("".join(lines)), rows, False)


SAMPLES = (
    b"timestamp,arbitration_id,data_field,attack\n1.5,2A0,0011,0\n1.6,2A0,,1\n",
    b"1.5,0316,2,05,21,R\n1.6,0316,0,T\n",
    b"Timestamp: 1.5    ID: 0350    000    DLC: 1    05\nTimestamp: 1.6  ID: 1  000  DLC: 0\n",
    b"(1.5) can0 044#2A36\n(1.6) can0 044#R\n(1.7) can0 044#\n",
)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(SAMPLES), st.data())
def test_a_damaged_text_gives_frames_or_one_clear_refusal(
    sample: bytes, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(sample)))
    end = data.draw(st.integers(start, min(start + 12, len(sample))))
    likely = st.sampled_from([b",", b" ", b"#", b"\n", b"\0", b"("])
    inserted = data.draw(st.binary(max_size=3) | likely)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "capture"
        path.write_bytes(sample[:start] + inserted + sample[end:])
        try:
            frames, report = read_frames(path)
        except DataError as error:
            assert error.problem
            assert (error.where or "").startswith(str(path))
        else:
            assert len(frames) == report.n_frames > 0
            assert np.isfinite(frames.timestamp).all()
            assert (frames.dlc <= 8).all()
            assert not frames.payload[np.arange(8) >= frames.dlc[:, None]].any()


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e12) | st.floats(allow_nan=False), min_size=1))
def test_decimals_round_as_float_does(values: list[float]) -> None:
    texts = [repr(v).encode() for v in values]
    buffer = padded(b",".join(texts) + b",")
    ends = np.flatnonzero(buffer == ord(","))
    lengths = np.array([len(t) for t in texts])
    parsed, bad = decimal(buffer, ends - lengths, ends)
    assert not bad.any()
    assert parsed.tolist() == values
