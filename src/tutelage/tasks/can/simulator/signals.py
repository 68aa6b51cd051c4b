"""A drive: a car's physical signals over time, from target speed to temperatures and switches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.simulator.seeding import Random

Channel = NDArray[np.float64]

STEP = 0.05
"""Seconds between two states of the drive."""

_RATIOS = (0.0, 125.0, 72.0, 48.0, 36.0, 29.0, 24.0)
"""Engine revolutions per minute for each km/h, by gear."""

# mean, amplitude, seconds over which it wanders, sensor noise
_WANDERING: dict[str, tuple[float, float, float, float]] = {
    "lambda_ratio": (1.0, 0.02, 0.4, 0.001),
    "cam_phase": (8.0, 6.0, 1.5, 0.1),
    "spark_advance": (12.0, 6.0, 0.8, 0.1),
    "cabin_temp": (21.0, 1.0, 60.0, 0.05),
    "evaporator_temp": (6.0, 1.5, 20.0, 0.05),
    "ambient_temp": (14.0, 0.5, 120.0, 0.0),
    "blower": (35.0, 10.0, 30.0, 0.0),
    "tyre_fl": (232.0, 2.0, 90.0, 0.2),
    "tyre_fr": (234.0, 2.0, 90.0, 0.2),
    "tyre_rl": (221.0, 2.0, 90.0, 0.2),
    "tyre_rr": (224.0, 2.0, 90.0, 0.2),
    "cruise_speed": (100.0, 10.0, 40.0, 0.0),
    "lead_distance": (48.0, 20.0, 5.0, 0.05),
    "lane_offset": (0.0, 0.3, 3.0, 0.005),
    "altitude": (240.0, 12.0, 40.0, 0.0),
    "grade": (0.5, 2.0, 12.0, 0.02),
    "pitch_rate": (0.0, 1.2, 0.4, 0.05),
    "roll_rate": (0.0, 1.5, 0.4, 0.05),
    "battery_voltage": (14.1, 0.15, 4.0, 0.01),
    "oil_life": (71.0, 0.2, 300.0, 0.0),
    "ambient_light": (600.0, 200.0, 10.0, 0.5),
}

# number of states, mean seconds in one state
_SWITCHES: dict[str, tuple[int, float]] = {
    "turn_signal": (3, 6.0),
    "headlights": (3, 90.0),
    "high_beam": (2, 60.0),
    "wiper": (4, 25.0),
    "locks": (2, 120.0),
    "audio_source": (5, 45.0),
    "volume": (40, 12.0),
    "seatbelt": (2, 300.0),
    "seat_heat": (4, 90.0),
    "cruise_state": (3, 20.0),
    "lane_state": (4, 4.0),
    "hvac_mode": (6, 40.0),
    "parking_zone": (6, 8.0),
    "radar_quality": (120, 0.5),
    "diagnostic_page": (200, 1.0),
    "nm_state": (3, 30.0),
    "drive_mode": (4, 50.0),
    "trailer": (2, 400.0),
    "rain": (12, 5.0),
    "doors": (2, 400.0),
    "handbrake": (2, 400.0),
}

_NOISE: dict[str, float] = {
    "wheel_fl": 0.06,
    "wheel_fr": 0.06,
    "wheel_rl": 0.06,
    "wheel_rr": 0.06,
    "rpm": 4.0,
    "steering_torque": 0.03,
    "accel_lat": 0.03,
    "accel_long": 0.03,
    "yaw_rate": 0.05,
    "engine_torque": 0.4,
    "motor_torque": 0.3,
    "manifold_pressure": 0.1,
    "battery_current": 0.3,
    "turbine_speed": 3.0,
    "oil_pressure": 0.5,
    "fuel_rate": 0.02,
}

DISCRETE = frozenset(
    {*_SWITCHES, "gear", "shift_lever", "brake_switch", "abs_active", "esc_active"}
)
"""Channels that hold one whole number until the next change."""


class Drive:
    """The physical state of one car during one capture.

    Args:
        seconds: Length of the drive.
        random: Where its chance comes from.
    """

    def __init__(self, seconds: float, random: Random) -> None:
        self._random = random
        self._grid = np.arange(-STEP, seconds + 3 * STEP, STEP)
        self._channels = self._build()

    def sample(self, source: str, times: NDArray[np.float64]) -> Channel:
        """Return channel ``source`` at ``times`` (seconds), with the sensor's own noise."""
        values = self._channels[source]
        if source in DISCRETE:
            at = ((times - self._grid[0]) / STEP).astype(np.intp)
            held: Channel = values[np.clip(at, 0, len(values) - 1)]
            return held
        sampled = np.interp(times, self._grid, values)
        sigma = _NOISE.get(source) or (_WANDERING[source][3] if source in _WANDERING else 0.0)
        return sampled + sigma * self._random.standard_normal(len(times)) if sigma else sampled

    def span(self, source: str) -> float:
        """Return how far the channel ranges in this drive, and a little more if it stands still."""
        values = self._channels[source]
        return float(np.ptp(values) + 0.05 * np.abs(values.mean()))

    def change_times(self, source: str) -> NDArray[np.float64]:
        """Return the seconds at which a discrete channel takes a new value."""
        values = self._channels[source]
        changed: Channel = self._grid[1:][values[1:] != values[:-1]]
        return changed

    def _build(self) -> dict[str, Channel]:
        channels = {
            name: mean + amplitude * self._wander(period)
            for name, (mean, amplitude, period, _) in _WANDERING.items()
        }
        channels |= {name: self._switch(*spec) for name, spec in _SWITCHES.items()}
        channels |= self._longitudinal()
        channels |= self._lateral(channels["speed"])
        channels |= self._engine(channels)
        channels |= self._slow(channels)
        return channels

    def _wander(self, period: float) -> Channel:
        """Return smooth noise of unit spread that forgets itself over ``period`` seconds."""
        knots = np.arange(self._grid[0] - period, self._grid[-1] + 2 * period, period)
        phase = self._random.uniform(0, period)
        levels = self._random.standard_normal(len(knots))
        wander: Channel = np.interp(self._grid, knots + phase, levels)
        return wander

    def _switch(self, states: int, dwell: float) -> Channel:
        """Return a channel that jumps among ``states`` values at Poisson times."""
        jumps = self._random.random(len(self._grid)) < STEP / dwell
        jumps[0] = True
        values = self._random.integers(0, states, int(jumps.sum()))
        held: Channel = values[np.cumsum(jumps) - 1].astype(np.float64)
        return held

    def _longitudinal(self) -> dict[str, Channel]:
        """Return speed, acceleration, gear and engine speed under a driver who follows targets."""
        n = len(self._grid)
        change = self._random.random(n) < STEP / 7.0
        change[0] = True
        targets = self._random.choice([0.0, 30.0, 50.0, 70.0, 100.0, 125.0], int(change.sum()))
        target = (targets[np.cumsum(change) - 1] / 3.6).tolist()
        speed, accel, gear, rpm = float(self._random.uniform(0, 28)), 0.0, 1, 800.0
        states = np.empty((n, 4))
        for i in range(-40, n):
            wish = min(max(0.45 * (target[max(i, 0)] - speed), -3.2), 2.2)
            accel += min(max(wish - accel, -2.5 * STEP), 2.5 * STEP)
            speed = max(speed + accel * STEP, 0.0)
            kmh = 3.6 * speed
            if gear < 6 and kmh * _RATIOS[gear] > 2700:
                gear += 1
            elif gear > 1 and kmh * _RATIOS[gear] < 1150:
                gear -= 1
            rpm += 0.3 * (max(kmh * _RATIOS[gear], 800.0) - rpm)
            if i >= 0:
                states[i] = kmh, accel if speed > 0 else 0.0, gear, rpm
        return dict(zip(("speed", "accel_long", "gear", "rpm"), states.T.copy(), strict=True))

    def _lateral(self, speed: Channel) -> dict[str, Channel]:
        """Return steering, yaw, lateral acceleration and the four wheels by a bicycle model."""
        angle = self._wander(2.5) * (6.0 + 150.0 / (1.0 + (speed / 12.0) ** 2))
        rate = np.gradient(angle, STEP)
        yaw = speed / 3.6 * np.tan(np.radians(angle / 16.0)) / 2.7
        differ = 0.75 * yaw * 3.6
        return {
            "steering_angle": angle,
            "steering_rate": rate,
            "steering_torque": 0.01 * rate + 0.03 * angle * (1 + speed / 80),
            "yaw_rate": np.degrees(yaw),
            "accel_lat": yaw * speed / 3.6,
            "heading": (137.0 + np.cumsum(np.degrees(yaw)) * STEP) % 360.0,
            "wheel_fl": np.maximum(speed - differ, 0.0),
            "wheel_fr": np.maximum(speed + differ, 0.0),
            "wheel_rl": np.maximum(0.998 * speed - differ, 0.0),
            "wheel_rr": np.maximum(0.998 * speed + differ, 0.0),
            "lead_speed": np.maximum(speed + 4.0 * self._wander(4.0), 0.0),
        }

    def _engine(self, c: dict[str, Channel]) -> dict[str, Channel]:
        """Return pedals, torque, air and fuel from speed and acceleration."""
        drag = 0.15 + 0.00012 * c["speed"] ** 2 / 3.6
        effort = c["accel_long"] + drag
        moving = c["speed"] > 0.5
        pedal = np.clip(28.0 * effort, 0.0, 100.0)
        brake = np.where(moving, np.clip(-22.0 * (effort + 0.35), 0.0, 120.0), 15.0)
        power = 1500.0 * effort * c["speed"] / 3.6
        torque = np.clip(power / (c["rpm"] * 2 * np.pi / 60), -60.0, 320.0) + 12.0
        load = np.clip(18 + 0.8 * pedal, 0, 100)
        return {
            "pedal": pedal,
            "throttle": np.clip(6.0 + 0.9 * pedal, 0.0, 100.0),
            "brake_pressure": brake,
            "brake_switch": (brake > 1.0).astype(np.float64),
            "abs_active": (c["accel_long"] < -3.1).astype(np.float64),
            "esc_active": (np.abs(c["accel_lat"]) > 5.0).astype(np.float64),
            "shift_lever": np.full_like(pedal, 3.0),
            "engine_torque": torque,
            "motor_torque": 0.3 * torque,
            "engine_load": load,
            "manifold_pressure": 30.0 + 0.7 * load,
            "boost": 101.0 + 0.6 * np.maximum(load - 40.0, 0.0),
            "turbine_speed": c["rpm"] * np.where(c["gear"] == 1, 0.93, 0.98),
            "oil_pressure": 120.0 + 0.06 * c["rpm"],
            "fuel_rate": 0.6 + c["rpm"] * load * 6e-5,
            "battery_current": 12.0 - 0.5 * torque,
        }

    def _slow(self, c: dict[str, Channel]) -> dict[str, Channel]:
        """Return what warms up, drains and accumulates."""
        uptime = float(self._random.uniform(60, 3000)) + self._grid
        warm = 1.0 - np.exp(-uptime / 240.0)
        distance = np.cumsum(c["speed"]) * STEP / 3600.0
        used = np.cumsum(c["fuel_rate"]) * STEP / 3600.0
        return {
            "uptime": uptime,
            "coolant_temp": 15.0 + 75.0 * warm + 0.8 * self._wander(15.0),
            "oil_temp": 15.0 + 83.0 * warm**2 + 0.5 * self._wander(25.0),
            "gearbox_temp": 15.0 + 60.0 * warm**2 + 0.4 * self._wander(30.0),
            "intake_temp": 20.0 + 12.0 * warm + 0.8 * self._wander(10.0),
            "odometer": float(self._random.integers(800, 5800)) + distance,
            "fuel_level": float(self._random.uniform(15, 95)) - used / 0.5,
        }
