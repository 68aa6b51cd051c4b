"""Attacks: what is injected, replaced or silenced in which intervals, and which frames it marks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.frames import ATTACK
from tutelage.tasks.can.simulator.bus import Traffic
from tutelage.tasks.can.simulator.packing import encode
from tutelage.tasks.can.simulator.seeding import Random
from tutelage.tasks.can.simulator.signals import DISCRETE, Drive
from tutelage.tasks.can.simulator.vehicles import Transmission

Interval = tuple[float, float]
Seconds = NDArray[np.float64]

_DOS_GAP = 0.65e-3
_FUZZ_GAP = 2e-3
_PAYLOAD_GAP = 0.1
_TARGET_PERIOD = 0.025
_REPLAYED_IDS = 6


@dataclass(frozen=True, slots=True)
class Scene:
    """What an attacker finds.

    Args:
        sent: The benign transmissions by identifier.
        drive: The physical truth.
        intervals: Seconds between which the attacker acts, ascending.
        random: The attacker's chance.
    """

    sent: dict[int, Transmission]
    drive: Drive
    intervals: tuple[Interval, ...]
    random: Random

    def benign(self) -> list[Traffic]:
        """Return all genuine frames."""
        return [t.traffic() for t in self.sent.values()]

    def within(self, times: Seconds) -> NDArray[np.bool_]:
        """Return which ``times`` fall into an interval."""
        edges = np.array(self.intervals).ravel()
        inside: NDArray[np.bool_] = np.searchsorted(edges, times, side="right") % 2 == 1
        return inside

    def fast_targets(self) -> list[Transmission]:
        """Return the fast cyclic messages that carry a measured quantity."""
        return [
            t
            for t in self.sent.values()
            if 0 < t.message.period <= _TARGET_PERIOD
            and any(_is_measured(s.source) for s in t.message.signals)
        ]

    def target(self, source: str) -> Transmission:
        """Return the most frequent message that carries ``source``."""
        found = [t for t in self.sent.values() if t.message.period and t.message.carries(source)]
        return min(found, key=lambda t: (t.message.period, t.message.arbitration_id))

    def pick(self, among: list[Transmission]) -> Transmission:
        """Return one of them at random."""
        return among[int(self.random.integers(len(among)))]

    def grid(self, gap: float, jitter: float = 0.0) -> Seconds:
        """Return times every ``gap`` seconds in the intervals, each later by up to ``jitter``."""
        due = [
            np.arange(low + self.random.uniform(0, gap), high, gap) for low, high in self.intervals
        ]
        times = np.concatenate(due)
        times += self.random.uniform(0.0, 1.0, len(times)) * jitter
        return np.sort(times[self.within(times)])


def _is_measured(source: str) -> bool:
    fixed = source in ("constant", "counter") or source.startswith("checksum_")
    return not fixed and source not in DISCRETE


@dataclass(frozen=True, slots=True)
class _Forged:
    """A drive of which one channel lies."""

    drive: Drive
    source: str
    gain: float
    shift: float

    def sample(self, source: str, times: Seconds) -> Seconds:
        true = self.drive.sample(source, times)
        return true * self.gain + self.shift if source == self.source else true


def _injected(target: Transmission, times: Seconds, payload: NDArray[np.uint8]) -> Traffic:
    counter = np.arange(len(times), dtype=np.int64)
    return Transmission(target.message, times, counter, payload).traffic(ATTACK)


def _raw_frames(
    times: Seconds, arbitration_id: NDArray[np.uint32], payload: NDArray[np.uint8]
) -> Traffic:
    n = len(times)
    return Traffic(
        release=np.rint(times * 1e9).astype(np.int64),
        arbitration_id=arbitration_id,
        dlc=np.full(n, 8, np.uint8),
        payload=payload,
        label=np.full(n, ATTACK, np.int8),
    )


def dos(scene: Scene) -> list[Traffic]:
    """Flood the bus with identifier 0, which wins every arbitration."""
    times = scene.grid(_DOS_GAP)
    flood = np.zeros(len(times), np.uint32)
    return [*scene.benign(), _raw_frames(times, flood, np.zeros((len(times), 8), np.uint8))]


def fuzzing(scene: Scene) -> list[Traffic]:
    """Send random identifiers with random payloads."""
    times = scene.grid(_FUZZ_GAP, jitter=_FUZZ_GAP)
    ids = scene.random.integers(0, 0x800, len(times), dtype=np.uint32)
    payload = scene.random.integers(0, 256, (len(times), 8), dtype=np.uint8)
    return [*scene.benign(), _raw_frames(times, ids, payload)]


def payload_fuzzing(scene: Scene) -> list[Traffic]:
    """Inject now and then a random payload under one periodic identifier that goes on."""
    target = scene.pick(scene.fast_targets())
    times = scene.grid(_PAYLOAD_GAP, jitter=_PAYLOAD_GAP / 2)
    payload = np.zeros((len(times), 8), np.uint8)
    dlc = target.message.dlc
    payload[:, :dlc] = scene.random.integers(0, 256, (len(times), dlc), dtype=np.uint8)
    return [*scene.benign(), _injected(target, times, payload)]


def _spoof(scene: Scene, source: str, low: float, high: float, rate: float) -> list[Traffic]:
    """Inject one forged value ``rate`` times as often as the genuine message, checksums valid."""
    target = scene.target(source)
    times = scene.grid(target.message.period / rate, jitter=target.message.period / 10)
    forged = _Forged(scene.drive, source, 0.0, float(scene.random.uniform(low, high)))
    counter = int(target.counter[0]) + np.arange(len(times), dtype=np.int64)
    payload = encode(target.message, times, counter, forged)
    return [*scene.benign(), _injected(target, times, payload)]


def rpm_spoofing(scene: Scene) -> list[Traffic]:
    """Claim a high engine speed at twice the genuine rate, among the genuine frames."""
    return _spoof(scene, "rpm", 4500.0, 6500.0, rate=2.0)


def speed_spoofing(scene: Scene) -> list[Traffic]:
    """Claim a road speed that is not driven, at a fifth of the genuine rate."""
    return _spoof(scene, "speed", 140.0, 190.0, rate=0.2)


def gear_spoofing(scene: Scene) -> list[Traffic]:
    """Claim a gear beyond the last, as often as the genuine frames."""
    return _spoof(scene, "gear", 7.0, 12.0, rate=1.0)


def replay(scene: Scene) -> list[Traffic]:
    """Send again, among the genuine frames, what some identifiers said earlier in this capture."""
    cyclic = [t for t in scene.sent.values() if 0 < t.message.period <= _TARGET_PERIOD]
    chosen = scene.random.permutation(len(cyclic))[:_REPLAYED_IDS]
    parts = scene.benign()
    for low, high in scene.intervals:
        lag = min(low, (high - low) + 1.0)
        for t in (cyclic[int(k)] for k in chosen):
            again = (t.times >= low - lag) & (t.times < high - lag)
            parts.append(_injected(t, t.times[again] + lag, t.payload[again]))
    return parts


def suppression(scene: Scene) -> list[Traffic]:
    """Silence one identifier: its frames are absent, so none can carry a label."""
    target = scene.pick(scene.fast_targets())
    parts = []
    for t in scene.sent.values():
        traffic = t.traffic()
        parts.append(traffic.select(~scene.within(t.times)) if t is target else traffic)
    return parts


def masquerade(scene: Scene) -> list[Traffic]:
    """Take a message over: its frames keep time, counter and checksum, but one quantity lies."""
    target = scene.pick(scene.fast_targets())
    signal = next(s for s in target.message.signals if _is_measured(s.source))
    replaced = scene.within(target.times)
    shift = float(scene.random.uniform(0.3, 0.6)) * scene.drive.span(signal.source)
    forged = _Forged(scene.drive, signal.source, 1.0, shift + 8 * signal.scale)
    times, counter = target.times[replaced], target.counter[replaced]
    lie = Transmission(
        target.message, times, counter, encode(target.message, times, counter, forged)
    )
    kept = [
        t.traffic().select(~replaced) if t is target else t.traffic() for t in scene.sent.values()
    ]
    return [*kept, lie.traffic(ATTACK)]


ATTACK_FUNCTIONS: dict[str, Callable[[Scene], list[Traffic]]] = {
    attack.__name__: attack
    for attack in (
        dos,
        fuzzing,
        payload_fuzzing,
        rpm_spoofing,
        speed_spoofing,
        gear_spoofing,
        replay,
        suppression,
        masquerade,
    )
}
ATTACKS: tuple[str, ...] = tuple(ATTACK_FUNCTIONS)
