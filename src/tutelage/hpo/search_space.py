"""`SearchSpace`: the settings that a study varies, and the point of it that each trial is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Final

from pydantic import JsonValue

from tutelage.core.config import C
from tutelage.core.errors import ConfigError, suggest
from tutelage.core.files import Json
from tutelage.core.overrides import build_config, merge, nest
from tutelage.hpo.parameters import Choice, Label, Parameter, Suggests
from tutelage.task import Task

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Params = Mapping[str, Label]
"""A trial's parameters as Optuna keeps them: the path of a setting to its label."""
MISSING: Final = object()
"""What `look_up` finds where there is nothing."""
_LARGEST_GRID: Final = 100_000


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """Settings of a run that a study varies.

    Args:
        name: What it is called: a file or a name.
        parameters: The path of each setting, such as ``training.learning_rate``, and how it is
            varied; one that another's `when` names comes before that.
        summary: What is searched, in one sentence.
        first: The settings as they are without a study, where the space has them: they are tried
            first, so that the others have something to beat.
        epochs: The most epochs of a trial where nobody says how many, since a search takes many
            trials; null leaves it at those of a run.
    """

    name: str
    parameters: Mapping[str, Parameter]
    summary: str = ""
    first: Params = field(default_factory=dict)
    epochs: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", _ordered(self.parameters, self.name))

    def active(self, name: str, params: Params) -> bool:
        """Whether a parameter is varied, given the parameters before it."""
        for other, wanted in self.parameters[name].when.items():
            if other not in params:
                return False
            value = self.parameters[other].value(params[other])
            if value not in (wanted if isinstance(wanted, list) else [wanted]):
                return False
        return True

    def suggest(self, trial: Suggests) -> dict[str, Label]:
        """Draw the parameters of one of Optuna's trials, in order."""
        params: dict[str, Label] = {}
        for name, parameter in self.parameters.items():
            if self.active(name, params):
                params[name] = parameter.suggest(trial, name)
        return params

    def at(self, places: Iterable[float]) -> dict[str, Label]:
        """Return the parameters at a point of the unit cube, which has a place for each."""
        params: dict[str, Label] = {}
        for place, (name, parameter) in zip(places, self.parameters.items(), strict=True):
            if self.active(name, params):
                params[name] = parameter.at(place)
        return params

    def grid(self) -> Iterator[dict[str, Label]]:
        """Every combination once, the last parameter moving fastest.

        Raises:
            ConfigError: A parameter has no end of values.
        """
        axes: list[Sequence[Label]] = []
        for name, parameter in self.parameters.items():
            values = parameter.grid
            if values is None:
                hint = "Give it a step, or write it as a choice of values."
                problem = f"{name} has no end of values, so that there is no grid"
                raise ConfigError(problem, where=self.name, hint=hint)
            axes.append(values)
        if (size := math.prod(map(len, axes))) > _LARGEST_GRID:
            hint = f"Take fewer values; a grid may have {_LARGEST_GRID}."
            raise ConfigError(f"the grid has {size} combinations", where=self.name, hint=hint)
        seen = set()
        for point in product(*axes):
            params: dict[str, Label] = {}
            for (name, _), label in zip(self.parameters.items(), point, strict=True):
                if self.active(name, params):
                    params[name] = label
            key = tuple(params.items())
            if key not in seen:
                seen.add(key)
                yield params

    def distributions(self, params: Params) -> dict[str, BaseDistribution]:
        """Optuna's description of each of a trial's parameters."""
        return {name: self.parameters[name].distribution() for name in params}

    def values(self, params: Params) -> dict[str, JsonValue]:
        """Return the values that the runs of a trial have, by the paths of their settings."""
        return {name: self.parameters[name].value(label) for name, label in params.items()}

    def settings(self, params: Params) -> Json:
        """Return the values as nested settings."""
        settings: Json = {}
        for name, value in sorted(self.values(params).items(), key=lambda item: item[0].count(".")):
            settings = merge(settings, nest(tuple(name.split(".")), value))
        return settings

    def config(self, task: Task[C], base: C, params: Params) -> C:
        """Return the configuration of a trial's runs: ``base`` with the trial's values in it.

        Raises:
            ConfigError: The task refuses the combination, or takes a value for another.
        """
        layers = [base.model_dump(mode="json"), self.settings(params)]
        config = build_config(type(base), layers)
        task.check(config)
        require_reached(self.values(params), config.model_dump(mode="json"), self.name)
        return config

    def as_json(self) -> dict[str, JsonValue]:
        """Return what `parse_space` reads."""
        parameters: dict[str, JsonValue] = {
            name: parameter.model_dump(mode="json") for name, parameter in self.parameters.items()
        }
        return {"summary": self.summary, "epochs": self.epochs, "parameters": parameters}


def require_reached(values: Mapping[str, JsonValue], config: Json, where: str) -> None:
    """Refuse a configuration that does not hold exactly the values that were drawn for it.

    Args:
        values: The path of each setting to its value.
        config: A whole configuration, such as a run's ``config.json``.
        where: What it is, for the message.

    Raises:
        ConfigError: A value is missing or another.
    """
    for name, value in values.items():
        found = look_up(config, name)
        if found is MISSING:
            raise ConfigError(f"{name}={value!r} did not reach the run: it has none", where=where)
        if found != value:
            problem = f"{name}={value!r} did not reach the run: it has {found!r}"
            raise ConfigError(problem, where=where)


def look_up(config: object, path: str) -> object:
    """Return what stands in nested settings at a path such as ``model.name``, or `MISSING`."""
    for key in path.split("."):
        if not isinstance(config, Mapping) or key not in config:
            return MISSING
        config = config[key]
    return config


def _ordered(parameters: Mapping[str, Parameter], where: str) -> dict[str, Parameter]:
    """Put parameters that others hang on before those, else as they stand."""
    ordered: dict[str, Parameter] = {}

    def put(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            loop = " -> ".join((*above[above.index(name) :], name))
            raise ConfigError(f"conditions go round in a circle: {loop}", where=where)
        for other, wanted in parameters[name].when.items():
            if wanted == []:
                hint = "Name one or more, or leave the condition out."
                raise ConfigError(f"{name} hangs on no value of {other}", where=where, hint=hint)
            if other in parameters:
                _refuse_never(name, other, parameters[other], wanted, where)
                put(other, (*above, name))
        ordered.setdefault(name, parameters[name])

    for name in parameters:
        put(name, ())
    return ordered


def _refuse_never(
    name: str, other: str, parameter: Parameter, wanted: JsonValue, where: str
) -> None:
    """Refuse a condition that nothing meets."""
    if not isinstance(parameter, Choice):
        hint = "Write that one as a choice of values."
        raise ConfigError(f"{name} hangs on {other}, a range of numbers", where=where, hint=hint)
    for value in wanted if isinstance(wanted, list) else [wanted]:
        if value not in parameter.values:
            hint = suggest(str(value), map(str, parameter.values))
            problem = f"{name} hangs on {other}={value!r}, which {other} never is"
            raise ConfigError(problem, where=where, hint=hint)
