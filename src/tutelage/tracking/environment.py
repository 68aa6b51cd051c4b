"""Where MLflow's store is, and the environment in which MLflow is quiet and soon gives up."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from tutelage.core.errors import ConfigError
from tutelage.core.tracking import check_tracking_uri

URI: Final = "MLFLOW_TRACKING_URI"
DATABASE: Final = "mlflow.db"
_SETTINGS: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "GIT_PYTHON_REFRESH": "quiet",
}


def tracking_uri(uri: str | None, home: Path, environment: Mapping[str, str] | None = None) -> str:
    """Return the address of MLflow's store: the one given, the environment's, or the runs' own.

    Args:
        uri: What `tracking.uri` says.
        home: Where runs live; their own store is the SQLite file `mlflow.db` there.
        environment: Where MLFLOW_TRACKING_URI is looked up; null for this process's own.

    Raises:
        ConfigError: MLFLOW_TRACKING_URI names what MLflow can't keep runs in.
    """
    given = (os.environ if environment is None else environment).get(URI)
    if uri is not None:
        return uri
    if not given:
        return f"sqlite:///{home.absolute() / DATABASE}"
    try:
        return check_tracking_uri(given)
    except ValueError as error:
        raise ConfigError(f"can't be used: {error}", where=f"{URI}={shown(given)}") from error


def setup_mlflow_tracking_env(
    uri: str, environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the environment in which MLflow is used: its store, no telemetry, short time limits.

    What a person has set there themselves stays.

    Args:
        uri: The store (`tracking_uri`).
        environment: What is added to; null for this process's own.
    """
    given = dict(os.environ if environment is None else environment)
    return _SETTINGS | given | {URI: uri}


def shown(uri: str) -> str:
    """Return an address without its password, for messages."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def require(package: str) -> None:
    """Refuse to go on without a package of the extra `mlflow`.

    Raises:
        ConfigError: It is not installed; the message names the command that installs it.
    """
    if find_spec(package) is None:
        raise ConfigError(
            f"{package.replace('_', '-')} is not installed",
            hint="Install it: pip install 'tutelage[mlflow]'",
        )
