"""Simulated units with known receptive fields: linear, simple and complex cells, normalised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["ln", "simple", "complex"]
KINDS: tuple[Kind, ...] = ("ln", "simple", "complex")
LAGS = 10
"""Frames that a temporal kernel spans."""
Double = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class UnitTruth:
    """What is true of a simulated unit.

    Args:
        id: Its name.
        kind: `ln`: centre and surround, rectified, as in the retina; `simple`: a Gabor, rectified,
            to the power of 1.5; `complex`: the energy of a quadrature pair of Gabors.
        y: Centre of its receptive field in pixels from the top.
        x: The same from the left.
        sigma: Standard deviation of its envelope in pixels.
        orientation: Direction of its bars in degrees, 0 to 180; null without any.
        wavelength: Pixels a cycle; null for centre and surround.
        latency: Frames from a stimulus to the peak of the temporal kernel.
        gain: Logarithm of what one standard deviation of arousal multiplies its rate by.
        rate_hz: Mean rate.
    """

    id: str
    kind: Kind
    y: float
    x: float
    sigma: float
    orientation: float | None
    wavelength: float | None
    latency: float
    gain: float
    rate_hz: float


def draw_units(
    count: int, size: int, fine: float, random: np.random.Generator
) -> tuple[UnitTruth, ...]:
    """Return units of all kinds in turn.

    Args:
        count: N.
        size: Height and width of a frame.
        fine: Scale of the receptive fields, which differs between animals.
        random: Draws everything.
    """
    units = []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        y, x = random.uniform(0.3 * size, 0.7 * size, 2)
        oriented = kind != "ln"
        units.append(
            UnitTruth(
                id=f"{kind}{number:02d}",
                kind=kind,
                y=round(float(y), 3),
                x=round(float(x), 3),
                sigma=round(fine * float(random.uniform(2.0, 2.8)), 3),
                orientation=round(float(random.uniform(0, 180)), 2) if oriented else None,
                wavelength=round(fine * float(random.uniform(5.5, 8.0)), 3) if oriented else None,
                latency=round(float(random.uniform(1.0, 3.5)), 3),
                gain=round(float(random.normal(0.3, 0.15)), 3),
                rate_hz=round(float(random.uniform(10, 25)), 2),
            )
        )
    return tuple(units)


def expected_responses(
    units: tuple[UnitTruth, ...], movie: NDArray[np.uint8], arousal: Double, rate_hz: float
) -> Double:
    """Return (trials, T, N) expected spikes a bin.

    Each unit's drive (rectified, its power of 1.5, or quadrature energy) is divided by the mean
    drive of all (Heeger 1992, doi:10.1017/S0952523800009640) and multiplied by a gain of arousal.

    Args:
        units: N of them.
        movie: (trials, T, H, W) uint8.
        arousal: (trials, T) in standard deviations.
        rate_hz: Frames a second.
    """
    trials, frames, height, width = movie.shape
    pixels = (movie.reshape(trials * frames, -1).astype(np.float32) - 127.5) / 60
    grid = np.mgrid[:height, :width].astype(np.float64)
    phases = [[_filter(unit, grid, phase) for unit in units] for phase in (0.0, np.pi / 2)]
    linear = [
        (pixels @ np.stack([each.ravel() for each in bank], axis=1).astype(np.float32))
        .reshape(trials, frames, -1)
        .astype(np.float64)
        for bank in phases
    ]
    even, odd = (_in_time(part, units) for part in linear)
    kinds = np.array([unit.kind for unit in units])
    drive = np.where(
        kinds == "complex",
        np.sqrt(even**2 + odd**2),
        np.maximum(even, 0) ** np.where(kinds == "simple", 1.5, 1.0),
    )
    drive /= drive.mean(axis=(0, 1))
    normalised = drive / (1 + 0.5 * drive.mean(axis=2, keepdims=True))
    gains = np.exp(np.array([unit.gain for unit in units]) * arousal[..., None])
    answer = normalised * gains
    share = 0.08 + 0.92 * answer / answer.mean(axis=(0, 1))
    expected: Double = share * np.array([unit.rate_hz for unit in units]) / rate_hz
    return expected


def _filter(unit: UnitTruth, grid: Double, phase: float) -> Double:
    """Return (H, W), a Gabor or a centre with its surround, of unit norm and without a mean."""
    dy, dx = grid[0] - unit.y, grid[1] - unit.x
    distance = dy**2 + dx**2
    envelope = np.exp(-distance / (2 * unit.sigma**2))
    if unit.orientation is None or unit.wavelength is None:
        surround = np.exp(-distance / (2 * (2 * unit.sigma) ** 2)) / 4
        field = envelope - 0.9 * surround
    else:
        angle = np.deg2rad(unit.orientation)  # of the bars; they vary across that
        across = dx * np.sin(angle) + dy * np.cos(angle)
        field = envelope * np.cos(2 * np.pi * across / unit.wavelength + phase)
        field = field - envelope * (field.sum() / envelope.sum())
    normed: Double = field / np.linalg.norm(field)
    return normed


def temporal_kernel(latency: float) -> Double:
    """Return (LAGS,), an impulse response that peaks ``latency`` frames after the stimulus."""
    lags = np.arange(LAGS)
    first = np.exp(-((lags - latency) ** 2) / (2 * 0.8**2))
    second = np.exp(-((lags - latency - 2.5) ** 2) / (2 * 1.2**2))
    kernel = first - 0.45 * second
    normed: Double = kernel / np.abs(kernel).sum()
    return normed


def _in_time(linear: Double, units: tuple[UnitTruth, ...]) -> Double:
    """Filter (trials, T, N) in time; before a trial its first frame was seen all along."""
    kernels = np.stack([temporal_kernel(unit.latency) for unit in units], axis=1)
    padded = np.concatenate([linear[:, :1].repeat(LAGS - 1, axis=1), linear], axis=1)
    frames = linear.shape[1]
    total = np.zeros_like(linear)
    for lag in range(LAGS):
        total += kernels[lag] * padded[:, LAGS - 1 - lag : LAGS - 1 - lag + frames]
    return total
