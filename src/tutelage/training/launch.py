"""The one door: a `RunConfig` goes in, a finished `Run` comes out, new, reused or resumed.

Torch is imported when there is work to do: a refusal and a reused run do not wait for it.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from tutelage.core.config import RunConfig
from tutelage.core.errors import (
    ConfigError,
    HeldError,
    RequestError,
    RunFailedError,
    RunStoppedError,
    StorageError,
    TutelageError,
)
from tutelage.core.files import digest_file, digested_files
from tutelage.core.fingerprint import fingerprint
from tutelage.core.folds import split_digest
from tutelage.core.inputs import Inputs
from tutelage.core.logs import BEGUN, JsonLines, marked, number_of
from tutelage.core.records import INITIAL_WEIGHTS, Fingerprints, Parent, RunStatus, now
from tutelage.core.store import LOG, Run, RunStore
from tutelage.task import Task
from tutelage.tracking.following import followed
from tutelage.training.fold_checks import check_folds
from tutelage.training.parents import (
    Parents,
    beginning_with,
    first_weights,
    how_to_go_on,
    named_parents,
    parent_fingerprints,
    same_data,
    with_ids,
)
from tutelage.training.start_ranks import start_ranks

if TYPE_CHECKING:
    from rich.console import Console

log: Final = logging.getLogger(__name__)
Origin = Literal["new", "reused", "resumed"]


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
        weights: The digest of weights from elsewhere that its model begins with, if it does.
        inputs: The files that it reads.
        same: The runs of the same fingerprint, oldest first.
    """

    config: RunConfig
    parents: Parents
    prints: Fingerprints
    data: str
    weights: str | None
    inputs: Inputs
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
        Parent(run=run.id, role=role, same_data=same_data(run, config, request.data))
        for role, runs in parents.items()
        for run in runs
    )
    run = store.create(config, request.prints, lineage, request.inputs, request.weights)
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
    parents = named_parents(config, store)
    config = with_ids(config, parents)
    with digested_files() as digests:
        data = task.data_fingerprint(config)
        weights = task.weights_fingerprint(config)
        if (split := split_digest(config.data)) is not None and config.data.split_file:
            digest_file(config.data.split_file)
    if (first := first_weights(config, data, parents, store)) is not None:
        parents[INITIAL_WEIGHTS] = (first,)
        config = beginning_with(config, first)
    prints = fingerprint(config, data, parent_fingerprints(parents), weights, split)
    same = store.with_fingerprint(prints.run) if config.run.policy != "force_new" else []
    inputs = Inputs.of(digests, config.data.root)
    return _Request(config, parents, prints, data, weights, inputs, same)


def _unfinished(config: RunConfig, same: list[Run]) -> Run | None:
    """Return the run to go on with, if the policy asks for that; else say that there is one.

    Raises:
        HeldError: A live process works on it.
    """
    held = [run for run in same if run.is_held()]
    idle = [run for run in same if run not in held]
    if config.run.policy in ("resume_if_incomplete", "continue_from_previous"):
        if held:
            hint = "Wait for it, or start another run with run.policy=force_new."
            raise HeldError(f"another process works on this run {held[-1].id}", hint=hint)
        return idle[-1] if idle else None
    if config.run.policy == "reuse_if_exists" and idle:
        log.warning(
            "run %s with the same settings is unfinished; this one starts over, "
            "run.policy=resume_if_incomplete goes on with it",
            idle[-1].id,
        )
    return None


def check_device(config: RunConfig) -> None:
    """Refuse, before any work, what this machine has no device for."""
    training = config.training
    _check_processes(training.devices)
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


def _check_processes(devices: int) -> None:
    """Refuse more processes than cores, of which two may always be tried."""
    most = max(2, os.cpu_count() or 1)
    if devices > most:
        hint = f"Use training.devices={most} or fewer: each is a process of its own."
        raise ConfigError(f"{devices} devices, but this machine has {most} cores", hint=hint)


def _work(
    task: Task[RunConfig],
    config: RunConfig,
    store: RunStore,
    run: Run,
    parents: Parents,
    console: Console | None,
) -> Run:
    """Run the mode's trainer in the run's folder and leave a true record, however it ends."""
    mirror = followed(run.path, store.home, config.tracking, config.run.tags.get("study"))
    with run.hold(), log_to(run, number_of(config.run.log_level)), mirror:
        log.info("%s in process %d", run.record.status, os.getpid(), extra=marked(BEGUN))
        try:
            run.update(status="running")
            if config.training.devices == 1:
                train_here(task, config, store, run, parents, console)
            else:
                start_ranks(run, config.training.devices, parents)
        except (KeyboardInterrupt, SystemExit):
            hint = f"Go on with it: {how_to_go_on(run)}."
            interrupted = RunFailedError("interrupted", where=run.id, hint=hint)
            _close(run, "interrupted", interrupted, None)
            raise interrupted from None
        except RunStoppedError as stopped:
            _close(run, "interrupted", stopped, stopped.problem)
            stopped.hint = f"Go on with it: {how_to_go_on(run)}."
            raise
        except TutelageError as error:
            _close(run, "failed", error, str(error))
            if isinstance(error, StorageError) and any(run.checkpoints.glob("step-*")):
                error.hint = f"{error.hint or ''} Then go on: {how_to_go_on(run)}.".lstrip()
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            _close(run, "failed", error, said)
            hint = f"The whole story is in {run.path / LOG}; `tutelage doctor {run.id}` helps."
            raise RunFailedError(said, where=run.id, hint=hint) from error
    return run


def _close(run: Run, status: RunStatus, error: Exception, said: str | None) -> None:
    """Log how a run ended, and write it into its record, if there is room for that."""
    event = type(error).__name__
    words = status if said is None else f"{status}: {said}"
    wrong = said is not None and not isinstance(error, RunStoppedError)
    log.error("%s", words, exc_info=error if wrong else None, extra=marked(event))
    try:
        run.update(status=status, finished=now(), error=said)
    except StorageError as full:
        log.error("the record still says that it is running: %s", full, extra=marked(event))


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
    handler = JsonLines(run.path / LOG, run.id, level)
    names = ("tutelage", "lightning", "py.warnings")
    loggers = [logging.getLogger(name) for name in names]
    former = loggers[0].level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The `srun` command")  # we start the ranks
        logging.captureWarnings(True)
        for logger in loggers:
            logger.addHandler(handler)
        loggers[0].setLevel(min(level, logging.INFO))
        try:
            yield
        finally:
            logging.captureWarnings(False)
            loggers[0].setLevel(former)
            for logger in loggers:
                logger.removeHandler(handler)
            handler.close()
