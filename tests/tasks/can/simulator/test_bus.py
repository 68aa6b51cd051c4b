"""The bus carries one frame at a time and lets the lowest waiting identifier go first."""

from __future__ import annotations

import numpy as np
import pytest

from tutelage.tasks.can.simulator import VEHICLES, simulate_capture
from tutelage.tasks.can.simulator.bus import BIT_NS, Traffic, frame_bits, transmit


def _random_traffic(seed: int, n: int, span_ns: int) -> Traffic:
    random = np.random.default_rng(seed)
    return Traffic(
        release=random.integers(0, span_ns, n),
        arbitration_id=random.permutation(0x7FF)[:n].astype(np.uint32),
        dlc=np.full(n, 8, np.uint8),
        payload=random.integers(0, 256, (n, 8), dtype=np.uint8),
        label=np.zeros(n, np.int8),
    )


def _naive(traffic: Traffic) -> list[int]:
    """Return identifiers in the order of sending: wait, pick the lowest that is ready, send."""
    lasts = (BIT_NS * frame_bits(traffic.arbitration_id, traffic.dlc, traffic.payload)).tolist()
    rows = list(zip(traffic.release.tolist(), traffic.arbitration_id.tolist(), lasts, strict=True))
    now, sent = 0, []
    while rows:
        now = max(now, min(r[0] for r in rows))
        chosen = min((r for r in rows if r[0] <= now), key=lambda r: r[1])
        rows.remove(chosen)
        sent.append(chosen[1])
        now += chosen[2]
    return sent


@pytest.mark.parametrize("load", [0.3, 0.9, 1.5])
@pytest.mark.parametrize("seed", range(3))
def test_arbitration_equals_a_bus_that_looks_at_every_waiting_frame(load: float, seed: int) -> None:
    traffic = _random_traffic(seed, 300, int(300 * 250_000 / load))
    assert transmit(traffic).arbitration_id.tolist() == _naive(traffic)


@pytest.mark.parametrize("attack", [None, "dos"])
@pytest.mark.parametrize("vehicle", VEHICLES)
def test_frames_never_overlap_and_the_bus_is_never_overloaded(
    vehicle: str, attack: str | None
) -> None:
    capture = simulate_capture(vehicle, seed=1, seconds=8.0, attack=attack)
    frames = capture.frames
    lasts = frame_bits(frames.arbitration_id, frames.dlc, frames.payload) * BIT_NS / 1e9
    begin = frames.timestamp - lasts
    assert (begin[1:] - frames.timestamp[:-1]).min() > -1.5e-6
    low, high = capture.intervals[0] if capture.intervals else (0.0, 8.0)
    inside = (frames.timestamp >= low) & (frames.timestamp <= high)
    assert 0.3 < lasts[inside].sum() / (high - low) < 1.0


def test_frame_length_follows_the_standard_and_stays_below_its_worst_case() -> None:
    zeros = np.zeros((1, 8), np.uint8)
    one, extended = np.array([1], np.uint32), np.array([0x800], np.uint32)
    assert frame_bits(one, np.array([0], np.uint8), zeros).tolist() == [47 + 2]
    assert frame_bits(one, np.array([8], np.uint8), zeros).tolist() == [47 + 64 + 2 + 15]
    assert frame_bits(extended, np.array([1], np.uint8), zeros).tolist() == [67 + 8 + 2 + 1]
    toggling = np.full((1, 8), 0x55, np.uint8)
    assert frame_bits(one, np.array([8], np.uint8), toggling).tolist() == [47 + 64 + 2]
    traffic = _random_traffic(0, 500, 10**9)
    bits = frame_bits(traffic.arbitration_id, traffic.dlc, traffic.payload)
    assert bits.max() <= 47 + 64 + (34 + 64 - 1) // 4
