"""What a search may vary: choices, numbers and whole numbers, evenly or by orders of magnitude."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, Protocol, Self

from pydantic import Field, JsonValue, model_validator

from tutelage.core.sections import Section

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Label = str | int | float | bool | None
"""A value as Optuna keeps it: a choice that is a list or a mapping is its JSON text."""
_STEPS_TOLERANCE = 1e-8
MOST_STEPS: Final = 100_000
"""Values of a range with steps that are listed one by one."""
Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
"""A whole number that a float holds exactly, as Optuna keeps it."""


class Suggests(Protocol):
    """What a parameter is drawn from: one of Optuna's trials."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Draw a number."""

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Draw a whole number."""

    def suggest_categorical(self, name: str, choices: Sequence[Label]) -> Label:
        """Draw one of a few."""


class _Parameter(Section):
    """What every kind of parameter has."""

    when: Mapping[str, JsonValue] = {}
    """Parameters or settings, and the value (or list of values) under which this one is varied."""


class Choice(_Parameter):
    """One of a few values."""

    type: Literal["choice"] = "choice"
    """One of the listed values."""
    values: tuple[JsonValue, ...] = Field(min_length=1)
    """The values: anything that the setting may be, lists too."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        labels = self.labels
        twice = [label for i, label in enumerate(labels) if label in labels[:i]]
        if twice:
            raise ValueError(f"the value {twice[0]!r} stands twice")
        return self

    @property
    def labels(self) -> tuple[Label, ...]:
        """The values as Optuna keeps them."""
        return tuple(as_label(value) for value in self.values)

    @property
    def probes(self) -> tuple[JsonValue, ...]:
        """Values that a configuration has to accept."""
        return self.values

    @property
    def grid(self) -> Sequence[Label] | None:
        """Every value."""
        return self.labels

    def distribution(self) -> BaseDistribution:
        """Optuna's description of it."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.labels)

    def suggest(self, trial: Suggests, name: str) -> Label:
        """Draw a value from a trial of Optuna's."""
        return trial.suggest_categorical(name, self.labels)

    def at(self, place: float) -> Label:
        """Return the value at a place of [0, 1): all values alike."""
        return self.labels[min(int(place * len(self.labels)), len(self.labels) - 1)]

    def value(self, label: Label) -> JsonValue:
        """Return the value that a label stands for."""
        return self.values[self.labels.index(label)]


class _Number(_Parameter, ABC):
    """What every range of numbers has."""

    logarithmic: ClassVar[bool] = False
    """Whether it is orders of magnitude that are alike."""
    min: float
    """The smallest value."""
    max: float
    """The largest value."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _order(self.min, self.max)
        if self.logarithmic:
            _positive(self.min)
        return self

    @property
    def probes(self) -> tuple[JsonValue, ...]:
        """Values that a configuration has to accept."""
        return self.min, self.max

    @abstractmethod
    def at(self, place: float) -> float:
        """Return the value at a place of [0, 1]."""

    def value(self, label: Label) -> JsonValue:
        """Return the value that a label stands for: itself."""
        return label


class Uniform(_Number):
    """A number, all alike."""

    type: Literal["uniform"] = "uniform"
    """A number between the bounds."""
    step: float | None = Field(default=None, gt=0)
    """Distance of neighbours, counted from the smallest; null for any number."""

    @model_validator(mode="after")
    def _stepped(self) -> Self:
        if self.step is not None:
            _whole_steps(self.min, self.max, self.step)
        return self

    @property
    def grid(self) -> Sequence[Label] | None:
        """Every value, where there are steps, and not too many."""
        if self.step is None or (steps := _steps(self.min, self.max, self.step)) > MOST_STEPS:
            return None
        return tuple(self._nth(i) for i in range(steps + 1))

    def distribution(self) -> BaseDistribution:
        """Optuna's description of it."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.min, self.max, step=self.step)

    def suggest(self, trial: Suggests, name: str) -> Label:
        """Draw a value from a trial of Optuna's."""
        return trial.suggest_float(name, self.min, self.max, step=self.step)

    def at(self, place: float) -> float:
        """Return the value at a place of [0, 1]."""
        if self.step is None:
            return self.min + place * (self.max - self.min)
        return self._nth(_bin(place, _steps(self.min, self.max, self.step) + 1))

    def place(self, label: float) -> float:
        """Return the place of [0, 1] whose value this is."""
        return (label - self.min) / (self.max - self.min)

    def _nth(self, i: int) -> float:
        assert self.step is not None
        return float(f"{self.min + i * self.step:.12g}")


