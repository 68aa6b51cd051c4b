"""Recordings: their type, and readers of every format that they come in."""

from tutelage.tasks.neural.sessions.session import Session

__all__ = ["Session"]
