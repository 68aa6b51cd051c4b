"""Which runs a run is made from: those that its settings name, and the one it begins with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, StoreError
from tutelage.core.fingerprint import fingerprint
from tutelage.core.folds import split_digest
from tutelage.core.records import INITIAL_WEIGHTS
from tutelage.core.store import Run, RunStore

Parents = Mapping[str, tuple[Run, ...]]
"""The runs that a run is made from, by their role."""


def named_parents(config: RunConfig, store: RunStore) -> dict[str, tuple[Run, ...]]:
    """Find the finished runs that the settings name, by their role.

    Raises:
        StoreError: There is no such run, or it isn't finished.
        ConfigError: It is a run of another task.
    """
    found: dict[str, tuple[Run, ...]] = {}
    for field, names in config.named_runs().items():
        runs = tuple(find_parent(name, field, config.task, store) for name in names)
        found[config.roles[field]] = runs
    return found


def find_parent(name: str, field: str, task: str, store: RunStore) -> Run:
    """Return the finished run that the setting ``field``, such as ``mode.guide``, names.

    Raises:
        StoreError: There is no such run, or it isn't finished.
        ConfigError: It is a run of another task.
    """
    run = store.find(name)
    where = f"{field}={run.id}"
    if run.status != "finished":
        hint = f"Finish it: {how_to_go_on(run)}."
        raise StoreError(f"this run is {run.status}", where=where, hint=hint)
    if run.record.task != task:
        said = f"this is a run of {run.record.task!r}, not of {task!r}"
        raise ConfigError(said, where=where, hint="See `tutelage runs list`.")
    return run


def parent_fingerprints(parents: Parents) -> list[str]:
    """Fingerprint of each run, in order."""
    return [run.record.fingerprints.run for runs in parents.values() for run in runs]


def with_ids(config: RunConfig, parents: Mapping[str, Sequence[Run]]) -> RunConfig:
    """Return the configuration with the runs that it names named by their ids."""
    ids = {
        field: [run.id for run in parents[role]]
        for field, role in config.roles.items()
        if role in parents
    }
    return config.with_runs(ids)


def same_data(run: Run, config: RunConfig, data: str) -> bool:
    """Whether a run was trained on the data of digest ``data`` under the same settings of them."""
    mine, theirs = config.data.model_dump(mode="json"), run.settings.get("data")
    if not isinstance(theirs, dict):
        return False
    alike = _but_places(mine) == _but_places(theirs)
    prints = run.record.fingerprints
    return alike and (prints.data, prints.split) == (data, split_digest(config.data))


def _but_places(data: Mapping[str, object]) -> dict[str, object]:
    """Settings of data that are set, but for where these lie."""
    places = ("root", "links", "split_file")
    return {key: value for key, value in data.items() if value is not None and key not in places}


def how_to_go_on(run: Run) -> str:
    """Say which request goes on with a run that isn't finished."""
    return run.how_to_go_on


def beginning_with(config: RunConfig, run: Run) -> RunConfig:
    """Return the configuration with the run named whose weights training begins with."""
    options = config.run.model_copy(update={"initial_weights": run.id})
    return config.model_copy(update={"run": options})


def first_weights(config: RunConfig, data: str, named: Parents, store: RunStore) -> Run | None:
    """The run whose weights training begins with, if it begins with any.

    Raises:
        StoreError: There is no such run, or it isn't finished.
        ConfigError: It is a run of another task.
    """
    if (name := config.run.initial_weights) is not None:
        return find_parent(name, "run.initial_weights", config.task, store)
    if config.run.policy != "continue_from_previous":
        return None
    return _newest_weights(config, data, named, store)


def _newest_weights(config: RunConfig, data: str, named: Parents, store: RunStore) -> Run:
    """The newest finished run to continue from, in general.

    Where an unfinished run of the same settings began with another's weights, it is that other, so
    that the unfinished one is found and goes on.
    """
    split = split_digest(config.data)
    alone = fingerprint(config, data, parent_fingerprints(named), split=split)
    there = store.readable()
    runs = {run.id: run for run, _ in there}
    for _, record in reversed(there):
        last = record.parents[-1] if record.parents else None
        if record.status == "finished" or last is None or last.role != INITIAL_WEIGHTS:
            continue
        others = {"run": alone.run, "parents": record.fingerprints.parents[:-1]}
        if last.run in runs and record.fingerprints.model_copy(update=others) == alone:
            return runs[last.run]
    return _previous(config, store)


def _previous(config: RunConfig, store: RunStore) -> Run:
    """The newest finished run of the same task, mode and model."""
    names = (config.task, config.mode.name, config.model.name)
    for run, record in reversed(store.readable()):
        if record.status == "finished" and (record.task, record.mode, record.model) == names:
            return run
    what = " ".join(names)
    raise StoreError(
        f"there is no finished run of {what} to continue from",
        where=store.home,
        hint="Train one first, or leave run.policy out.",
    )
