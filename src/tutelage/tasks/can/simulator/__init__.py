"""A CAN-bus simulator: vehicles from DBC files, a drive, an arbitrated bus, labelled attacks."""

from tutelage.tasks.can.simulator.attacks import ATTACKS
from tutelage.tasks.can.simulator.capture import (
    SimulatedCapture,
    simulate_capture,
    simulated_dataset,
)
from tutelage.tasks.can.simulator.database import VEHICLES
from tutelage.tasks.can.simulator.export import write_candump, write_csv

__all__ = [
    "ATTACKS",
    "VEHICLES",
    "SimulatedCapture",
    "simulate_capture",
    "simulated_dataset",
    "write_candump",
    "write_csv",
]
