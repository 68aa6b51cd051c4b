"""A calibrated watch says what the calibrated scores of the whole capture say, to the last bit."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import can
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from made_captures import can_config, capture  # noqa: E402
from watching import Detector, detector, drive, send  # noqa: E402

from tutelage.capabilities import Verdict  # noqa: E402
from tutelage.core.errors import DataError  # noqa: E402
from tutelage.tasks.can import CANTask  # noqa: E402
from tutelage.tasks.can.alarms import k_of_n  # noqa: E402
from tutelage.tasks.can.calibration import MONITORS, CalibratedTest, log_odds  # noqa: E402
from tutelage.tasks.can.datamodule import TestCapture as Whole  # noqa: E402
from tutelage.tasks.can.evidence import Monitors, MonitorStream  # noqa: E402
from tutelage.tasks.can.evidence import stream as evidence_stream  # noqa: E402
from tutelage.tasks.can.frames import Frames  # noqa: E402
from tutelage.tasks.can.graph_store import GraphStore  # noqa: E402
from tutelage.tasks.can.graphs import build_graphs  # noqa: E402
from tutelage.tasks.can.ingest import read_frames  # noqa: E402
from tutelage.tasks.can.live.judges import Judged  # noqa: E402
from tutelage.tasks.can.live.scoring import Scorer, TorchScorer  # noqa: E402
from tutelage.tasks.can.live.watch import CANWatch  # noqa: E402
from tutelage.tasks.can.onnx_scorer import OnnxScorer  # noqa: E402
from tutelage.tasks.can.simulator import (  # noqa: E402
    ATTACKS,
    simulate_capture,
    write_candump,
    write_csv,
)
from tutelage.tasks.can.verdicts import MODEL  # noqa: E402

pytestmark = pytest.mark.system

COLUMNS = ("window", "first_frame", "start_time", "end_time", "score", "alarm", "reason")
PREFIX = ("evaluation.calibration=prefix", "evaluation.calibration_seconds=4")
QUIET = (None, "masquerade")
"""What need not alarm in so few seconds."""
CHANNELS = iter(range(1000))
Rows = list[tuple[object, ...]]


@pytest.fixture(scope="module")
def calibrated() -> Detector:
    return detector(can_config(*PREFIX, "evaluation.k=2", "evaluation.n=3"))


@pytest.fixture(scope="module")
def onnx(calibrated: Detector) -> OnnxScorer:
    return OnnxScorer.of(calibrated.module)


def log_of(frames: Frames, folder: Path) -> Path:
    path = folder / "drive.log"
    write_candump(frames, path)
    return path


def rows(verdicts: list[Verdict]) -> Rows:
    return [tuple(verdict.values[name] for name in COLUMNS) for verdict in verdicts]


def predicted(found: Detector, log: Path, *overrides: str) -> Rows:
    """The rows of `tutelage predict`."""
    config = can_config(f"data.root={log}", *overrides) if overrides else found.config
    config = config.model_copy(update={"data": config.data.model_copy(update={"root": log})})
    task = CANTask()
    data = task.datamodule(config, log.parent / "cache", found.learned.to_json())
    data.setup("test")
    return list(task.predict(found.module, data)[0].rows)


def scored(found: Detector, log: Path, scorer: Scorer) -> Rows:
    """What `CalibratedTest` makes of a whole capture by the scores of another engine."""
    frames, how, data = read_frames(log)[0], found.config.evaluation, found.config.data
    store = GraphStore.from_graphs(
        [build_graphs(frames, found.learned.profile, data.window, data.stride)]
    )
    whole = Whole(capture("test", "drive", frames), store, torch.arange(len(store)))
    test = CalibratedTest.of(whole, found.learned, how)
    graphs = build_graphs(frames, test.baseline.profile, data.window, data.stride)
    graphs = replace(graphs, id_index=test.test.store.id_index.numpy())
    score = log_odds(scorer.scores(graphs))
    windows = test.test.windows.numpy()
    threshold = float(log_odds(np.asarray(scorer.threshold)))
    said = test.judge(
        score[windows],
        score[: len(test.prefix.windows)],
        threshold,
        how.false_alarms_per_hour,
    )
    alarm = k_of_n(said[MODEL].alarm, windows, how.k, how.n)
    reasons = test.reasons(said[MONITORS].alarm)
    return [
        (
            int(window),
            int(graphs.first_row[window]),
            float(graphs.start_time[window]),
            float(graphs.end_time[window]),
            float(one),
            int(two),
            reason,
        )
        for window, one, two, reason in zip(windows, said[MODEL].score, alarm, reasons, strict=True)
    ]


@pytest.mark.parametrize("attack", [None, *ATTACKS])
def test_a_log_gets_the_scores_alarms_and_reasons_of_predict(
    calibrated: Detector, onnx: OnnxScorer, tmp_path: Path, attack: str | None
) -> None:
    path = log_of(drive(seed=5, seconds=12, attack=attack), tmp_path)
    with calibrated.watch(path, every=True) as watch:
        said = list(watch.verdicts())
        counts = watch.summary()
    expected = predicted(calibrated, path)
    assert rows(said) == expected
    assert counts["windows"] == len(expected)
    alarms = sum(int(str(row[5])) for row in expected)
    assert counts["alarms"] == alarms
    assert alarms < len(expected) and (alarms > 0 or attack in QUIET)
    with calibrated.watch(path, every=True) as watch:
        watch._judge._scorer = onnx  # type: ignore[attr-defined]
        assert rows(list(watch.verdicts())) == scored(calibrated, path, onnx)


def judged(watch: CANWatch, frames: Frames, cuts: list[int], hurry: bool) -> list[list[object]]:
    """What the judge of a watch says of frames in pieces, window by window."""
    said: list[list[object]] = []
    places = [0, *sorted(min(cut, len(frames)) for cut in cuts), len(frames)]

    def tell(found: Iterator[Judged]) -> None:
        for piece in found:
            reasons = [seen.reason if seen else "" for seen in piece.sightings]
            columns = (piece.graphs.first_row, piece.score, piece.over)
            said.extend(map(list, zip(*(c.tolist() for c in columns), reasons, strict=True)))

    for start, stop in pairwise(places):
        tell(watch._judge.push(frames[start:stop], hurry))
    tell(watch._judge.finish(ended=True))
    return said


@settings(max_examples=4, deadline=None)
@given(cuts=st.lists(st.integers(0, 24_000), max_size=20), hurry=st.booleans())
def test_however_the_frames_come_the_verdicts_are_the_same(
    calibrated: Detector, onnx: OnnxScorer, cuts: list[int], hurry: bool
) -> None:
    frames = drive(seed=6, seconds=12, attack="fuzzing")
    with TemporaryDirectory() as folder:
        path = log_of(frames, Path(folder))
        frames = read_frames(path)[0]
        for scorer in (onnx,) if hurry else (onnx, TorchScorer(calibrated.module)):
            found = []
            for pieces in ([], cuts):
                with calibrated.watch(path) as watch:
                    watch._judge._scorer = scorer  # type: ignore[attr-defined]
                    found.append(judged(watch, frames, pieces, hurry and bool(pieces)))
            assert found[0] == found[1] and len(found[0]) > 50


@pytest.mark.parametrize(
    "overrides",
    [
        ("mode=autoencoder", "model=vgae"),
        ("data.stride=30", "evaluation.k=3", "evaluation.n=10"),
        ("evaluation.calibration=drives",),
    ],
)
def test_every_kind_of_calibrated_run_is_watched_as_predicted(
    tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    found = detector(can_config(*PREFIX, *overrides))
    path = log_of(drive(seed=7, seconds=12, attack="rpm_spoofing"), tmp_path)
    with found.watch(path, every=True) as watch:
        said = rows(list(watch.verdicts()))
        where = watch.summary()["calibrated_on"]
    assert said == predicted(found, path)
    assert where == ("drives" if "evaluation.calibration=drives" in overrides else "beginning")
    assert (said[0][0] == 0) == (where == "drives")


def test_named_drives_of_the_vehicle_calibrate_and_its_beginning_is_judged(
    tmp_path: Path, calibrated: Detector
) -> None:
    folder = tmp_path / "drives"
    folder.mkdir()
    for seed, vehicle in ((11, "pickup"), (12, "hatchback"), (13, "pickup")):
        usual = simulate_capture(vehicle, seed=seed, seconds=8, attack=None).frames
        write_csv(usual, folder / f"{seed}.csv")
    path = tmp_path / "drive.log"
    write_candump(simulate_capture("pickup", seed=14, seconds=10, attack="dos").frames, path)
    asked = (*PREFIX, "evaluation.calibration=drives", f"evaluation.drives={folder}")
    found = replace(calibrated, config=can_config(*asked))
    with found.watch(path, every=True) as watch:
        said = rows(list(watch.verdicts()))
        assert watch.summary()["calibrated_on"] == "drives"
    assert said == predicted(found, path)
    assert said[0][0] == 0 and 0 < sum(int(str(row[5])) for row in said) < len(said)


def test_a_bus_gets_the_calibrated_verdicts_of_its_frames(
    calibrated: Detector, onnx: OnnxScorer, tmp_path: Path
) -> None:
    path = log_of(drive(seed=8, seconds=10, attack="dos"), tmp_path)
    frames = read_frames(path)[0]
    channel = f"calibrated {next(CHANNELS)}"
    with (
        can.Bus(interface="virtual", channel=channel, preserve_timestamps=True) as sender,
        calibrated.watch(f"virtual:{channel}", every=True) as watch,
    ):
        watch._judge._scorer = onnx  # type: ignore[attr-defined]
        sending = threading.Thread(target=send, args=(sender, frames))
        sending.start()
        said = []
        for verdict in watch.verdicts():
            said.append(verdict)
            if watch.summary()["frames"] == len(frames):
                watch.stop()
        sending.join()
        counts = watch.summary()
    assert rows(said) == scored(calibrated, path, onnx)
    assert (counts["frames"], counts["dropped"]) == (len(frames), 0)


def test_real_captures_get_the_verdicts_of_predict(
    calibrated: Detector, onnx: OnnxScorer, tmp_path: Path, shared_data: Path
) -> None:
    for name in (
        "test_01_known_vehicle_known_attack__fuzzing-kia",
        "test_02_unknown_vehicle_known_attack__DoS-spark",
        "test_03_known_vehicle_unknown_attack__malfunction-kia",
    ):
        frames = read_frames(shared_data / "can/hcrl_sa" / f"{name}.parquet")[0]
        attacked = int((frames.label == 1).argmax())
        start = max(0, attacked - 15_000)
        path = log_of(frames[start : start + 30_000], tmp_path)
        with calibrated.watch(path, every=True) as watch:
            said = rows(list(watch.verdicts()))
        assert said == predicted(calibrated, path)
        assert any(row[-1] for row in said), name
        with calibrated.watch(path, every=True) as watch:
            watch._judge._scorer = onnx  # type: ignore[attr-defined]
            assert rows(list(watch.verdicts())) == scored(calibrated, path, onnx)


def test_an_alarm_says_what_the_monitors_saw_and_how_far_it_is_from_usual(
    calibrated: Detector, tmp_path: Path
) -> None:
    frames = drive(seed=5, seconds=12, attack="rpm_spoofing")
    culprits = {f"0x{id:03X}" for id in np.unique(frames.arbitration_id[frames.label == 1])}
    path = log_of(frames, tmp_path)
    with calibrated.watch(path) as watch:
        alarms = [verdict for verdict in watch.verdicts() if verdict.values.get("evidence")]
    assert len(alarms) > 3
    for verdict in alarms:
        evidence = verdict.values["evidence"]
        assert isinstance(evidence, dict)
        assert evidence["id"] in culprits
        assert evidence["feature"] in ("extra_frame", "counter", "checksum", "redundancy")
        assert evidence["measured"] != evidence["expected"]
        assert int(verdict.values["first_frame"]) <= evidence["frame"]  # type: ignore[call-overload]
        assert f"ALARM  {verdict.values['reason']}; by chance once in 10^" in verdict.text
        json.dumps(dict(verdict.values))


def test_what_is_not_judged_is_said_once_and_counted(
    calibrated: Detector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = log_of(drive(seed=9, seconds=12), tmp_path)
    with caplog.at_level(logging.WARNING), calibrated.watch(path, every=True) as watch:
        first = next(watch.verdicts())
        counts = watch.summary()
    assert sum("taken for normal and not judged" in said for said in caplog.messages) == 1
    held = counts["calibration_frames"]
    assert first.values["first_frame"] >= held > 1000  # type: ignore[operator]
    frames = read_frames(path)[0]
    assert frames.timestamp[held] - frames.timestamp[0] > 4.0  # type: ignore[index]


def test_a_stream_that_ends_within_its_beginning_is_refused(
    calibrated: Detector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = log_of(drive(seed=9, seconds=3), tmp_path)
    with (
        calibrated.watch(path) as watch,
        pytest.raises(DataError, match="no window is left after the first 4 s"),
    ):
        list(watch.verdicts())
    with calibrated.watch(path) as watch:
        watch.stop()
        assert list(watch.verdicts()) == []
    assert "stopped before anything was judged" in caplog.text


def test_what_a_calibrated_watch_keeps_does_not_grow_with_the_stream(
    calibrated: Detector, tmp_path: Path
) -> None:
    usual = drive(seed=9, seconds=10, attack=None)
    with calibrated.watch(log_of(usual, tmp_path)) as watch:
        judge, kept = watch._judge, []
        for turn in range(6):
            shift = float(turn) * 10.0
            later = replace(usual, timestamp=usual.timestamp + shift)
            for start in range(0, len(later), 700):
                list(judge.push(later[start : start + 700], hurry=False))
            after = judge._after  # type: ignore[attr-defined]
            evidence = after._evidence
            held = sum(len(graphs) for graphs, _ in after._held) + len(judge.waiting)
            kept.append((held, evidence._stream.kept, sum(map(len, evidence._said))))
    assert np.max(kept[3:], axis=0).tolist() <= (1.3 * np.max(kept[:3], axis=0)).tolist()


def test_a_clock_that_stands_still_fills_no_memory(
    calibrated: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_stream, "MOST", 5000)
    usual = drive(seed=9, seconds=12, attack=None)
    stopped = replace(usual, timestamp=np.minimum(usual.timestamp, usual.timestamp[0] + 6.0))
    monitors = Monitors.calibrated(usual[:8000])
    stream = MonitorStream(monitors)
    for start in range(0, len(stopped), 1000):
        stream.push(stopped[start : start + 1000])
    assert 5000 <= stream.kept < 6000
