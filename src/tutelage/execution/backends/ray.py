"""`execution=ray`: each job in a task of a Ray cluster, or of a Ray of its own on this machine."""

from __future__ import annotations

import json
import logging
import os
import warnings
from typing import TYPE_CHECKING

import ray
from ray.exceptions import RayError

from tutelage.core.errors import RequestError
from tutelage.core.execution import RayExecution
from tutelage.execution.cluster import Cluster, ClusterBackend, Phase, Submission
from tutelage.execution.environment import setup_training_environment
from tutelage.execution.node import JobFolder, run_order

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.remote_function import RemoteFunction


class RayCluster(Cluster):
    """A connection to Ray.

    Args:
        settings: Where the cluster is, and what a job reserves.

    Raises:
        RequestError: The cluster can't be reached, or has no node that holds what a job reserves.
    """

    def __init__(self, settings: RayExecution) -> None:
        self._ours = not ray.is_initialized()
        if self._ours:
            _connect(settings)
        self._run: RemoteFunction = ray.remote(
            num_cpus=settings.cpus, num_gpus=settings.gpus, max_retries=0
        )(run_order)
        self._given = _given(settings)
        try:
            _check_room(settings)
        except RequestError:
            self.close()
            raise

    def submit(self, folder: JobFolder) -> Submission:
        """Hand a job over as a task; texts alone pass."""
        return _Task(self._run.remote(str(folder.path), self._given), folder)

    def close(self) -> None:
        """Leave the cluster, and end it if it was started here."""
        if self._ours:
            ray.shutdown()


class _Task(Submission):
    def __init__(self, reference: ObjectRef, folder: JobFolder) -> None:
        self._reference, self._folder = reference, folder

    def phase(self) -> Phase:
        ready, _ = ray.wait([self._reference], timeout=0)
        if ready:
            return "gone"
        return "running" if self._folder.begun else "waiting"

    def cancel(self) -> None:
        ray.cancel(self._reference, force=True)


def _connect(settings: RayExecution) -> None:
    """Join the cluster of an address, or start one here: no dashboard, and no usage statistics."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    here = settings.address is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray about its own future defaults
        try:
            if here:
                ray.init(
                    num_cpus=settings.local_cpus,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    configure_logging=False,
                )
            else:
                ray.init(settings.address, log_to_driver=False, logging_level=logging.ERROR)
        except (RayError, ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            said = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            where = "execution.address" if not here else "execution=ray"
            hint = "See that it runs: ray status. Leave the address out for a Ray of this machine."
            raise RequestError(f"Ray can't be reached: {said}", where=where, hint=hint) from error


def _check_room(settings: RayExecution) -> None:
    """Refuse what no node could ever hold: Ray would wait for one for ever."""
    has = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(
        one.get("CPU", 0) >= settings.cpus and one.get("GPU", 0) >= settings.gpus for one in has
    ):
        return
    best = max((one.get("CPU", 0), one.get("GPU", 0)) for one in has) if has else (0, 0)
    said = f"no node has {settings.cpus:g} cores and {settings.gpus:g} GPUs"
    hint = f"The largest has {best[0]:g} cores and {best[1]:g} GPUs."
    raise RequestError(said, where="execution.cpus, execution.gpus", hint=hint)


def _given(settings: RayExecution) -> str:
    """Return, in JSON, the variables of this process that were asked for by name."""
    always = setup_training_environment()
    asked = setup_training_environment(settings.environment)
    return json.dumps({name: asked[name] for name in asked if name not in always})


def open_backend(settings: RayExecution) -> ClusterBackend:
    """Return the place.

    Raises:
        RequestError: Ray can't be reached, or has no node that could run a job.
    """
    return ClusterBackend(RayCluster(settings), settings)
