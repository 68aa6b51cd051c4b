"""Embedded data: simulated recordings of the visual system, with the truth about every unit."""

from tutelage.tasks.neural.simulator.recordings import (
    Simulated,
    session_names,
    simulate_session,
    simulated_truth,
)
from tutelage.tasks.neural.simulator.units import UnitTruth

__all__ = ["Simulated", "UnitTruth", "session_names", "simulate_session", "simulated_truth"]
