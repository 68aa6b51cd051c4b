"""`ExportCard`: the JSON beside an exported model: where it comes from, and how true it is."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tutelage.core.errors import CheckpointError

CARD_SUFFIX = ".json"
"""What the card's name adds to the name of the file that it is about."""


class Part(BaseModel):
    """A part of the card."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=()
    )


class Parity(Part):
    """How far the exported file is from the trained model.

    Attributes:
        samples: Real samples on which both were compared.
        largest_difference: Of their results, as a share of a sample's largest where that is beyond
            ±1.
        tolerance: What was allowed; null where a metric is held to instead (`Kept`).
        runtime: Name and version of what ran the file.
    """

    samples: int
    largest_difference: float
    tolerance: float | None
    runtime: str


class Kept(Part):
    """How much of a metric is left in the exported file, on the samples of its check.

    Attributes:
        metric: Its name.
        trained: The trained model's.
        exported: The file's.
        allowed_drop: How much it may lose.
    """

    metric: str
    trained: float
    exported: float
    allowed_drop: float


class Latency(Part):
    """Milliseconds that a call for one sample takes, on one thread of the machine that exported.

    Attributes:
        engine: ``torch``, the trained model; or the format's name, the file.
        shape: Of the sample's first input.
        calls: How many were timed.
    """

    engine: str
    shape: tuple[int, ...]
    calls: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


class TensorForm(Part):
    """Type and shape of an input or output; an axis of no fixed length has a name."""

    dtype: str
    shape: tuple[int | str, ...]


class ExportCard(Part):
    """What is known of an exported file.

    Attributes:
        run: Id of the run.
        task: Name of the task.
        model: Name of the model in the task's registry.
        opset: Version of ONNX's operators; null of another format.
        exporter: Name and version of what wrote the graph.
        parameters: Numbers that training set in the model.
        bytes: The file's size.
        digest: The file's xxh3-128 digest.
        preprocessing_digest: Digest of the state that turns raw data into inputs, on the run's
            ``model.json``.
        facts: What a user of the file has to know, such as the alarm threshold.
        kept: How good it still is, where a metric says so.
        latency: What a call costs, beside the trained model.
    """

    schema_version: Literal[1] = 1
    format: Literal["onnx", "onnx-int8", "hf"] = "onnx"
    run: str
    task: str
    model: str
    opset: int | None
    exporter: str
    parameters: int
    bytes: int
    digest: str
    inputs: dict[str, TensorForm]
    outputs: dict[str, TensorForm]
    preprocessing_digest: str
    facts: dict[str, float | int | str]
    parity: Parity
    kept: Kept | None = None
    latency: tuple[Latency, ...] = ()


def card_path(file: Path) -> Path:
    """Return where the card of an exported file lies."""
    return file.with_name(file.name + CARD_SUFFIX)


def read_export_card(file: Path) -> ExportCard:
    """Read the card beside an exported file.

    Raises:
        CheckpointError: It is missing, or no such card.
    """
    path = card_path(file)
    try:
        return ExportCard.model_validate_json(path.read_bytes())
    except OSError as error:
        hint = "Copy the card with the file, or export again."
        raise CheckpointError("the exported file's card is missing", where=path, hint=hint) from (
            error
        )
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "content"
        hint = "Export the run again."
        raise CheckpointError(f"its {place} is wrong: {first['msg']}", where=path, hint=hint) from (
            error
        )
