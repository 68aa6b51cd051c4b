"""`simulate_capture` and `simulated_dataset`: seeded captures of driven and attacked vehicles."""

from __future__ import annotations

from dataclasses import dataclass

from tutelage.core.errors import ConfigError, UnknownNameError
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.simulator.attacks import ATTACK_FUNCTIONS, ATTACKS, Interval, Scene
from tutelage.tasks.can.simulator.bus import Traffic, transmit
from tutelage.tasks.can.simulator.seeding import Random, stream
from tutelage.tasks.can.simulator.signals import Drive
from tutelage.tasks.can.simulator.vehicles import benign_transmissions

_LEAD = 10.0
"""Benign seconds before the first attack, so that a rule can be calibrated on them."""
_SLOT = 8.0
"""Least seconds that one attack and the benign stretches around it take."""

KNOWN_VEHICLES, UNKNOWN_VEHICLES = ("hatchback", "estate"), ("pickup",)
KNOWN_ATTACKS = ("dos", "fuzzing", "rpm_spoofing", "payload_fuzzing")
UNKNOWN_ATTACKS = ("speed_spoofing", "gear_spoofing", "replay", "masquerade")


@dataclass(frozen=True, slots=True)
class SimulatedCapture:
    """One capture and what is true of it.

    Args:
        name: Attack (or ``attack_free``) and vehicle, joined by a hyphen.
        frames: What a logger recorded.
        vehicle: One of `VEHICLES`.
        attack: One of `ATTACKS`, or None.
        intervals: Start and end of each attack, in the capture's seconds.
    """

    name: str
    frames: Frames
    vehicle: str
    attack: str | None
    intervals: tuple[Interval, ...]


def simulate_capture(
    vehicle: str, *, seed: int, seconds: float, attack: str | None = None
) -> SimulatedCapture:
    """Drive ``vehicle`` for ``seconds`` and record its bus; the same arguments give the same bytes.

    The first half, at most ten seconds, is benign; then come attacks of several seconds with
    benign stretches between. Captures that differ in any argument share no traffic.

    Args:
        vehicle: One of `VEHICLES`.
        seed: Any whole number.
        seconds: Length of the capture; at least 1.
        attack: One of `ATTACKS`, or None for an attack-free capture.

    Raises:
        UnknownNameError: No such vehicle or attack.
        ConfigError: ``seconds`` is less than 1.
    """
    if attack is not None and attack not in ATTACKS:
        raise UnknownNameError("attack", attack, ATTACKS)
    if not seconds >= 1.0:
        raise ConfigError(
            f"a simulated capture can't last {seconds} s", hint="Ask for at least 1 second."
        )
    words = (vehicle, seed, float(seconds), attack)
    drive = Drive(seconds, stream("drive", *words))
    sent = benign_transmissions(vehicle, seconds, drive, stream("bus", *words))
    chance = stream("attack", *words)
    intervals = _schedule(seconds, chance) if attack else ()
    scene = Scene(sent, drive, intervals, chance)
    parts = ATTACK_FUNCTIONS[attack](scene) if attack else scene.benign()
    frames = transmit(Traffic.join(parts))
    name = f"{attack or 'attack_free'}-{vehicle}"
    return SimulatedCapture(name, frames, vehicle, attack, intervals)


def _schedule(seconds: float, random: Random) -> tuple[Interval, ...]:
    lead = min(_LEAD, seconds / 2)
    count = max(1, int((seconds - lead) // _SLOT))
    slot = (seconds - lead) / count
    intervals = []
    for k in range(count):
        start = lead + slot * (k + random.uniform(0.05, 0.3))
        intervals.append((start, start + slot * random.uniform(0.4, 0.6)))
    return tuple(intervals)


def simulated_dataset(
    seed: int = 0, seconds: float = 20.0
) -> dict[str, tuple[SimulatedCapture, ...]]:
    """Return the embedded data set, by split, laid out as can-train-and-test is.

    Known vehicles are a hatchback and an estate, the unknown one a pickup. Each capture has its
    own seed: no two share traffic.

    Args:
        seed: Any whole number.
        seconds: Length of each capture with attacks; attack-free ones last twice as long.

    Raises:
        ConfigError: ``seconds`` is less than 1.
    """
    known, unknown = KNOWN_VEHICLES, UNKNOWN_VEHICLES
    every = [(v, a) for a in KNOWN_ATTACKS for v in known]
    plan: dict[str, list[tuple[str, str | None]]] = {
        "train_01_attack_free": [(v, None) for v in known],
        "train_02_with_attacks": [(v, a) for v, a in every],
        "test_01_known_vehicle_known_attack": _alternate(known, KNOWN_ATTACKS),
        "test_02_unknown_vehicle_known_attack": _alternate(unknown, KNOWN_ATTACKS),
        "test_03_known_vehicle_unknown_attack": _alternate(known, UNKNOWN_ATTACKS),
        "test_04_unknown_vehicle_unknown_attack": _alternate(unknown, UNKNOWN_ATTACKS),
    }
    names = list(plan)
    return {
        split: tuple(
            simulate_capture(
                vehicle,
                seed=seed * len(plan) + names.index(split),
                seconds=seconds if attack else 2 * seconds,
                attack=attack,
            )
            for vehicle, attack in captures
        )
        for split, captures in plan.items()
    }


def _alternate(vehicles: tuple[str, ...], attacks: tuple[str, ...]) -> list[tuple[str, str | None]]:
    return [(vehicles[k % len(vehicles)], attack) for k, attack in enumerate(attacks)]
