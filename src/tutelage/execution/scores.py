"""Tell MLflow's active run, as a job service sets it, what runs scored: `python -m` this module."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from tutelage.core.errors import RunFailedError
from tutelage.core.store import Run
from tutelage.execution.result import read_result


def mean_score(results: Sequence[Path], metric: str) -> float:
    """Return the mean of a metric over the runs that result files name.

    Args:
        results: Files that ``tutelage train --result`` wrote, one for each fold.
        metric: The metric with its split, such as ``held_out/f1``.

    Raises:
        RunFailedError: A file names no run, or a run has no such score.
    """
    scores = []
    for path in results:
        folder = read_result(path).run
        if folder is None:
            raise RunFailedError("it names no run", where=path)
        found = Run(folder).metrics
        if metric not in found:
            hint = f"It has: {', '.join(sorted(found))}."
            raise RunFailedError(f"the run has no {metric!r}", where=folder.name, hint=hint)
        scores.append(found[metric])
    return math.fsum(scores) / len(scores)


def main() -> None:
    """Log the mean score under its own name to the run that the environment names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("metric")
    parser.add_argument("results", nargs="+", type=Path)
    given = parser.parse_args()
    import mlflow

    score = mean_score(given.results, given.metric)
    with mlflow.start_run():
        mlflow.log_metric(given.metric, score)


if __name__ == "__main__":
    main()
