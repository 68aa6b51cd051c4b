"""MLflow's side of the mirror: finding our runs there, making them, sending what they lack."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tutelage.core.errors import TrackingError
from tutelage.core.files import digest_file, digest_json
from tutelage.tracking.curves import Mark, Point, beyond, mark_after
from tutelage.tracking.environment import require, setup_mlflow_tracking_env, shown
from tutelage.tracking.names import ID, NAME, PARENT, SENT
from tutelage.tracking.nodes import Node

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun
    from mlflow.tracking import MlflowClient

METRICS_A_BATCH, OTHERS_A_BATCH, PAGE = 900, 90, 1000
_FEW: Final = 25
"""So many runs are looked up one by one; of more, all are read in pages."""
KIND: Final = {"mlflow.experimentKind": "custom_model_development"}
"""Tag of an experiment, by which MLflow's page shows what suits training."""
_REFUSALS: Final = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


@dataclass(frozen=True, slots=True)
class Sent:
    """How far a node has been sent, as the tag `SENT` of its MLflow run says.

    Args:
        mark: How far its curves have.
        scores: Digest of its final scores.
        files: Name to digest of each file that was copied.
    """

    mark: Mark = Mark()
    scores: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

    def as_tag(self) -> str:
        """The tag's value."""
        mark = [self.mark.step, self.mark.points]
        return json.dumps({"mark": mark, "scores": self.scores, "files": dict(self.files)})

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> Sent:
        """Read the tag; one that somebody has changed says nothing, so that all is sent again."""
        try:
            said = json.loads(tags[SENT])
            return cls(Mark(*map(int, said["mark"])), str(said["scores"]), dict(said["files"]))
        except (KeyError, TypeError, ValueError):
            return cls()


@dataclass(frozen=True, slots=True)
class There:
    """What MLflow has of a node."""

    run_id: str
    status: str
    ended: int | None
    deleted: bool
    tags: Mapping[str, str]
    parameters: Mapping[str, str]

    @classmethod
    def of(cls, run: MlflowRun) -> There:
        """Read it from MLflow's own."""
        info, data = run.info, run.data
        deleted = info.lifecycle_stage == "deleted"
        return cls(info.run_id, info.status, info.end_time or None, deleted, data.tags, data.params)


class RefusedError(TrackingError):
    """MLflow does not take what one node sends; it takes others."""


@contextmanager
def mlflow_errors(uri: str) -> Iterator[None]:
    """Turn what MLflow raises into an error for people.

    Raises:
        TrackingError: It can't be reached.
        RefusedError: It refuses what is sent.
    """
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        hint = "What is missing there is sent the next time; `tutelage ui` shows all runs."
        refused = getattr(error, "error_code", None) in _REFUSALS
        kind = RefusedError if refused else TrackingError
        raise kind(said[0][:300], where=f"MLflow at {shown(uri)}", hint=hint) from error


def create_training_mlflow_run(
    client: MlflowClient,
    experiment: str,
    name: str,
    tags: Mapping[str, str],
    started: int,
    parent: str | None = None,
) -> There:
    """Make a run in MLflow and return it.

    Args:
        client: MLflow's client.
        experiment: The id of the experiment.
        name: What people see.
        tags: Its tags.
        started: When it began, in milliseconds.
        parent: MLflow's id of the run that it is shown beneath.
    """
    above = {} if parent is None else {PARENT: parent}
    run = client.create_run(experiment, start_time=started, tags={**tags, **above}, run_name=name)
    return There.of(run)


