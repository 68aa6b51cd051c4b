"""What a training process says in a file when it has ended: its run, or why there is none."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from tutelage.core.errors import StoreError, TutelageError
from tutelage.core.files import write_json
from tutelage.core.store import Run


class Result(BaseModel):
    """The content of the file.

    Attributes:
        run: Path of the run's folder, if one was made.
        error: The message of what went wrong.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: Path | None = None
    error: str | None = None


def write_result(path: Path, run: Run | None, error: TutelageError | None = None) -> None:
    """Write the file, whole or not at all."""
    said = Result(
        run=None if run is None else run.path.absolute(), error=str(error) if error else None
    )
    write_json(path, said.model_dump(mode="json"))


def read_result(path: Path) -> Result:
    """Read the file; one that is absent says nothing.

    Raises:
        StoreError: It is damaged.
    """
    try:
        return Result.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Result()
    except (OSError, ValueError, ValidationError) as error:
        raise StoreError(f"the result can't be read: {error}", where=path) from error