class LogUniform(_Number):
    """A number, all orders of magnitude alike."""

    logarithmic: ClassVar[bool] = True
    type: Literal["loguniform"] = "loguniform"
    """A number between the bounds, as likely between 1 and 10 as between 10 and 100."""
    min: float
    """The smallest value itself, not its logarithm."""
    max: float
    """The largest value itself, not its logarithm."""

    @property
    def grid(self) -> Sequence[Label] | None:
        """There is no end of values."""
        return None

    def distribution(self) -> BaseDistribution:
        """Optuna's description of it."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.min, self.max, log=True)

    def suggest(self, trial: Suggests, name: str) -> Label:
        """Draw a value from a trial of Optuna's."""
        return trial.suggest_float(name, self.min, self.max, log=True)

    def at(self, place: float) -> float:
        """Return the value at a place of [0, 1]."""
        value = math.exp(math.log(self.min) + place * math.log(self.max / self.min))
        return min(max(value, self.min), self.max)

    def place(self, label: float) -> float:
        """Return the place of [0, 1] whose value this is."""
        return math.log(label / self.min) / math.log(self.max / self.min)


class Int(_Number):
    """A whole number, all alike."""

    type: Literal["int"] = "int"
    """A whole number between the bounds."""
    min: Whole
    """The smallest value."""
    max: Whole
    """The largest value."""
    step: int = Field(default=1, ge=1)
    """Distance of neighbours, counted from the smallest."""

    @model_validator(mode="after")
    def _stepped(self) -> Self:
        _whole_steps(self.min, self.max, self.step)
        return self

    @property
    def grid(self) -> Sequence[Label] | None:
        """Every value."""
        return range(self.min, self.max + 1, self.step)

    def distribution(self) -> BaseDistribution:
        """Optuna's description of it."""
        from optuna.distributions import IntDistribution

        return IntDistribution(self.min, self.max, step=self.step)

    def suggest(self, trial: Suggests, name: str) -> Label:
        """Draw a value from a trial of Optuna's."""
        return trial.suggest_int(name, self.min, self.max, step=self.step)

    def at(self, place: float) -> int:
        """Return the value at a place of [0, 1]."""
        return self.min + self.step * _bin(place, (self.max - self.min) // self.step + 1)

    def place(self, label: float) -> float:
        """Return the place of [0, 1] in the middle of those whose value this is."""
        return (label - self.min + self.step / 2) / (self.max - self.min + self.step)


class IntLogUniform(_Number):
    """A whole number, all orders of magnitude alike."""

    logarithmic: ClassVar[bool] = True
    type: Literal["intloguniform"] = "intloguniform"
    """A whole number between the bounds, small ones as likely as large ones together."""
    min: Whole
    """The smallest value itself, not its logarithm."""
    max: Whole
    """The largest value itself, not its logarithm."""

    @property
    def grid(self) -> Sequence[Label] | None:
        """Every value."""
        return range(self.min, self.max + 1)

    def distribution(self) -> BaseDistribution:
        """Optuna's description of it."""
        from optuna.distributions import IntDistribution

        return IntDistribution(self.min, self.max, log=True)

    def suggest(self, trial: Suggests, name: str) -> Label:
        """Draw a value from a trial of Optuna's."""
        return trial.suggest_int(name, self.min, self.max, log=True)

    def at(self, place: float) -> int:
        """Return the value at a place of [0, 1]."""
        low, high = math.log(self.min - 0.5), math.log(self.max + 0.5)
        return min(max(round(math.exp(low + place * (high - low))), self.min), self.max)

    def place(self, label: float) -> float:
        """Return the place of [0, 1] whose value this is."""
        low, high = math.log(self.min - 0.5), math.log(self.max + 0.5)
        return (math.log(label) - low) / (high - low)


Number = Uniform | LogUniform | Int | IntLogUniform
Parameter = Choice | Number


KINDS: Final[Mapping[str, type[Choice] | type[Number]]] = {
    "choice": Choice,
    "uniform": Uniform,
    "loguniform": LogUniform,
    "int": Int,
    "intloguniform": IntLogUniform,
}
"""Every kind of parameter by the word for it."""


def as_label(value: JsonValue) -> Label:
    """Return a value as Optuna keeps it."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def holds(parameter: Parameter, value: JsonValue) -> bool:
    """Whether a parameter may have a value."""
    if isinstance(parameter, Choice):
        return value in parameter.values
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if isinstance(parameter.grid, range):
        return float(value).is_integer() and int(value) in parameter.grid
    if parameter.grid is not None:
        return value in parameter.grid
    return parameter.min <= value <= parameter.max


def _order(low: float, high: float) -> None:
    if low >= high:
        raise ValueError(f"min={low:g} must be less than max={high:g}")


def _positive(low: float) -> None:
    if low <= 0:
        raise ValueError(
            f"min={low:g} is not above 0: bounds are the numbers themselves, as 0.0001, not their "
            "logarithms"
        )


def _steps(low: float, high: float, step: float) -> int:
    return round((high - low) / step)


def _whole_steps(low: float, high: float, step: float) -> None:
    count = (high - low) / step
    if abs(count - round(count)) > _STEPS_TOLERANCE or round(count) < 1:
        last = low + math.floor(count) * step
        raise ValueError(
            f"max={high:g} is no whole number of steps of {step:g} above min={low:g}; "
            f"steps end at {last:g} and {last + step:g}"
        )


def _bin(place: float, bins: int) -> int:
    """The bin, of like ones that make up [0, 1], that holds a place."""
    return min(int(place * bins), bins - 1)
