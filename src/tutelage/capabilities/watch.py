"""`Watch`: a model at work on a stream, and the capability of a task to open one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Self

from tutelage.core.config import C
from tutelage.core.files import Json

if TYPE_CHECKING:
    from tutelage.training.contracts import TaskModule


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model says of one sample of a stream.

    Args:
        alarm: Whether it raises an alarm.
        text: A line for people.
        values: The same for programs, as JSON values.
    """

    alarm: bool
    text: str
    values: Json


class Watch(ABC):
    """A model at work on a stream; a context manager that lets go of the stream at the end."""

    @abstractmethod
    def __enter__(self) -> Self:
        """Return itself."""

    @abstractmethod
    def __exit__(self, *_: object) -> None:
        """Close the stream."""

    @abstractmethod
    def verdicts(self) -> Iterator[Verdict]:
        """Yield verdicts in order of time, until the stream ends or `stop` is called.

        Raises:
            DataError: A file turned out to be damaged.
            RunFailedError: The stream went away.
        """

    @abstractmethod
    def stop(self) -> None:
        """Let `verdicts` end soon; safe in a signal handler."""

    @abstractmethod
    def summary(self) -> Json:
        """Counts of everything so far, as JSON values."""


class SupportsWatch(ABC, Generic[C]):
    """A task whose models can judge a stream while it goes on."""

    def require_stream(self, source: str, engine: str) -> None:
        """Refuse at once what `watch` would refuse after a model is loaded; nothing by default.

        Args:
            source: As `watch` takes it.
            engine: As `watch` takes it.

        Raises:
            RequestError: There is no such stream or engine.
        """

    @abstractmethod
    def watch(
        self,
        config: C,
        module: TaskModule,
        preprocessing: Json,
        source: str,
        cache: Path,
        *,
        engine: str = "torch",
        batch: int | None = None,
        every: bool = False,
    ) -> Watch:
        """Open a stream to be judged.

        Args:
            config: The run's configuration.
            module: Its trained model.
            preprocessing: What it learned from its training data.
            source: Names the stream; what names there are is for the task to say.
            cache: Folder for things that can be made again.
            engine: What runs the model: ``torch``, or ``onnx`` for onnxruntime.
            batch: Samples judged together; null for what suits the stream.
            every: Whether samples without an alarm are told too.

        Raises:
            ConfigError: The model or the settings are not for streams.
            UnknownNameError: There is no such engine.
            RequestError: What the engine takes is not installed.
            DataError: The stream can't be opened.
        """
