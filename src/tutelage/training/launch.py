"""The one door: a `RunConfig` goes in, a finished `Run` comes out, new, reused or resumed.

Torch is imported when there is work to do: a refusal and a reused run do not wait for it.
"""

from __future__ import annotations

import logging
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tutelage.core.config import RunConfig
from tutelage.core.errors import (
    ConfigError,
    RequestError,
    RunFailedError,
    StoreError,
    TutelageError,
)
from tutelage.core.fingerprint import fingerprint
from tutelage.core.folds import split_digest
from tutelage.core.records import INITIAL_WEIGHTS, Fingerprints, Parent, now
from tutelage.core.store import LOG, Run, RunStore
from tutelage.task import Task
from tutelage.training.fold_checks import check_folds
from tutelage.training.start_ranks import start_ranks

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger(__name__)
Origin = Literal["new", "reused", "resumed"]
Parents = Mapping[str, tuple[Run, ...]]
"""The runs that a run is made from, by their role."""


@dataclass(frozen=True, slots=True)
class Launched:
    """A finished run, and whether it was made now, found, or finished now."""

    run: Run
    origin: Origin


Made = Callable[[Run, Origin], None]
"""What is told of a run as soon as there is one."""


@dataclass(frozen=True, slots=True)
class _Request:
    """A request that was checked: what it is made from, what it would compute, and what there is.

    Args:
        config: The configuration, in which runs are named by their ids.
        parents: The runs that it is made from.
        prints: Its fingerprints.
        data: The digest of its data.
        same: The runs of the same fingerprint, oldest first.
    """

    config: RunConfig
    parents: Parents
    prints: Fingerprints
    data: str
    same: list[Run]

    @property
    def finished(self) -> Run | None:
        """The newest finished run that answers it."""
        found = [run for run in self.same if run.record.status == "finished"]
        return found[-1] if found else None


def find_finished(task: Task[RunConfig], config: RunConfig, store: RunStore) -> Run | None:
    """Return the finished run that `launch` would return without any work, if there is one.

    Raises:
        RequestError: The request is wrong.
    """
    return _check(task, config, store).finished


def launch(
    task: Task[RunConfig],
    config: RunConfig,
    store: RunStore,
    console: Console | None = None,
    made: Made = lambda run, origin: None,
) -> Launched:
    """Return a finished run of ``config``, as `run.policy` says.

    Args:
        task: The domain.
        config: The whole run.
        store: Where runs live.
        console: Where to draw progress, when that is a terminal.
        made: Told of the run before any work is done on it.

    Raises:
        RequestError: The request is wrong, or another process works on the run to go on with;
            no run is left, unless it has checkpoints to go on from.
        RunFailedError: The run failed; its record says why.
    """
    request = _check(task, config, store)
    config, parents = request.config, request.parents
    if (finished := request.finished) is not None:
        made(finished, "reused")
        return Launched(finished, "reused")
    check_device(config)
    if (unfinished := _unfinished(config, request.same)) is not None:
        made(unfinished, "resumed")
        return Launched(_work(task, config, store, unfinished, parents, console), "resumed")
    lineage = tuple(
        Parent(run=run.id, role=role, same_data=_same_data(run, config, request.data))
        for role, runs in parents.items()
        for run in runs
    )
    run = store.create(config, request.prints, lineage)
    made(run, "new")
    try:
        return Launched(_work(task, config, store, run, parents, console), "new")
    except RequestError:
        if not run.checkpoints.exists():
            store.remove(run)
        raise


def _check(task: Task[RunConfig], config: RunConfig, store: RunStore) -> _Request:
    """Check a request and find what it depends on.

    Raises:
        RequestError: It is wrong.
    """
    task.check(config)
    check_folds(task, config)
    parents = _named(config, store)
    config = _by_id(config, parents)
    data = task.data_fingerprint(config)
    if config.run.policy == "continue_from_previous":
        parents[INITIAL_WEIGHTS] = (_first_weights(config, data, parents, store),)
    weights, split = task.weights_fingerprint(config), split_digest(config.data)
    prints = fingerprint(config, data, _fingerprints(parents), weights, split)
    same = store.with_fingerprint(prints.run) if config.run.policy != "force_new" else []
    return _Request(config, parents, prints, data, same)


def _named(config: RunConfig, store: RunStore) -> dict[str, tuple[Run, ...]]:
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


def _fingerprints(parents: Parents) -> list[str]:
    return [run.record.fingerprints.run for runs in parents.values() for run in runs]


def _by_id(config: RunConfig, parents: Mapping[str, Sequence[Run]]) -> RunConfig:
    """Return the configuration with the runs that it names named by their ids."""
    ids = {
        field: [run.id for run in parents[role]]
        for field, role in config.roles.items()
        if role in parents
    }
    return config.with_runs(ids)


def _same_data(run: Run, config: RunConfig, data: str) -> bool:
    """Whether a run was trained on the data of digest ``data`` under the same settings of them."""
    mine, theirs = config.data.model_dump(mode="json"), run.settings.get("data")
    if not isinstance(theirs, dict):
        return False
    alike = _but_places(mine) == _but_places(theirs)
    prints = run.record.fingerprints
    return alike and (prints.data, prints.split) == (data, split_digest(config.data))


def _but_places(data: Mapping[str, object]) -> dict[str, object]:
    """Settings of data that are set, but for where these lie."""
    places = ("root", "split_file")
    return {key: value for key, value in data.items() if value is not None and key not in places}


