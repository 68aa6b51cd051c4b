"""A vehicle's benign traffic: when each control unit sends each message, and what it then says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.frames import BENIGN
from tutelage.tasks.can.simulator.bus import Traffic
from tutelage.tasks.can.simulator.database import Message, vehicle_messages
from tutelage.tasks.can.simulator.packing import encode
from tutelage.tasks.can.simulator.seeding import Random, stream
from tutelage.tasks.can.simulator.signals import Drive

_DRIFT = 60e-6
"""Spread of the control units' clocks, relative."""


@dataclass(frozen=True, slots=True)
class Transmission:
    """Every sending of one message in a capture.

    Args:
        message: What is sent.
        times: (n,) float64 seconds, ascending: when each is handed to the bus.
        counter: (n,) int64 running number of each.
        payload: (n, 8) uint8.
    """

    message: Message
    times: NDArray[np.float64]
    counter: NDArray[np.int64]
    payload: NDArray[np.uint8]

    def traffic(self, label: int = BENIGN) -> Traffic:
        """Return the frames that wait for the bus, all under one label."""
        n = len(self.times)
        return Traffic(
            release=np.rint(self.times * 1e9).astype(np.int64),
            arbitration_id=np.full(n, self.message.arbitration_id, np.uint32),
            dlc=np.full(n, self.message.dlc, np.uint8),
            payload=self.payload,
            label=np.full(n, label, np.int8),
        )


def benign_transmissions(
    vehicle: str, seconds: float, drive: Drive, random: Random
) -> dict[int, Transmission]:
    """Return what each control unit of ``vehicle`` sends, by identifier.

    Clock drift and jitter belong to the vehicle and are the same in all its captures; phases and
    counters start anywhere.

    Raises:
        UnknownNameError: No such vehicle.
    """
    character = stream("vehicle", vehicle)
    drift: dict[str, float] = {}
    sent = {}
    for message in vehicle_messages(vehicle):
        clock = drift.setdefault(message.sender, _DRIFT * character.standard_normal())
        jitter = character.uniform(20e-6, 150e-6)
        times = _times(message, seconds, clock, jitter, drive, random)
        counter = int(random.integers(0, 256)) + np.arange(len(times), dtype=np.int64)
        payload = encode(message, times, counter, drive)
        sent[message.arbitration_id] = Transmission(message, times, counter, payload)
    return sent


def _times(
    message: Message, seconds: float, clock: float, jitter: float, drive: Drive, random: Random
) -> NDArray[np.float64]:
    parts = []
    if message.period:
        period = message.period * (1.0 + clock)
        due = np.arange(random.uniform(0.0, period), seconds, period)
        parts.append(due + jitter * random.standard_normal(len(due)))
    if message.trigger == "OnChange":
        changed = drive.change_times(message.signals[0].source)
        parts.append(changed + random.uniform(0.0, 0.004, len(changed)))
    if message.trigger == "Poisson":
        count = int(random.poisson(message.event_rate * seconds))
        parts.append(random.uniform(0.0, seconds, count))
    times = np.sort(np.concatenate(parts))
    return times[(times >= 0.0) & (times < seconds)]
