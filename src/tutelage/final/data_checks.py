"""Whether the data, folds and first weights that a run read are still what they were, by file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tutelage.core.config import RunConfig
from tutelage.core.errors import TutelageError
from tutelage.core.files import digested_files
from tutelage.core.fingerprint import source_digest
from tutelage.core.inputs import Inputs, read_inputs
from tutelage.core.migrations import migrate_config
from tutelage.core.overrides import build_config
from tutelage.core.records import RunRecord
from tutelage.core.store import CONFIG, INPUTS, Run
from tutelage.final.checks import Check, Digests, State
from tutelage.task import Task, load_task


@dataclass(frozen=True, slots=True)
class Present:
    """The data that a configuration names, as they are now.

    Args:
        fingerprint: Null where they can't be read.
        digests: The files that were read for it.
        problem: Why they can't be read.
    """

    fingerprint: str | None
    digests: dict[Path, str]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class DataChecks:
    """Checks of the data of runs; runs on the same data share the work."""

    digests: Digests
    seen: dict[str, Present] = field(default_factory=dict)

    def of(self, run: Run, record: RunRecord) -> Iterator[Check]:
        """Check what a run read."""
        try:
            task = load_task(record.task)
            config = read_config(run, task)
            inputs = read_inputs(run.path / INPUTS)
        except TutelageError as error:
            yield Check(run.id, "data", str(run.path), "unchecked", str(error))
            return
        present = self._present(task, config)
        if inputs is None:
            yield _whole(run, record, config, present)
            return
        yield from self._files(run, config, inputs)
        yield from _added(run, record, config, inputs, present)

    def _present(self, task: Task[RunConfig], config: RunConfig) -> Present:
        key = f"{config.task} {config.data.model_dump_json()}"
        if key not in self.seen:
            self.seen[key] = read_data(task, config)
            self.digests.known.update(self.seen[key].digests)
        return self.seen[key]

    def _files(self, run: Run, config: RunConfig, inputs: Inputs) -> Iterator[Check]:
        root = config.data.root
        if root is not None and inputs.data and not root.exists():
            said = f"{len(inputs.data)} files are no longer there"
            yield Check(run.id, "data", str(root), "unchecked", said)
            inputs = inputs.model_copy(update={"data": {}})
        ours = {path for path, _ in Inputs(elsewhere=inputs.elsewhere).places(None)}
        for path, then in inputs.places(root):
            what = "data"
            if path in ours:
                what = "split" if path == config.data.split_file else "input"
            state, said = self.digests.compare(path, then)
            if state == "changed" and path in ours and not path.exists():
                state, said = "unchecked", "is no longer there"
            yield Check(run.id, what, str(path), state, said)


def read_config(run: Run, task: Task[RunConfig]) -> RunConfig:
    """Return a run's configuration.

    Raises:
        TutelageError: Its file is damaged, or holds wrong values.
    """
    path = run.path / CONFIG
    return build_config(task.config_type, [migrate_config(run.settings, path)], where=path)


def read_data(task: Task[RunConfig], config: RunConfig) -> Present:
    """Digest the data that a configuration names."""
    with digested_files() as digests:
        try:
            return Present(task.data_fingerprint(config), digests)
        except TutelageError as error:
            return Present(None, digests, str(error))


def _where(config: RunConfig) -> str:
    return str(config.data.root or f"the data that ship with {config.task}")


def _whole(run: Run, record: RunRecord, config: RunConfig, present: Present) -> Check:
    """Of a run that does not list its files: whether the data are the same as a whole."""
    state, said = _compare(record, config, present)
    return Check(run.id, "data", _where(config), state, said)


def _compare(record: RunRecord, config: RunConfig, present: Present) -> tuple[State, str]:
    if present.fingerprint is None:
        return "unchecked", present.problem
    if present.fingerprint == record.fingerprints.data:
        return "same", ""
    if record.fingerprints.source != source_digest(type(config).__module__):
        return "unchecked", "differ, but so does the source that reads or makes them"
    return "changed", "differ from those of the record"


def _added(
    run: Run, record: RunRecord, config: RunConfig, inputs: Inputs, present: Present
) -> Iterator[Check]:
    """Files that were not there when the run was made, or another reading of the same files."""
    then = dict(inputs.places(config.data.root))
    now = {path.absolute(): digest for path, digest in present.digests.items()}
    if present.fingerprint is None:
        if config.data.root is None or config.data.root.exists():
            yield Check(run.id, "data", _where(config), "changed", present.problem)
        return
    if present.fingerprint == record.fingerprints.data:
        if not inputs.data and not inputs.package:
            yield Check(run.id, "data", _where(config), "same")
        return
    added = [path for path in now if path not in then]
    for path in added:
        yield Check(run.id, "data", str(path), "changed", "was added after the run")
    files_are_same = then.items() >= now.items()
    if not added and files_are_same:
        yield _whole(run, record, config, present)
