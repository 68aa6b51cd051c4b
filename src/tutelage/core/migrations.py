"""Older schema versions of a run's files, brought to the present one; newer ones refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tutelage.core.config import SCHEMA_VERSION
from tutelage.core.errors import StoreError
from tutelage.core.files import Json, JsonDict


def _config_1_to_2(config: JsonDict) -> JsonDict:
    """Schema 2 writes `learning_rate` and `max_epochs` in full (1: `lr`, `epochs`)."""
    training = config.get("training")
    if isinstance(training, dict):
        renamed = {"lr": "learning_rate", "epochs": "max_epochs"}
        config["training"] = {renamed.get(key, key): value for key, value in training.items()}
    return config


def _record_1_to_2(record: JsonDict) -> JsonDict:
    """Schema 2 says `status` (1: `state`) and lists parents with their role (1: ids alone)."""
    if "state" in record:
        record["status"] = record.pop("state")
    parents = record.get("parents")
    if isinstance(parents, list):
        record["parents"] = [
            {"run": parent, "role": "weights"} if isinstance(parent, str) else parent
            for parent in parents
        ]
    return record


CONFIG_MIGRATIONS: Mapping[int, Callable[[JsonDict], JsonDict]] = {1: _config_1_to_2}
RECORD_MIGRATIONS: Mapping[int, Callable[[JsonDict], JsonDict]] = {1: _record_1_to_2}


def migrate(
    content: Json,
    steps: Mapping[int, Callable[[JsonDict], JsonDict]],
    current: int,
    where: Path,
) -> JsonDict:
    """Apply the ``steps`` from a file's ``schema_version`` up to ``current``.

    Raises:
        StoreError: The file is of a newer version, or of none that is known.
    """
    migrated = dict(content)
    writer = migrated.pop("tutelage_version", None) or _environment(migrated).get("tutelage")
    version = migrated.get("schema_version", current)
    if type(version) is not int or version < 1:
        raise StoreError(f"schema_version={version!r} is no version", where=where)
    if version > current:
        newer = f"tutelage {writer}" if writer else "a newer tutelage"
        raise StoreError(
            f"was written with schema version {version}; this tutelage reads up to {current}",
            where=where,
            hint=f"Read it with {newer}.",
        )
    for step in range(version, current):
        migrated = steps[step](migrated)
    migrated["schema_version"] = current
    return migrated


def _environment(content: JsonDict) -> Json:
    """Where a record says it was made; empty for what is no record."""
    environment = content.get("environment")
    return environment if isinstance(environment, Mapping) else {}


def migrate_config(content: Json, where: Path) -> JsonDict:
    """Bring the settings of a ``config.json`` to the present schema."""
    return migrate(content, CONFIG_MIGRATIONS, SCHEMA_VERSION, where)
