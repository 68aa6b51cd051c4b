"""Logs, standard input and buses as sources: the same frames, in order, and what was wrong."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import can
import numpy as np
import pytest

from tutelage.core.errors import DataError, RunFailedError, UnknownNameError
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.ingest import read_frames
from tutelage.tasks.can.live import readers
from tutelage.tasks.can.live.readers import BusSource, StdinSource
from tutelage.tasks.can.live.sources import LogSource, Source, open_source
from tutelage.tasks.can.simulator import simulate_capture, write_candump, write_csv

GOOD = "(1.000000) can0 123#0011\n"


def all_of(source: Source, most: int = 700) -> Frames:
    parts = []
    while (frames := source.take(most, most)) is not None:
        assert len(frames) <= most
        parts.append(frames)
    source.close()
    return Frames.concatenate(parts)


def assert_same(ours: Frames, theirs: Frames) -> None:
    for name in ("timestamp", "arbitration_id", "dlc", "payload"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def piped(text: str) -> StdinSource:
    """Standard input that others fill with a text and close."""
    out, into = os.pipe()

    def fill() -> None:
        with os.fdopen(into, "w") as file:
            file.write(text)

    threading.Thread(target=fill, daemon=True).start()
    return StdinSource(out)


def message(number: int, **more: object) -> can.Message:
    given = {"arbitration_id": 0x100 + number % 7, "data": number.to_bytes(4), "timestamp": 1.0}
    return can.Message(is_extended_id=False, **(given | more))  # type: ignore[arg-type]


def taken(source: Source, count: int) -> Frames:
    parts, found = [], 0
    while found < count:
        frames = source.take(count - found, count - found)
        assert frames is not None
        parts.append(frames)
        found += len(frames)
    return Frames.concatenate(parts)


def test_logs_give_the_frames_that_reading_them_whole_gives(tmp_path: Path) -> None:
    frames = simulate_capture("hatchback", seed=0, seconds=3, attack="dos").frames
    write_candump(frames, tmp_path / "drive.log")
    write_csv(frames, tmp_path / "drive.csv")
    for path in tmp_path.iterdir():
        assert_same(all_of(open_source(str(path))), read_frames(path)[0])


@pytest.mark.parametrize("suffix", [".asc", ".blf", ".trc", ".mf4"])
def test_logs_of_tools_are_read_too(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"drive{suffix}"
    with can.Logger(path) as logger:
        for i in range(50):
            logger.on_message_received(message(i, timestamp=1.5e9 + i / 100, channel=0))
    assert_same(all_of(open_source(str(path))), read_frames(path)[0])


def test_real_parquet_is_read_block_by_block(shared_data: Path) -> None:
    path = next((shared_data / "can/hcrl_sa").glob("test_01*fuzzing*"))
    assert_same(all_of(open_source(str(path)), most=30_000), read_frames(path)[0])


def test_malformed_lines_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "drive.log"
    path.write_text(GOOD * 3 + "(1.0) can0 12G#00\n" + GOOD + "(2.0\n" + "(3.0) can0 5#R\n" + GOOD)
    source = LogSource(path)
    assert len(all_of(source)) == 5
    bad = source.complaints["malformed"]
    assert (bad.count, bad.number) == (2, 4)
    assert "'12G' is not hex" in bad.message
    assert source.screen.skipped == {"remote": 1}


def test_large_steps_back_in_time_are_counted_and_keep_their_place(tmp_path: Path) -> None:
    path = tmp_path / "drive.log"
    path.write_text("".join(f"({t:.6f}) can0 1#00\n" for t in (5.0, 5.1, 2.0, 2.1, 2.099)))
    source = LogSource(path)
    np.testing.assert_array_equal(all_of(source).timestamp, [5.0, 5.1, 2.0, 2.1, 2.099])
    assert source.complaints["backward"].count == 1
    assert source.screen.backward == 1


def test_a_damaged_log_is_refused_where_the_damage_begins(tmp_path: Path) -> None:
    path = tmp_path / "drive.blf"
    with can.BLFWriter(path) as logger:
        for i in range(50):
            logger.on_message_received(message(i, timestamp=1.5e9 + i))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="truncated"):
        all_of(open_source(str(path)))


def test_standard_input_gives_whole_lines_however_they_come(tmp_path: Path) -> None:
    frames = simulate_capture("hatchback", seed=2, seconds=3, attack=None).frames
    write_candump(frames, tmp_path / "drive.log")
    text = (tmp_path / "drive.log").read_text()
    assert_same(all_of(piped(text[:-1]), most=33), read_frames(tmp_path / "drive.log")[0])


def test_lines_wait_until_the_rest_of_them_has_come() -> None:
    out, into = os.pipe()
    source = StdinSource(out)
    os.write(into, GOOD.encode() + b"(2.0) can0 45")
    assert taken(source, 1).arbitration_id.tolist() == [0x123]
    os.write(into, b"6#\nnonsense\n")
    os.close(into)
    assert all_of(source).arbitration_id.tolist() == [0x456]
    assert (source.screen.bad.count, source.screen.bad.number) == (1, 3)


def test_whoever_writes_faster_than_is_read_is_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "QUEUED", 2000)
    monkeypatch.setattr(readers, "BLOCK_BYTES", 1000)
    lines = [f"({i}.0) can0 {i % 2048:03X}#00\n" for i in range(20_000)]
    source = piped("".join(lines))
    first = taken(source, 1)
    assert source._queued <= 2100
    rest = all_of(source)
    times = np.concatenate([first.timestamp, rest.timestamp])
    np.testing.assert_array_equal(times, np.arange(20_000.0))
    assert source.dropped == 0


def test_a_bus_gives_its_frames_in_order_and_says_what_it_leaves_out() -> None:
    source = BusSource("virtual", "in order")
    with can.Bus(interface="virtual", channel="in order", preserve_timestamps=True) as sender:
        for i in range(300):
            sender.send(message(i, timestamp=float(i)))
        sender.send(message(1, is_remote_frame=True, dlc=0, data=None))
        sender.send(message(2, is_fd=True, data=bytes(12)))
        sender.send(message(3, timestamp=400.0))
    frames = taken(source, 301)
    source.close()
    assert frames.timestamp.tolist() == [*map(float, range(300)), 400.0]
    assert frames.payload[299, :4].tolist() == list((299).to_bytes(4))
    assert source.screen.skipped == {"remote": 1}
    assert "CAN FD" in source.complaints["malformed"].message


def test_a_bus_that_brings_too_much_drops_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "QUEUED", 10)
    source = BusSource("virtual", "too much")
    with can.Bus(interface="virtual", channel="too much", preserve_timestamps=True) as sender:
        for i in range(500):
            sender.send(message(i, timestamp=float(i)))
        while source._bus.queue.qsize():  # type: ignore[attr-defined]
            pass
        found = taken(source, 10)
        sender.send(message(0, timestamp=1000.0))
        last = taken(source, 1)
    source.close()
    assert found.timestamp.tolist() == list(range(10))
    assert last.timestamp.tolist() == [1000.0]
    assert source.dropped == 490


def test_a_bus_that_goes_away_fails_after_what_it_brought() -> None:
    source = BusSource("virtual", "gone")
    with can.Bus(interface="virtual", channel="gone") as sender:
        for i in range(5):
            sender.send(message(i))
        assert len(taken(source, 5)) == 5
    source._bus.shutdown()
    with pytest.raises(RunFailedError, match="virtual:gone: the source went away"):
        all_of(source)


def test_what_is_no_source_is_refused_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="socketcan"):
        open_source("sockercan:can0")
    with pytest.raises(DataError, match="no such file"):
        open_source(str(tmp_path / "absent.log"))
    with pytest.raises(DataError, match="the bus can't be opened"):
        open_source("socketcan:nowhere0")


def test_a_file_whose_name_looks_like_a_bus_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("virtual:log").write_text(GOOD)
    assert len(all_of(open_source("virtual:log"))) == 1
