"""A watch says what scoring the whole capture says, window for window, and counts what it saw."""

from __future__ import annotations

import logging
import resource
import sys
import threading
from pathlib import Path

import can
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from made_captures import can_config  # noqa: E402
from watching import Detector, detector, drive, send  # noqa: E402

from tutelage.capabilities import Verdict  # noqa: E402
from tutelage.core.errors import ConfigError, RunFailedError  # noqa: E402
from tutelage.tasks.can import CANTask  # noqa: E402
from tutelage.tasks.can.frames import Frames  # noqa: E402
from tutelage.tasks.can.graphs import build_graphs  # noqa: E402
from tutelage.tasks.can.live.latency import Latencies  # noqa: E402
from tutelage.tasks.can.simulator import write_candump  # noqa: E402

pytestmark = pytest.mark.system

COLUMNS = ("window", "first_frame", "start_time", "end_time", "score", "alarm")
CHANNELS = iter(range(1000))


@pytest.fixture(scope="module")
def small() -> Detector:
    return detector(can_config())


def offline(found: Detector, log: Path) -> list[tuple[object, ...]]:
    """The rows of `tutelage predict`."""
    config = found.config.model_copy(
        update={"data": found.config.data.model_copy(update={"root": log})}
    )
    task = CANTask()
    data = task.datamodule(config, log.parent / "cache", found.learned.to_json())
    data.setup("test")
    return [row[: len(COLUMNS)] for row in task.predict(found.module, data)[0].rows]


def rows(verdicts: list[Verdict]) -> list[tuple[object, ...]]:
    return [tuple(verdict.values[name] for name in COLUMNS) for verdict in verdicts]


def log_of(frames: Frames, folder: Path) -> tuple[Path, Frames]:
    """A candump log, and the frames as it holds them."""
    from tutelage.tasks.can.ingest import read_frames

    path = folder / "drive.log"
    write_candump(frames, path)
    return path, read_frames(path)[0]


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("evaluation.k=2", "evaluation.n=3"),
        ("data.stride=30",),
        ("mode=autoencoder", "model=vgae"),
    ],
)
def test_a_log_gets_the_verdicts_that_predict_gives(
    tmp_path: Path, settings: tuple[str, ...]
) -> None:
    found = detector(can_config(*settings))
    path, frames = log_of(drive(seconds=20), tmp_path)
    with found.watch(path, every=True) as watch:
        said = list(watch.verdicts())
    expected = offline(found, path)
    assert rows(said) == expected
    alarms = [row for row in expected if row[-1]]
    assert 0 < len(alarms) < len(expected)
    with found.watch(path) as watch:
        assert rows(list(watch.verdicts())) == alarms
        counts = watch.summary()
    assert (counts["frames"], counts["windows"]) == (len(frames), len(expected))
    assert (counts["alarms"], counts["dropped"]) == (len(alarms), 0)


@pytest.mark.parametrize("batch", [1, 7])
def test_windows_judged_few_at_a_time_get_the_same_alarms(
    small: Detector, tmp_path: Path, batch: int
) -> None:
    path, _ = log_of(drive(seed=3), tmp_path)
    with small.watch(path, every=True, batch=batch) as watch:
        ours = rows(list(watch.verdicts()))
    theirs = offline(small, path)
    score = COLUMNS.index("score")
    threshold = float(small.module.threshold)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine[:score] == other[:score]
        assert mine[score] == pytest.approx(other[score], abs=2e-6)
        assert mine[-1] == other[-1] or abs(float(str(other[score])) - threshold) < 2e-6


