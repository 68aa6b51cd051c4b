"""`train`: a run, from settings to record."""

from __future__ import annotations

from pathlib import Path

from tutelage.api.dispatch import Dispatch
from tutelage.api.restoring import LoadedRun
from tutelage.api.settings import configure
from tutelage.core.store import RunStore


def train(
    task: str,
    *overrides: str,
    preset: str | None = None,
    config: Path | str | None = None,
    home: Path | str | None = None,
    **settings: object,
) -> LoadedRun:
    """Train and return a finished run, as `run.policy` says.

    ``tutelage.train("can", mode="autoencoder", model="vgae", training={"max_epochs": 5})`` is
    ``tutelage train can mode=autoencoder model=vgae training.max_epochs=5``.

    Args:
        task: Name of an installed task.
        overrides: Settings as typed: ``"training.max_epochs=5"``.
        preset: One of the task's presets.
        config: YAML or JSON file of settings.
        home: Where runs live; by default ``TUTELAGE_HOME``, or ``./runs``.
        settings: Sections as mappings, or names: ``mode="autoencoder"``.

    Raises:
        RequestError: The request is wrong; nothing was made.
        RunFailedError: The run failed; its record says why.
    """
    file = None if config is None else Path(config)
    found, resolved = configure(task, overrides, preset=preset, config=file, settings=settings)
    with Dispatch() as go:
        return LoadedRun(go(found, resolved, RunStore.at(home)).run.path)
