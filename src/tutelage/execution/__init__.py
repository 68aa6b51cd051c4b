"""Where a run is executed: one command builder, one environment builder, one runner; no torch."""

from tutelage.execution.command import build_training_command
from tutelage.execution.environment import setup_training_environment
from tutelage.execution.process import Ended, execute_training_subprocess

__all__ = [
    "Ended",
    "build_training_command",
    "execute_training_subprocess",
    "setup_training_environment",
]