def _unfinished(config: RunConfig, same: list[Run]) -> Run | None:
    """Return the run to go on with, if the policy asks for that; else say that there is one.

    Raises:
        StoreError: A live process works on it.
    """
    held = [run for run in same if run.is_held()]
    idle = [run for run in same if run not in held]
    if config.run.policy in ("resume_if_incomplete", "continue_from_previous"):
        if held:
            hint = "Wait for it, or start another run with run.policy=force_new."
            raise StoreError(f"another process works on this run {held[-1].id}", hint=hint)
        return idle[-1] if idle else None
    if config.run.policy == "reuse_if_exists" and idle:
        log.warning(
            "run %s with the same settings is unfinished; this one starts over, "
            "run.policy=resume_if_incomplete goes on with it",
            idle[-1].id,
        )
    return None


def how_to_go_on(run: Run) -> str:
    """Say which request goes on with a run that isn't finished."""
    continued = any(parent.role == INITIAL_WEIGHTS for parent in run.record.parents)
    policy = "continue_from_previous" if continued else "resume_if_incomplete"
    return f"the same settings with run.policy={policy}"


def check_device(config: RunConfig) -> None:
    """Refuse, before any work, what this machine has no device for."""
    training = config.training
    if training.devices > 1 and config.mode.name == "fusion":
        hint = "Leave training.devices out: what it trains is small."
        raise ConfigError("a fusion trains in one process", where="training.devices", hint=hint)
    if training.accelerator == "cpu" and training.precision != "16":
        return
    if training.accelerator == "auto" and training.precision != "16" and training.devices == 1:
        return
    from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator

    gpu = CUDAAccelerator.is_available() or MPSAccelerator.is_available()
    if training.accelerator == "gpu" and not gpu:
        hint = "Leave it out, or see `tutelage doctor` for what this machine has."
        raise ConfigError("training.accelerator=gpu, but no GPU is found", hint=hint)
    if training.precision == "16" and not (gpu and training.accelerator != "cpu"):
        hint = "Use training.precision=bf16, or 32."
        raise ConfigError("training.precision=16 needs a GPU", hint=hint)
    there = CUDAAccelerator.auto_device_count()
    if training.accelerator != "cpu" and 0 < there < training.devices:
        hint = f"Use training.devices={there}, or training.accelerator=cpu."
        raise ConfigError(f"{training.devices} devices, but {there} GPUs are found", hint=hint)


def _first_weights(config: RunConfig, data: str, named: Parents, store: RunStore) -> Run:
    """The run whose weights training begins with: the newest finished one, in general.

    Where an unfinished run of the same settings began with another's weights, it is that other, so
    that the unfinished one is found and goes on.
    """
    split = split_digest(config.data)
    alone = fingerprint(config, data, _fingerprints(named), split=split)
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


def _work(
    task: Task[RunConfig],
    config: RunConfig,
    store: RunStore,
    run: Run,
    parents: Parents,
    console: Console | None,
) -> Run:
    """Run the mode's trainer in the run's folder and leave a true record, however it ends."""
    with run.hold(), log_to(run, logging.INFO):
        try:
            run.update(status="running")
            if config.training.devices == 1:
                train_here(task, config, store, run, parents, console)
            else:
                start_ranks(run, config.training.devices)
        except (KeyboardInterrupt, SystemExit):
            run.update(status="interrupted", finished=now())
            hint = f"Go on with it: {how_to_go_on(run)}."
            raise RunFailedError("interrupted", where=run.id, hint=hint) from None
        except TutelageError as error:
            run.update(status="failed", finished=now(), error=str(error))
            raise
        except Exception as error:
            log.error("%s", traceback.format_exc())
            said = f"{type(error).__name__}: {error}"
            run.update(status="failed", finished=now(), error=said)
            hint = f"The whole story is in {run.path / LOG}."
            raise RunFailedError(said, where=run.id, hint=hint) from error
    return run


def train_here(
    task: Task[RunConfig],
    config: RunConfig,
    store: RunStore,
    run: Run,
    parents: Parents,
    console: Console | None,
) -> None:
    """Import what trains, which takes seconds in which a person may interrupt, and train.

    Args:
        task: The domain.
        config: The whole run.
        store: Where it lies.
        run: Its folder, held by this process or by the one that started it.
        parents: The runs that it is made from.
        console: Where to draw progress, when that is a terminal.
    """
    from tutelage.training.allocator import keep_freed_memory
    from tutelage.training.modes import MODES

    for name in ("lightning.pytorch", "lightning.fabric"):  # they say INFO when imported
        logging.getLogger(name).setLevel(logging.WARNING)
    keep_freed_memory()
    cache = store.cache(task.name)
    trainer = task.trainer(config) or MODES.get(config.mode.name)
    trainer(task, config, run, cache, parents, console).train()


@contextmanager
def log_to(run: Run, level: int) -> Iterator[None]:
    """Send what tutelage and its libraries log or warn of, from ``level`` on, to the run's log."""
    handler = logging.FileHandler(run.path / LOG, encoding="utf-8")
    handler.setLevel(level)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    names = ("tutelage", "lightning", "py.warnings")
    loggers = [logging.getLogger(name) for name in names]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The `srun` command")  # we start the ranks
        logging.captureWarnings(True)
        for logger in loggers:
            logger.addHandler(handler)
        logging.getLogger("tutelage").setLevel(logging.INFO)
        try:
            yield
        finally:
            logging.captureWarnings(False)
            for logger in loggers:
                logger.removeHandler(handler)
            handler.close()
