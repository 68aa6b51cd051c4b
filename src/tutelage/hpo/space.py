"""`SearchSpace`: what a study varies, read from YAML, JSON or Python, checked before any work."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import JsonValue, ValidationError

from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, UnknownNameError, suggest
from tutelage.core.explain import explain
from tutelage.core.overrides import build_config, merge, nest, parse_override, read_settings
from tutelage.hpo.parameters import KINDS, Choice, Label, Parameter, Suggests, as_label
from tutelage.task import Json, Task

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

C = TypeVar("C", bound=RunConfig)
Params = Mapping[str, Label]
"""A trial's parameters as Optuna keeps them: the path of a setting to its label."""
_KEYS: Final = ("summary", "parameters")
_NOT_SEARCHED: Final = ("task", "schema_version", "run", "execution", "tracking")
_FOLDS: Final = ("data.fold", "data.split_file", "training.seed", "training.stop_epoch")
_DRAWS: Final = 64
"""Points of the space that a check builds configurations from, beside each parameter's ends."""
_LARGEST_GRID: Final = 100_000
_MISSING: Final = object()
NAMED: Final = ("model", "mode")


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """Settings of a run that a study varies.

    Args:
        name: What it is called: a file or a name.
        parameters: The path of each setting, such as ``training.learning_rate``, and how it is
            varied; one that another's `when` names comes before that.
        summary: What is searched, in one sentence.
    """

    name: str
    parameters: Mapping[str, Parameter]
    summary: str = ""

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
        axes: list[tuple[Label, ...]] = []
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
        return {"summary": self.summary, "parameters": parameters}


def parse_space(name: str, content: Mapping[str, object]) -> SearchSpace:
    """Return the space that the content of a file describes.

    Raises:
        ConfigError: A key or a kind of parameter is unknown, or bounds can't be.
    """
    for key in content:
        if key not in _KEYS:
            hint = suggest(str(key), _KEYS) + " Parameters stand beneath 'parameters:'."
            raise ConfigError(f"unknown key {key!r} in a search space", where=name, hint=hint)
    parameters, summary = content.get("parameters"), content.get("summary", "")
    if not isinstance(parameters, Mapping) or not parameters:
        hint = "Write 'parameters:' and, beneath it, for instance "
        hint += "'training.learning_rate: {type: loguniform, min: 1e-4, max: 1e-2}'."
        raise ConfigError("nothing is varied", where=name, hint=hint)
    if not isinstance(summary, str):
        hint = "Write a sentence, or leave it out."
        raise ConfigError(f"summary={summary!r} is no text", where=name, hint=hint)
    read = {str(key): _parameter(str(key), parameters[key], name) for key in parameters}
    return SearchSpace(name, read, summary)


def _parameter(name: str, content: object, where: str) -> Parameter:
    """Read how one parameter is varied.

    Raises:
        ConfigError: Its kind or a key is unknown, a key is missing, or its values can't be.
    """
    if not isinstance(content, Mapping):
        hint = "Write, for instance, '{type: choice, values: [1, 2]}'."
        raise ConfigError(f"{name}: {content!r} says nothing of its values", where=where, hint=hint)
    kind = str(content.get("type", "choice" if "values" in content else None))
    if kind not in KINDS:
        problem = f"{name} is of no kind" if kind == "None" else f"{name}: unknown type {kind!r}"
        raise ConfigError(problem, where=where, hint=suggest(kind, KINDS))
    try:
        return KINDS[kind].model_validate(content)
    except ValidationError as error:
        wrong = explain(error, KINDS[kind])
        said = wrong.problem.removeprefix("the settings: ")
        problem = f"{name}: {said}".replace("unknown setting", "unknown key")
        raise ConfigError(problem, where=where, hint=wrong.hint) from None


def read_space(name: str, task: Task[C]) -> SearchSpace:
    """Return a space by the path of its file, or by its name where it ships with the task.

    Raises:
        ConfigError: The file is absent, unreadable or no space.
        UnknownNameError: The task has no space of this name.
    """
    if Path(name).suffix in (".yaml", ".yml", ".json"):
        return parse_space(name, read_settings(Path(name)))
    known = dict(task.spaces())
    if name not in known:
        raise UnknownNameError("search space", name, known, where=task.name)
    return parse_space(f"{task.name}/{name}", known[name])


