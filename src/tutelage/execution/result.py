"""What a training process says in a file: its run as soon as there is one, at the end its error."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from tutelage.core import errors
from tutelage.core.documents import read_json
from tutelage.core.errors import RunFailedError, StoreError, TutelageError
from tutelage.core.files import write_json
from tutelage.core.redaction import redact
from tutelage.core.store import Run


class Result(BaseModel):
    """The content of the file.

    Attributes:
        run: Path of the run's folder, once there is one.
        origin: Whether the run is `new`, `reused` or `resumed`.
        kind: Class of the error that ended it, such as ``DataError``.
        cause: Class of what lay behind that error, such as ``OutOfMemoryError``.
        problem: What is wrong, in one sentence.
        where: What the problem is about.
        hint: What to do next.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    run: Path | None = None
    origin: Literal["new", "reused", "resumed"] | None = None
    kind: str | None = None
    cause: str | None = None
    problem: str | None = None
    where: str | None = None
    hint: str | None = None

    @property
    def error(self) -> str | None:
        """The message of what went wrong; none if nothing did."""
        return None if self.kind is None else str(self.raisable())

    def made(self, run: Run, origin: str) -> Self:
        """Return the same with the run that there is now."""
        return self.model_copy(update={"run": run.path.absolute(), "origin": origin})

    def failed(self, error: TutelageError) -> Self:
        """Return the same with the error that ended it."""
        cause = error.__cause__
        told = {
            "run": self.run if self.run is not None and self.run.exists() else None,
            "kind": type(error).__name__,
            "cause": None if cause is None else type(cause).__name__,
            "problem": redact(error.problem),
            "where": error.where,
            "hint": error.hint,
        }
        return self.model_copy(update=told)

    def raisable(self) -> TutelageError:
        """Return the error as the training process raised it."""
        kind = getattr(errors, str(self.kind), RunFailedError)
        error: TutelageError = TutelageError.__new__(kind)
        problem = self.problem or "the run failed"
        TutelageError.__init__(error, problem, where=self.where, hint=self.hint)
        return error


def write_result(path: Path, result: Result) -> None:
    """Write the file, whole or not at all."""
    write_json(path, result.model_dump(mode="json"))


def read_result(path: Path) -> Result:
    """Read the file; one that is absent says nothing.

    Raises:
        StoreError: It is damaged.
    """
    try:
        return Result.model_validate(read_json(path))
    except FileNotFoundError:
        return Result()
    except (OSError, ValueError, ValidationError) as error:
        raise StoreError(f"the result can't be read: {error}", where=path) from error
