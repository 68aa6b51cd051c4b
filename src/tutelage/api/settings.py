"""What a caller asks for as a checked configuration: preset, file, settings, overrides."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tutelage.core.config import RunConfig
from tutelage.core.extras import require_extra
from tutelage.core.files import Json
from tutelage.core.overrides import build_config, read_config_file
from tutelage.task import Task, load_task


def configure(
    task: str,
    overrides: Iterable[str] = (),
    *,
    preset: str | None = None,
    config: Path | None = None,
    settings: Json | None = None,
) -> tuple[Task[RunConfig], RunConfig]:
    """Return a task that can work, and its validated configuration, as `resolve` does.

    Raises:
        UnknownNameError: No such task or preset.
        ConfigError: A setting is unknown or wrong.
        RequestError: What the task needs is not installed.
    """
    found, resolved = resolve(task, overrides, preset=preset, config=config, settings=settings)
    require_extra(found.name)
    return found, resolved


def resolve(
    task: str,
    overrides: Iterable[str] = (),
    *,
    preset: str | None = None,
    config: Path | None = None,
    settings: Json | None = None,
) -> tuple[Task[RunConfig], RunConfig]:
    """Return the task and its validated configuration: preset, file, settings, then overrides.

    Raises:
        UnknownNameError: No such task or preset.
        ConfigError: A setting is unknown or wrong.
    """
    found = load_task(task)
    layers: list[Json] = [found.preset(preset)] if preset else []
    if config is not None:
        layers.append(read_config_file(config))
    if settings:
        layers.append(settings)
    resolved = build_config(found.config_type, layers, overrides)
    found.check(resolved)
    return found, resolved
