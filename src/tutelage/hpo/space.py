"""Search spaces read from files, and checked against a task before any work."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from pydantic import JsonValue, TypeAdapter, ValidationError

from tutelage.core.config import C, RunConfig
from tutelage.core.errors import ConfigError, UnknownNameError, suggest
from tutelage.core.explain import explain
from tutelage.core.files import Json
from tutelage.core.overrides import parse_override, read_settings
from tutelage.hpo.parameters import KINDS, Label, Parameter, as_label, holds
from tutelage.hpo.search_space import MISSING, Params, look_up
from tutelage.hpo.search_space import SearchSpace as SearchSpace
from tutelage.hpo.search_space import require_reached as require_reached
from tutelage.task import Task

_KEYS: Final = ("summary", "epochs", "parameters")
_NOT_SEARCHED: Final = ("task", "schema_version", "run", "execution", "tracking")
_FOLDS: Final = ("data.fold", "data.split_file", "training.seed", "training.stop_epoch")
_DRAWS: Final = 64
"""Points of the space that a check builds configurations from, beside each parameter's ends."""
NAMED: Final = ("model", "mode")


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
    epochs = content.get("epochs")
    if epochs is not None and (type(epochs) is not int or epochs < 1):
        hint = "Write a whole number from 1, or leave it out."
        raise ConfigError(f"epochs={epochs!r} is no number of epochs", where=name, hint=hint)
    read = {str(key): _parameter(str(key), parameters[key], name) for key in parameters}
    return SearchSpace(name, read, summary, epochs=epochs)


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
    can't be met is left out. Where the space has ``base`` itself, that is tried first. Every choice
    and both ends of each range, and some points of the whole space, are built into configurations.

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
    return replace(bound, first=_present(bound, base))


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


def _present(space: SearchSpace, base: RunConfig) -> dict[str, Label]:
    """The parameters that leave a configuration as it is; none where the space has not all."""
    dumped = base.model_dump(mode="json")
    params: dict[str, Label] = {}
    for name, parameter in space.parameters.items():
        if not space.active(name, params):
            continue
        value: JsonValue = _json(look_up(dumped, name))
        if not holds(parameter, value):
            return {}
        params[name] = as_label(value)
    return params


def _json(value: object) -> JsonValue:
    """A part of a configuration; null where there is none."""
    return None if value is MISSING else TypeAdapter(JsonValue).validate_python(value)


def _meets(
    config: Json, setting: str, wanted: JsonValue, space: SearchSpace, parameter: str
) -> bool:
    found = look_up(config, setting)
    if found is MISSING:
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


def _paths(config: Json, above: str = "") -> Iterator[str]:
    """The path of every setting."""
    for key, value in config.items():
        path = f"{above}{key}"
        if isinstance(value, Mapping):
            yield from _paths(value, f"{path}.")
        else:
            yield path