def test_a_bus_gets_the_verdicts_of_its_frames(small: Detector, tmp_path: Path) -> None:
    path, frames = log_of(drive(seed=4), tmp_path)
    frames = frames[: len(frames) // 100 * 100]  # none comes after the last verdict, and the stop
    channel = f"verdicts {next(CHANNELS)}"
    with (
        can.Bus(interface="virtual", channel=channel, preserve_timestamps=True) as sender,
        small.watch(f"virtual:{channel}", every=True) as watch,
    ):
        sending = threading.Thread(target=send, args=(sender, frames))
        sending.start()
        said = []
        for verdict in watch.verdicts():
            said.append(verdict)
            if len(said) == len(frames) // 100:
                watch.stop()
        sending.join()
        counts = watch.summary()
    expected = offline(small, path)
    assert [row[:4] for row in rows(said)] == [row[:4] for row in expected]
    ours, theirs = (np.array([row[4] for row in each]) for each in (rows(said), expected))
    np.testing.assert_allclose(ours, theirs, atol=2e-6)
    assert (counts["frames"], counts["dropped"], counts["malformed"]) == (len(frames), 0, 0)
    assert counts["latency_p50_us"] <= counts["latency_p99_us"]  # type: ignore[operator]


def test_a_bus_that_goes_away_leaves_its_counts(small: Detector) -> None:
    channel = f"going {next(CHANNELS)}"
    with (
        can.Bus(interface="virtual", channel=channel) as sender,
        small.watch(f"virtual:{channel}", every=True) as watch,
    ):
        send(sender, drive()[:250])
        said = []
        with pytest.raises(RunFailedError, match="went away"):
            for verdict in watch.verdicts():
                said.append(verdict)
                if len(said) == 2:
                    watch._source._bus.shutdown()  # type: ignore[attr-defined]
        counts = watch.summary()
    assert counts["frames"] == 250
    assert counts["windows"] == len(said) == 2


def test_an_alarm_names_the_ids_that_are_farthest_from_their_baselines(
    small: Detector, tmp_path: Path
) -> None:
    path, frames = log_of(drive(seconds=20), tmp_path)
    attacked = frames.label == 1
    assert not attacked.any()  # a candump log has no labels
    flooded = drive(seconds=20)
    culprit = int(np.unique(flooded.arbitration_id[flooded.label == 1])[0])
    graphs = build_graphs(flooded, small.learned.profile)
    hit = np.flatnonzero(graphs.attack_frames > 20)
    with small.watch(path, every=True) as watch:
        watch._judge._scorer.threshold = np.float32(-1)  # type: ignore[misc]
        said = list(watch.verdicts())
    for window in hit.tolist():
        first = said[window].values["ids"][0]  # type: ignore[index]
        assert first["id"] == f"0x{culprit:03X}"
        assert not first["known"] and "unknown id" in said[window].text


def test_malformed_lines_are_told_at_once_and_then_ever_more_rarely(
    small: Detector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, frames = log_of(drive(seed=6, seconds=12), tmp_path)
    lines = path.read_text().splitlines()
    for at in range(50, len(lines), 50):
        lines[at] = "broken"
    path.write_text("\n".join(lines))
    with caplog.at_level(logging.WARNING), small.watch(path, batch=1) as watch:
        list(watch.verdicts())
        counts = watch.summary()
    broken = len(range(50, len(lines), 50))
    assert counts["malformed"] == broken
    assert counts["frames"] == len(frames) - broken
    assert 1 <= len(caplog.messages) <= 3
    assert "first number 51" in caplog.messages[0]


def test_memory_does_not_grow_with_the_log(small: Detector, tmp_path: Path) -> None:
    path, frames = log_of(drive(seconds=30), tmp_path)
    text = path.read_text()
    long = tmp_path / "long.log"
    with long.open("w") as file:
        for _ in range(12):
            file.write(text)

    def watched(log: Path) -> tuple[int, int]:
        with small.watch(log) as watch:
            list(watch.verdicts())
            assert watch.summary()["frames"]
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, watch._judge.frames

    before, few = watched(path)
    after, many = watched(long)
    assert many == 12 * few
    assert after - before < 60_000  # KiB; the text alone would take 35,000; its windows 150,000


def test_a_stop_ends_it_after_the_windows_that_are_full(small: Detector, tmp_path: Path) -> None:
    path, _ = log_of(drive(), tmp_path)
    with small.watch(path, every=True, batch=1) as watch:
        said = []
        for verdict in watch.verdicts():
            said.append(verdict)
            if len(said) == 3:
                watch.stop()
    assert len(said) == watch.summary()["windows"] == 3


def test_settings_that_a_stream_can_not_serve_are_refused(tmp_path: Path) -> None:
    path, _ = log_of(drive(), tmp_path)
    with pytest.raises(ConfigError, match="0 windows"):
        detector(can_config()).watch(path, batch=0)


def test_percentiles_of_durations_are_right_to_a_hundredth() -> None:
    random = np.random.default_rng(0)
    durations = np.exp(random.normal(-8, 1, 5000))
    counted = Latencies()
    assert counted.percentile(50) is None
    for seconds in durations.tolist():
        counted.add(seconds)
    for p in (50, 99):
        assert counted.percentile(p) == pytest.approx(np.percentile(durations, p), rel=0.02)
