"""`mirror`: make MLflow show what the folders of runs and studies say, and send only that."""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from tutelage.core.errors import StoreError, TrackingError
from tutelage.core.files import digest_bytes, storage_errors
from tutelage.core.store import RunStore
from tutelage.tracking.client import RefusedError, Tracker
from tutelage.tracking.environment import shown, tracking_uri
from tutelage.tracking.folders import Folders, RunState
from tutelage.tracking.nodes import Node, experiment_of, place, run_node
from tutelage.tracking.studies import study_nodes

log = logging.getLogger(__name__)
_LOCK_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What one look at the folders came to.

    Args:
        sent: Runs, trials and studies that were made or brought up to date.
        running: How many of all that were looked at are running.
    """

    sent: int
    running: int


def mirror(store: RunStore, uri: str | None = None) -> Mirrored:
    """Make MLflow show every run and study of a store; what it has already is not sent again.

    Args:
        store: The runs.
        uri: MLflow's server or database; null for the environment's or the store's own
            (`tracking_uri`).

    Raises:
        TrackingError: MLflow can't be reached, or refuses what is sent; the next call goes on.
        ConfigError: It is not installed.
    """
    return Mirror(store, tracking_uri(uri, store.home)).update()


class Mirror:
    """Mirrors a store, or a part of it, as often as it is asked to, and only what has changed.

    Args:
        store: The runs.
        uri: MLflow's server or database.
        run: The one run to mirror; null for all.
        study: The one study to mirror; null for all.
    """

    def __init__(
        self, store: RunStore, uri: str, *, run: Path | None = None, study: str | None = None
    ) -> None:
        self.store, self.uri, self._run, self._study = store, uri, run, study
        self._folders = Folders(store)
        self._tracker: Tracker | None = None
        self._done: dict[str, object] = {}
        self._studies: dict[str, object] = {}
        self._runs: set[str] | None = None

    def update(self) -> Mirrored:
        """Send what has changed since the last time.

        Raises:
            TrackingError: MLflow can't be reached, or refuses what is sent.
        """
        tracker = self._open()
        with self._alone():
            return self._update(tracker)

    def _open(self) -> Tracker:
        if self._tracker is None:
            files = (self.store.home.absolute() / "mlflow-files").as_uri()
            self.store.home.mkdir(parents=True, exist_ok=True)
            self._tracker = Tracker(self.uri, files)
        return self._tracker

    def _update(self, tracker: Tracker) -> Mirrored:
        states = self._states()
        looked: dict[str, object] = {}
        work = [*self._changed_studies(states, looked), *self._changed_runs(states)]
        sent = 0
        for experiment in dict.fromkeys(step.node.experiment for step in work):
            steps = [step for step in work if step.node.experiment == experiment]
            sent += self._send(tracker, experiment, steps)
        ids = {state.run.id for state in states}
        if self._runs is None or self._runs - ids:
            self._settle_lost(tracker, {experiment_of(state) for state in states})
        self._runs = ids
        self._studies |= looked
        return Mirrored(sent, sum(state.alive for state in states))

    def _states(self) -> list[RunState]:
        """The runs that are mirrored."""
        if self._run is not None:
            state = self._folders.run(self._run)
            return [] if state is None else [state]
        states = self._folders.runs()
        if self._study is None:
            return states
        return [state for state in states if state.record.tags.get("study") == self._study]

    def _changed_studies(
        self, states: Sequence[RunState], looked: dict[str, object]
    ) -> Iterator[_Step]:
        """The studies and trials that are not what was sent of them, each before what is beneath.

        Args:
            states: The runs.
            looked: Is given, for each study that is looked into, how its files and runs are; one
                that is as it was is not.
        """
        if self._run is not None:
            return
        files = self._folders.studies()
        by_study: dict[str, list[RunState]] = {study: [] for study in files}
        for state in states:
            if (study := state.record.tags.get("study")) is not None:
                by_study.setdefault(study, []).append(state)
        for study, of_study in by_study.items():
            if self._study not in (None, study):
                continue
            file = files.get(study)
            stamp = (file and file.stamp, tuple(state.stamp for state in of_study))
            if self._studies.get(study) == stamp:
                continue
            with _leaving_out():
                nodes = study_nodes(study, of_study, file)
                yield from (_Step(node, node) for node in nodes if self._done.get(node.id) != node)
                looked[study] = stamp

    def _changed_runs(self, states: Sequence[RunState]) -> Iterator[_Step]:
        for state in states:
            if self._done.get(state.run.id) != state.stamp:
                with _leaving_out():
                    yield _Step(run_node(state), state.stamp)

    def _send(self, tracker: Tracker, experiment: str, work: Sequence[_Step]) -> int:
        """Send what some nodes of an experiment lack; return how many lacked anything."""
        sent = 0
        above = {step.node.parent for step in work if step.node.parent is not None}
        there = tracker.find(experiment, {step.node.id for step in work} | above)
        for step in work:
            node = step.node
            parent = there[node.parent].run_id if node.parent in there else None
            before = tracker.written
            try:
                there[node.id] = tracker.send(node, there.get(node.id), parent)
            except RefusedError as error:
                log.warning("%s is left out: %s", node.id, error)
            self._done[node.id] = step.mark
            sent += tracker.written > before
        return sent

    def _settle_lost(self, tracker: Tracker, experiments: Iterable[str]) -> None:
        """End what MLflow takes for running of this store's folders that are there no more."""
        home = f"{place(self.store.home)}/"
        for experiment in experiments:
            for there in tracker.running(experiment):
                path = there.tags.get("tutelage.path", "")
                if path.startswith(home) and not Path(path.partition(":")[2]).exists():
                    tracker.settle(there, "KILLED", None)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes of this store from mirroring to the same place at the same time.

        Raises:
            TrackingError: Another one does, and for long.
        """
        path = self.store.cache("tracking") / f"{digest_bytes(self.uri.encode())[:12]}.lock"
        with storage_errors(path), path.open("a") as file:
            deadline = time.monotonic() + _LOCK_SECONDS
            while not _locked(file):
                if time.monotonic() > deadline:
                    said = "another process sends to it"
                    raise TrackingError(said, where=f"MLflow at {shown(self.uri)}")
                time.sleep(_POLL_SECONDS)
            yield


@dataclass(frozen=True, slots=True)
class _Step:
    """A node to send, and by what it is known that it was."""

    node: Node
    mark: object


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _leaving_out() -> Iterator[None]:
    """Go on without what can't be read, and say so."""
    try:
        yield
    except StoreError as error:
        log.warning("left out: %s", error)