class Tracker:
    """An MLflow store that nodes are sent to.

    Args:
        uri: Its address.
        files: Where files that are copied go, if MLflow's store is a database.
    """

    def __init__(self, uri: str, files: str) -> None:
        require("mlflow")
        for name, value in setup_mlflow_tracking_env(uri).items():
            if name != "MLFLOW_TRACKING_URI":
                os.environ.setdefault(name, value)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow.tracking import MlflowClient  # it reads the environment when it is imported

        self.uri, self._files = uri, files
        with mlflow_errors(uri):
            self.client = MlflowClient(uri)
        self._experiments: dict[str, str] = {}
        self.written = 0
        """Requests so far that changed something."""

    def find(self, experiment: str, ids: Collection[str]) -> dict[str, There]:
        """Return what there is of some nodes of an experiment, by node."""
        few = [f"tags.`{ID}` = '{node}'" for node in ids]
        with mlflow_errors(self.uri):
            where = self._experiment(experiment)
            asked = few if len(ids) <= _FEW else [f"tags.`{ID}` LIKE '%'"]
            found = [run for words in asked for run in self._search(where, words)]
        wanted = set(ids)
        there: dict[str, There] = {}
        for run in found:
            node = run.data.tags[ID]
            if node in wanted:
                there.setdefault(node, There.of(run))
        return there

    def running(self, experiment: str) -> list[There]:
        """Our runs that MLflow takes for running."""
        with mlflow_errors(self.uri):
            where = self._experiment(experiment)
            found = self._search(where, f"tags.`{ID}` LIKE '%' AND attributes.status = 'RUNNING'")
        return [There.of(run) for run in found]

    def _search(self, experiment: str, words: str) -> list[MlflowRun]:
        from mlflow.entities import ViewType

        found: list[MlflowRun] = []
        token: str | None = None
        while True:
            page = self.client.search_runs(
                [experiment],
                words,
                ViewType.ALL,
                PAGE,
                ["attributes.start_time ASC", "attributes.run_id ASC"],
                token,
            )
            found += page
            token = page.token
            if not token:
                return found

    def _experiment(self, name: str) -> str:
        """The id of an experiment, which is made if there is none."""
        from mlflow.exceptions import MlflowException

        if name not in self._experiments:
            local = not self.uri.startswith("http")
            found = self.client.get_experiment_by_name(name)
            if found is None:
                try:
                    made = self.client.create_experiment(name, self._files if local else None, KIND)
                except MlflowException as error:
                    if error.error_code != "RESOURCE_ALREADY_EXISTS":
                        raise
                    found = self.client.get_experiment_by_name(name)  # made by another just now
                else:
                    self._experiments[name] = made
                    return str(made)
            if found.lifecycle_stage == "deleted":
                hint = "Restore it in MLflow, or choose another by tracking.experiment."
                said = f"the experiment {name!r} was deleted"
                raise TrackingError(said, where=f"MLflow at {shown(self.uri)}", hint=hint)
            self._experiments[name] = found.experiment_id
        return self._experiments[name]

    def send(self, node: Node, there: There | None, parent: str | None) -> There:
        """Make MLflow's run of a node equal to it, sending only what it lacks.

        Args:
            node: What it is to show.
            there: What there is of it; null for nothing.
            parent: MLflow's id of the run above it.
        """
        with mlflow_errors(self.uri):
            return self._send(node, there, parent)

    def _send(self, node: Node, there: There | None, parent: str | None) -> There:
        experiment = self._experiment(node.experiment)
        own = {**node.tags, ID: node.id}
        if there is None:
            self.written += 1
            there = create_training_mlflow_run(
                self.client, experiment, node.name, own, node.started, parent
            )
        if there.deleted:
            return there
        own |= {NAME: node.name} | ({} if parent is None else {PARENT: parent})
        self._send_words(node, there, own)
        sent = self._send_metrics(node, there, Sent.of(there.tags))
        self._copy_files(node, there, sent)
        self.settle(there, node.status, node.ended)
        return there

    def _send_words(self, node: Node, there: There, tags: Mapping[str, str]) -> None:
        """Send tags that differ, and parameters that are missing: MLflow lets none be changed."""
        from mlflow.entities import Param, RunTag

        words = [RunTag(k, v) for k, v in tags.items() if there.tags.get(k) != v]
        settings = [Param(k, v) for k, v in node.parameters.items() if k not in there.parameters]
        while words or settings:
            self.written += 1
            self.client.log_batch(
                there.run_id, params=settings[:OTHERS_A_BATCH], tags=words[:OTHERS_A_BATCH]
            )
            words, settings = words[OTHERS_A_BATCH:], settings[OTHERS_A_BATCH:]

    def _send_metrics(self, node: Node, there: There, sent: Sent) -> Sent:
        """Send points and scores that are missing, each batch with the mark of how far it goes."""
        points = beyond(node.curves, sent.mark)
        for i in range(0, len(points), METRICS_A_BATCH):
            batch = points[i : i + METRICS_A_BATCH]
            sent = Sent(mark_after(sent.mark, batch), sent.scores, sent.files)
            self._log(there, batch, sent)
        digest = digest_json(sorted(node.scores.items()))
        if not node.scores or digest == sent.scores:
            return sent
        moment = node.started if node.ended is None else node.ended
        step = node.curves[-1].step if node.curves else 0
        scores = [Point(name, value, moment, step) for name, value in node.scores.items()]
        sent = Sent(sent.mark, digest, sent.files)
        for i in range(0, len(scores), METRICS_A_BATCH):
            last = i + METRICS_A_BATCH >= len(scores)
            self._log(there, scores[i : i + METRICS_A_BATCH], sent if last else None)
        return sent

    def _log(self, there: There, points: Sequence[Point], sent: Sent | None) -> None:
        from mlflow.entities import Metric, RunTag

        metrics = [Metric(p.name, p.value, p.moment, p.step) for p in points]
        tags = [] if sent is None else [RunTag(SENT, sent.as_tag())]
        self.written += 1
        self.client.log_batch(there.run_id, metrics=metrics, tags=tags)

    def _copy_files(self, node: Node, there: There, sent: Sent) -> None:
        copied = dict(sent.files)
        for name, path in node.files.items():
            digest = digest_file(path)
            if copied.get(name) != digest:
                self.written += 1
                self.client.log_artifact(there.run_id, str(path))
                copied[name] = digest
                now = Sent(sent.mark, sent.scores, copied)
                self.client.set_tag(there.run_id, SENT, now.as_tag())

    def settle(self, there: There, status: str, ended: int | None) -> None:
        """Set how a run stands, and when it ended, where MLflow says otherwise."""
        lasts = status in ("RUNNING", "SCHEDULED")
        if there.status == status and (lasts or ended in (None, there.ended)):
            return
        self.written += 1
        with mlflow_errors(self.uri):
            if lasts:
                self.client.update_run(there.run_id, status)
            else:
                self.client.set_terminated(there.run_id, status, ended)
