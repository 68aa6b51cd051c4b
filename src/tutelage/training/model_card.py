"""`ModelCard`: the JSON beside a file of weights, checked and migrated when it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from torch import Tensor

from tutelage.core.config import RunConfig
from tutelage.core.documents import read_object
from tutelage.core.errors import CheckpointError
from tutelage.task import Task

SCHEMA_VERSION = 3
_CARD = "model.json"


class TensorInfo(BaseModel):
    """Shape and dtype of a tensor."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, tensor: Tensor) -> TensorInfo:
        """Return those of ``tensor``."""
        return cls(shape=tuple(tensor.shape), dtype=str(tensor.dtype).removeprefix("torch."))

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


class ModelCard(BaseModel):
    """All that is needed to build a model again and to trust its weights.

    Attributes:
        task: Name of the task.
        model: Name of the model in the task's registry; never a dotted path.
        config: Arguments that build it.
        preprocessing: State that turns raw data into its inputs.
        preprocessing_version: The task's version of that state when the card was written.
        digest: The weights file's xxh3-128 digest.
        bytes: The weights file's size.
        tensors: Shape and dtype of each entry of the state dict.
        tied: Name of the stored tensor for each one that shares its memory.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=()
    )

    schema_version: Literal[3] = 3
    task: str
    model: str
    config: dict[str, JsonValue]
    preprocessing: dict[str, JsonValue]
    preprocessing_version: int = Field(ge=1)
    digest: str
    bytes: int
    tensors: dict[str, TensorInfo]
    tied: dict[str, str]


def _from_1(card: dict[str, object]) -> dict[str, object]:
    """Version 1 had no preprocessing and called the digest ``sha``."""
    rest = {key: value for key, value in card.items() if key != "sha"}
    return rest | {"schema_version": 2, "digest": card.get("sha"), "preprocessing": {}}


def _from_2(card: dict[str, object]) -> dict[str, object]:
    """Version 2 did not count the versions of its preprocessing."""
    return card | {"schema_version": 3, "preprocessing_version": 1}


MIGRATIONS: dict[int, Callable[[dict[str, object]], dict[str, object]]] = {1: _from_1, 2: _from_2}


def read_card(folder: Path) -> ModelCard:
    """Read ``model.json`` of a folder, from whichever older version.

    Raises:
        CheckpointError: It is missing, no card, or of a newer version.
    """
    path = folder / _CARD
    try:
        card = read_object(path)
    except FileNotFoundError as error:
        hint = "Weights without a card can't be trusted: copy the whole folder."
        raise CheckpointError("the model's card is missing", where=path, hint=hint) from error
    except OSError as error:
        raise CheckpointError(f"can't be read: {error.strerror}", where=path) from error
    except ValueError as error:
        raise CheckpointError(f"is no model card: {error}", where=path) from error
    version = card.get("schema_version")
    if type(version) is not int or version < 1:
        raise CheckpointError("is no model card: it has no schema_version", where=path)
    if version > SCHEMA_VERSION:
        problem = f"is a card of version {version}; this Tutelage reads up to {SCHEMA_VERSION}"
        raise CheckpointError(problem, where=path, hint="Read it with a newer Tutelage.")
    while version < SCHEMA_VERSION:
        card = MIGRATIONS[version](card)
        version += 1
    try:
        return ModelCard.model_validate(card)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"its {place} is wrong: {first['msg']}", where=path) from error


def read_preprocessing(folder: Path, task: Task[RunConfig]) -> Mapping[str, object]:
    """Return the preprocessing of a folder's card, in the version that ``task`` has now.

    Raises:
        CheckpointError: The card can't be read, its preprocessing is of a newer version, or of an
            older one that means something else now.
    """
    card, path = read_card(folder), folder / _CARD
    version, current = card.preprocessing_version, task.preprocessing_version
    if version > current:
        problem = f"holds preprocessing of version {version}; this {card.task!r} reads up to"
        hint = "Use the newer Tutelage, or the newer plug-in, that trained it."
        raise CheckpointError(f"{problem} {current}", where=path, hint=hint)
    migrated: Mapping[str, object] = card.preprocessing
    for step in task.preprocessing_migrations[version - 1 :]:
        if isinstance(step, str):
            problem = f"holds preprocessing of version {version}, which can't be used: {step}"
            hint = "Use the release that trained it, or train again."
            raise CheckpointError(problem, where=path, hint=hint)
        migrated = step(migrated)
    return migrated