def check_space(
    space: SearchSpace, task: Task[C], base: C, overrides: Iterable[str] = ()
) -> SearchSpace:
    """Return the part of a space that applies to runs like ``base``, checked.

    Conditions on settings that are not varied are decided by ``base``; a parameter whose condition
    can't be met is left out. Every choice and both ends of each range, and some points of the whole
    space, are built into configurations.

    Args:
        space: The space as it was read.
        task: The task.
        base: The configuration that trials differ from.
        overrides: Settings of ``base`` that were typed, which no parameter may vary.

    Raises:
        ConfigError: A parameter is unknown, varies what was typed, or has a value that the task
            refuses; or none is left.
    """
    _refuse_fixed(space, overrides)
    bound = _bind(space, base)
    for name, parameter in bound.parameters.items():
        for value in parameter.probes:
            _accept(bound, task, base, _with(bound, name, parameter, value), f"{name}={value!r}")
    draw = random.Random(0)
    for _ in range(_DRAWS):
        params = bound.at([draw.random() for _ in bound.parameters])
        said = ", ".join(f"{key}={value!r}" for key, value in params.items())
        _accept(bound, task, base, params, said)
    return bound


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
        found = _look_up(config, name)
        if found is _MISSING:
            raise ConfigError(f"{name}={value!r} did not reach the run: it has none", where=where)
        if found != value:
            problem = f"{name}={value!r} did not reach the run: it has {found!r}"
            raise ConfigError(problem, where=where)


def _ordered(parameters: Mapping[str, Parameter], where: str) -> dict[str, Parameter]:
    """Put parameters that others hang on before those, else as they stand."""
    ordered: dict[str, Parameter] = {}

    def put(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            loop = " -> ".join((*above[above.index(name) :], name))
            raise ConfigError(f"conditions go round in a circle: {loop}", where=where)
        for other, wanted in parameters[name].when.items():
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


def _refuse_fixed(space: SearchSpace, overrides: Iterable[str]) -> None:
    """Refuse parameters that a study sets itself, or that were typed."""
    typed = [".".join(parse_override(text)[0]) for text in overrides]
    typed = [f"{name}.name" if name in (*NAMED, "execution") else name for name in typed]
    for name in space.parameters:
        if name.split(".")[0] in _NOT_SEARCHED or name in _FOLDS:
            problem = f"{name} can't be searched: it says where or on what a trial runs"
            raise ConfigError(problem, where=space.name, hint="Take it out of the space.")
        for other in typed:
            if f"{name}.".startswith(f"{other}.") or f"{other}.".startswith(f"{name}."):
                hint = "Leave one of the two out."
                problem = f"{name} is searched, but {other} was set"
                raise ConfigError(problem, where=space.name, hint=hint)


def _bind(space: SearchSpace, base: RunConfig) -> SearchSpace:
    """Decide the conditions on what is not varied; leave out what they exclude."""
    dumped = base.model_dump(mode="json")
    kept: dict[str, Parameter] = {}
    for name, parameter in space.parameters.items():
        varied = {key: want for key, want in parameter.when.items() if key in space.parameters}
        fixed = {key: want for key, want in parameter.when.items() if key not in varied}
        if all(_meets(dumped, key, want, space, name) for key, want in fixed.items()) and all(
            key in kept for key in varied
        ):
            kept[name] = parameter.model_copy(update={"when": varied})
    if not kept:
        hint = f"Its parameters are of other settings: {', '.join(space.parameters)}."
        problem = f"nothing of it is of model={base.model.name} and mode={base.mode.name}"
        raise ConfigError(problem, where=space.name, hint=hint)
    return replace(space, parameters=kept)


def _meets(
    config: Json, setting: str, wanted: JsonValue, space: SearchSpace, parameter: str
) -> bool:
    found = _look_up(config, setting)
    if found is _MISSING:
        section = setting.split(".")[0]
        known = {name for name in _paths(config) if name.split(".")[0] == section}
        known |= set(space.parameters)
        problem = f"{parameter} hangs on {setting!r}, which is no parameter and no setting"
        raise ConfigError(problem, where=space.name, hint=suggest(setting, known))
    return found in (wanted if isinstance(wanted, list) else [wanted])


def _with(space: SearchSpace, name: str, parameter: Parameter, value: JsonValue) -> Params:
    """Parameters in which one has a value, and those that it hangs on what it takes."""
    params: dict[str, Label] = {}
    for other, wanted in parameter.when.items():
        first = wanted[0] if isinstance(wanted, list) else wanted
        params |= _with(space, other, space.parameters[other], first)
    return params | {name: as_label(value)}


def _accept(space: SearchSpace, task: Task[C], base: C, params: Params, said: str) -> None:
    try:
        space.config(task, base, params)
    except ConfigError as error:
        problem = f"{said} is refused: {error.problem}"
        raise ConfigError(problem, where=space.name, hint=error.hint) from None


def _look_up(config: object, path: str) -> object:
    for key in path.split("."):
        if not isinstance(config, Mapping) or key not in config:
            return _MISSING
        config = config[key]
    return config


def _paths(config: Json, above: str = "") -> Iterator[str]:
    """The path of every setting."""
    for key, value in config.items():
        path = f"{above}{key}"
        if isinstance(value, Mapping):
            yield from _paths(value, f"{path}.")
        else:
            yield path
