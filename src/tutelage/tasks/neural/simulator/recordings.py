"""`simulate_session`: a whole recording of a simulated animal, with the truth about its units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from tutelage.tasks.neural.sessions.session import Bytes, Ints, Session
from tutelage.tasks.neural.simulator.images import (
    Double,
    natural_movie,
    noise_movie,
    photographs,
)
from tutelage.tasks.neural.simulator.units import UnitTruth, draw_units, expected_responses

RATE_HZ = 30.0
SIZE = 28
"""Height and width of a frame in pixels."""
TRIAL_FRAMES = 120
REPEATS = 4
"""How often each test movie is shown."""
ANIMALS = {"anna": 1.0, "bert": 1.2}
"""The animals, and the scale of their receptive fields."""
TYPES = ("natural", "noise")
AROUSAL_SECONDS = 8.0
"""Time over which arousal changes."""
TRAIN, VALIDATION, TEST = 0, 1, 2
SHARED = 1 << 32
"""In the place of a recording's number, where what is drawn is the same for all."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """A recording, and what is true of it.

    Args:
        session: The recording; ``expected`` holds the true expected responses.
        truth: What is true of each unit, in order.
    """

    session: Session
    truth: tuple[UnitTruth, ...]


def simulate_session(settings: Mapping[str, int | float], number: int) -> Simulated:
    """Return one recording, a pure function of its arguments.

    A tenth of the trials validates; a fifth tests and shows few movies `REPEATS` times each. One
    trial in four shows noise, the others photographs. Behaviour is a pupil, which follows arousal,
    and running, which does so only loosely.

    Args:
        settings: ``seconds``, ``units``, ``seed``, and whether stimuli are ``shared``.
        number: Which recording, from 0; animals take turns.
    """
    random = np.random.default_rng([int(settings["seed"]), number])
    animal = list(ANIMALS)[number % len(ANIMALS)]
    units = draw_units(int(settings["units"]), SIZE, ANIMALS[animal], random)
    trials = max(10, round(float(settings["seconds"]) * RATE_HZ / TRIAL_FRAMES))
    drawn = np.random.default_rng([int(settings["seed"]), SHARED])
    movie, kind, part = _trials(trials, random, drawn if settings.get("shared") else random)
    arousal = _slow(trials * TRIAL_FRAMES, random).reshape(trials, TRIAL_FRAMES)
    expected = expected_responses(units, movie, arousal, RATE_HZ)
    expected = expected.reshape(trials * TRIAL_FRAMES, -1)
    spikes = random.poisson(expected)
    noise = random.normal(0, [0.2, 1.0], (len(spikes), 2))
    behaviour = arousal.reshape(-1, 1) * [1.0, 0.5] + noise
    session = Session(
        id=session_names(number + 1)[-1],
        animal=animal,
        stimulus=movie.reshape(-1, 1, SIZE, SIZE),
        responses=spikes.astype(np.float32),
        valid=np.ones(spikes.shape, np.bool_),
        unit_ids=tuple(unit.id for unit in units),
        static=False,
        rate_hz=RATE_HZ,
        trial=np.repeat(np.arange(trials), TRIAL_FRAMES),
        part=np.repeat(part, TRIAL_FRAMES),
        behaviour=behaviour.astype(np.float32),
        behaviour_names=("pupil", "running"),
        expected=expected.astype(np.float32),
        stimulus_type=np.repeat(kind, TRIAL_FRAMES),
        stimulus_types=TYPES,
    )
    return Simulated(session, units)


def session_names(count: int) -> list[str]:
    """Return the ids of the first recordings, by their numbers."""
    animals = list(ANIMALS)
    turns = (divmod(number, len(animals)) for number in range(count))
    return [f"{animals[which]}_{turn + 1:02d}" for turn, which in turns]


def simulated_truth(settings: Mapping[str, int | float], number: int) -> tuple[UnitTruth, ...]:
    """Return what is true of a recording's units, without making the recording."""
    random = np.random.default_rng([int(settings["seed"]), number])
    animal = list(ANIMALS)[number % len(ANIMALS)]
    return draw_units(int(settings["units"]), SIZE, ANIMALS[animal], random)


@cache
def _photographs() -> list[Double]:
    return photographs()


def _trials(
    trials: int, random: np.random.Generator, drawn: np.random.Generator
) -> tuple[Bytes, Ints, Ints]:
    """Return (trials, T, H, W) movies, and the type and part of each trial, in random order.

    Args:
        trials: How many.
        random: Draws their order.
        drawn: Draws the movies.
    """
    shown = max(2, round(0.2 * trials / REPEATS))
    tests, held = shown * REPEATS, max(2, round(0.1 * trials))
    fresh = trials - tests + shown
    kind = np.where(np.arange(fresh) % 4 == 3, 1, 0)
    kind[:shown] = np.where(np.arange(shown) % 4 == 1, 1, 0)
    movies = [
        noise_movie(TRIAL_FRAMES, SIZE, drawn)
        if each
        else natural_movie(_photographs(), TRIAL_FRAMES, SIZE, RATE_HZ, drawn)
        for each in kind
    ]
    which = np.concatenate([np.repeat(np.arange(shown), REPEATS), np.arange(shown, fresh)])
    part = np.full(trials, TRAIN)
    part[:tests], part[tests : tests + held] = TEST, VALIDATION
    order = random.permutation(trials)
    return np.stack(movies)[which[order]], kind[which[order]], part[order]


def _slow(frames: int, random: np.random.Generator) -> Double:
    """Return (T,) a slow random process of mean 0 and deviation 1 (Ornstein-Uhlenbeck)."""
    decay = np.exp(-1 / (AROUSAL_SECONDS * RATE_HZ))
    reach = round(5 * AROUSAL_SECONDS * RATE_HZ)
    slow = np.convolve(random.normal(size=frames + reach), decay ** np.arange(reach))[reach:][
        :frames
    ]
    centred: Double = (slow - slow.mean()) / slow.std()
    return centred
