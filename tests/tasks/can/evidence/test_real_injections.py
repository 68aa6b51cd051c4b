"""Frames injected into real buses are found from the capture's own first ten seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_cycles import injected

from tutelage.tasks.can.evidence import TimingModel, alarm_level
from tutelage.tasks.can.frames import ATTACK, Frames
from tutelage.tasks.can.ingest import read_frames
from tutelage.tasks.can.rule_windows import capture_prefix, window_max

HARD = [
    "set_01/train_02_with_attacks__targeted_payload_fuzzing-2",
    "set_04/test_02_unknown_vehicle_known_attack__rpm-accessory-2",
    "set_04/train_02_with_attacks__valid_systematic-3",
]


def scores(frames: Frames) -> tuple[float, float]:
    """F1 of windows after the beginning, and false alarms an hour of benign time."""
    prefix = capture_prefix(frames)
    evidence = TimingModel.calibrated(prefix).evidence(frames)
    seconds = float(np.ptp(frames.timestamp))
    level = alarm_level(len(frames) / seconds, 10 / 4)
    truth_of = (frames.label == ATTACK).astype(np.float32)
    windows = [
        window_max(values, 100, 100) > limit
        for values, limit in ((evidence.score, level), (truth_of, 0))
    ]
    alarm, truth = (window[-(-len(prefix) // 100) :] for window in windows)
    hits, false = int((alarm & truth).sum()), int((alarm & ~truth).sum())
    hours = float((~truth).mean()) * (seconds - 10) / 3600
    return 2 * hits / int(alarm.sum() + truth.sum()), false / hours


def jittered(frames: Frames, seconds: float) -> Frames:
    """The same frames with normal jitter on every timestamp, in their new order."""
    time = frames.timestamp + np.random.default_rng(0).normal(0, seconds, len(frames))
    order = np.argsort(time, kind="stable")
    rest = (getattr(frames, name)[order] for name in Frames.__slots__[1:])
    return Frames(time[order], *rest)


def real(folder: Path, pattern: str) -> list[Path]:
    found = sorted(folder.glob(pattern))
    if not found:
        pytest.skip(f"no {pattern} among the real data")
    return found


def test_every_injection_on_other_vehicles_and_of_other_attacks_is_found(
    shared_data: Path,
) -> None:
    for path in real(shared_data / "can" / "hcrl_sa", "test_*.parquet"):
        frames, _ = read_frames(path)
        assert injected(frames).size
        f1, false_alarms = scores(frames)
        assert f1 >= 0.995 and false_alarms < 60, path.name


def test_jitter_of_a_millisecond_hides_few_of_the_hard_injections(shared_data: Path) -> None:
    root = shared_data / "can" / "can_train_and_test"
    found = [
        scores(jittered(read_frames(path)[0], 0.001))
        for name in HARD
        for path in real(root, f"{name}.parquet")
    ]
    assert np.mean([f1 for f1, _ in found]) >= 0.93
    assert max(false_alarms for _, false_alarms in found) < 60
