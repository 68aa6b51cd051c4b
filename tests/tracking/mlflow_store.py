"""A real MLflow store in a SQLite file, looked at by MLflow's own client."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tutelage.tracking.client import Tracker
from tutelage.tracking.names import ID, PARENT

EXPERIMENT = "tutelage/tiny"


def address(home: Path) -> str:
    return f"sqlite:///{home / 'mlflow.db'}"


class Store:
    """What MLflow has of the tiny task's runs.

    Args:
        home: Where runs live, and MLflow's database.
        blank: An empty database of MLflow's, which takes seconds to make; null for none.
    """

    def __init__(self, home: Path, blank: Path | None = None) -> None:
        self.home = home
        if blank is not None:
            home.mkdir(exist_ok=True)
            shutil.copy(blank, home / "mlflow.db")
        self.client = Tracker(address(home), "").client

    def runs(self) -> dict[str, Any]:
        """MLflow's runs by our id; two of one id are an error."""
        from mlflow.entities import ViewType

        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return {}
        found = self.client.search_runs([experiment.experiment_id], "", ViewType.ALL)
        by_id = {run.data.tags[ID]: run for run in found}
        assert len(by_id) == len(found)
        return by_id

    def only(self) -> Any:
        """The one run."""
        (run,) = self.runs().values()
        return run

    def parent(self, run: Any) -> str | None:
        """Our id of the run above a run."""
        above = run.data.tags.get(PARENT)
        return None if above is None else self.client.get_run(above).data.tags[ID]

    def history(self, run: Any, metric: str) -> list[tuple[int, float]]:
        """The steps and values of a metric, in order."""
        points = self.client.get_metric_history(run.info.run_id, metric)
        return sorted((point.step, point.value) for point in points)

    def points(self) -> int:
        """All values of all runs."""
        runs = self.runs().values()
        return sum(len(self.history(run, name)) for run in runs for name in run.data.metrics)

    def statuses(self, runs: Sequence[str]) -> list[str]:
        there = self.runs()
        return [there[run].info.status for run in runs]
