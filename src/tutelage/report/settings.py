"""A run's settings laid flat, and which of them differ: from the defaults, or between runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from tutelage.core.errors import RequestError
from tutelage.core.migrations import migrate_config
from tutelage.core.records import Table
from tutelage.core.store import CONFIG, Run
from tutelage.report.names import short_name
from tutelage.task import load_task

Flat = dict[str, object]


def flat(settings: Mapping[str, object], prefix: str = "") -> Flat:
    """Write nested settings as ``section.field`` to value, in their order."""
    found: Flat = {}
    for key, value in settings.items():
        path = f"{prefix}{key}"
        found |= flat(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return found


def settings_of(run: Run) -> Flat:
    """The settings of a run, flat, in the present schema.

    Raises:
        StoreError: They are absent, damaged, or of a newer version.
    """
    return flat(migrate_config(run.settings, run.path / CONFIG))


def defaults_of(settings: Flat) -> Flat:
    """What the same task, mode and model take where nothing is said.

    Empty where the task, the mode or the model is no longer installed.
    """
    names = {
        section: {"name": settings.get(f"{section}.name")}
        for section in ("mode", "model", "execution")
    }
    try:
        config = load_task(str(settings.get("task"))).config_type.model_validate(names)
    except (RequestError, ValidationError):
        return {}
    return flat(config.model_dump(mode="json"))


def differences(runs: Sequence[Run]) -> dict[str, tuple[object, ...]]:
    """The settings that are not the same in all ``runs``, with each run's value."""
    all_settings = [settings_of(run) for run in runs]
    keys = dict.fromkeys(key for settings in all_settings for key in settings)
    rows = {key: tuple(settings.get(key) for settings in all_settings) for key in keys}
    return {key: values for key, values in rows.items() if any(v != values[0] for v in values[1:])}


def differences_table(runs: Sequence[Run]) -> Table:
    """The same as a table, a column a run."""
    there = [settings_of(run) for run in runs]
    rows = tuple(
        (key, *(as_text(each[key]) if key in each else None for each in there))
        for key in differences(runs)
    )
    names = tuple(short_name(run.id) for run in runs)
    return Table(title="Settings that differ", columns=("setting", *names), rows=rows)


def as_text(value: object) -> str:
    """Write a setting's value as a person types it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(as_text, value))}]"
    return str(value)
