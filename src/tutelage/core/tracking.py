"""`tracking.*`: which tracker a run is mirrored to while it lasts; no part of the fingerprint."""

from __future__ import annotations

import re
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from tutelage.core.sections import Section

SCHEMES: Final = ("sqlite", "postgresql", "mysql", "mssql", "http", "https")
"""What MLflow keeps runs in: a database, or a server."""


def check_tracking_uri(uri: str) -> str:
    """Return the address of an MLflow store, if it is one that can be written.

    Raises:
        ValueError: It is none; the message says what is.
    """
    scheme = uri.partition(":")[0].partition("+")[0]
    if "://" not in uri or scheme not in SCHEMES:
        raise ValueError(
            "use a server, as in http://HOST:5000, or a database, as in sqlite:////DIR/mlflow.db: "
            "MLflow keeps no runs in plain files any more"
        )
    if scheme == "sqlite" and not re.fullmatch(r"sqlite(\+\w+)?:////.+", uri):
        raise ValueError("write the whole path: sqlite:////DIR/mlflow.db, with four slashes")
    return uri


class Tracking(Section):
    """What mirrors a run while it lasts, for people to look at; nothing reads it to decide."""

    name: Literal["none", "mlflow"] = "none"
    """`mlflow`: a process of low priority sends what the run writes to MLflow as it comes. A
    tracker that is slow or away never stops a run; what it lacks is sent the next time."""
    uri: str | None = None
    """Server or database that holds the runs; null takes MLFLOW_TRACKING_URI where that is set,
    else `mlflow.db` beside the runs."""
    experiment: str | None = Field(default=None, min_length=1, max_length=500)
    """MLflow's experiment; null: `tutelage/` and the task's name."""
    artifacts: tuple[str, ...] = ()
    """Files of the run that are copied to the tracker, as the record names them, such as
    [config.json]; the others stay in the run's folder, which a tag names."""

    @field_validator("uri")
    @classmethod
    def _usable(cls, uri: str | None) -> str | None:
        if uri is None:
            return None
        if urlsplit(uri).password:
            raise ValueError(
                "a password would stand in config.json: set the variable MLFLOW_TRACKING_URI, or "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        return check_tracking_uri(uri)
