"""Claim: a trial in a warm worker starts in at most 0.3 s, 20 times sooner than in a new process.

Run: python benchmarks/trial_startup.py [--json FILE] [--tasks TASK ...] [--turns N]

From a job being handed over to its training code being ready to run: all imported, its run's folder
made. That is what the run's record says in `started`, less the clock when `Backend.run` was called.
Both places take turns at the same jobs of embedded data, one at a time; each job is ended when it
is ready. *First* is the warm worker's first job, which waits for the imports. Wall-clock time:
measure on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from targets import Target, conclude
from tutelage.api import configure
from tutelage.core.execution import SubprocessExecution, WorkerExecution
from tutelage.core.files import write_json
from tutelage.core.store import Run
from tutelage.execution.backend import Backend, Job
from tutelage.execution.backends import open_backend
from tutelage.execution.result import read_result

TASKS = ("ner", "can", "neural", "multimodal")
SETTINGS = ("run.policy=force_new", "training.accelerator=cpu")
WARM_SECONDS, TIMES = 0.3, 20.0


def start(place: Backend, job: Job) -> float:
    """Seconds until a job was ready; it is ended then."""
    job.result.unlink(missing_ok=True)
    handed = time.time()
    ready: list[float] = []

    def is_ready() -> bool:
        run = read_result(job.result).run
        if run is not None and (started := Run(run).record.started) is not None:
            ready.append(started.timestamp() - handed)
        return bool(ready)

    outcome = place.run(replace(job, stop=is_ready))
    assert ready, (outcome.ended, outcome.result.error)
    return ready[0]


def measure(task: str, folder: Path, turns: int) -> dict[str, Any]:
    """Times of both places on one task's embedded data, after a job that fills its caches."""
    _, config = configure(task, SETTINGS)
    job = Job(task, folder / f"{task}.json", folder / f"{task}-result.json", folder / "home")
    write_json(job.config, config.model_dump(mode="json"))
    with open_backend(SubprocessExecution()) as cold, open_backend(WorkerExecution()) as warm:
        first = start(warm, job)
        start(cold, job)
        pairs = [(start(cold, job), start(warm, job)) for _ in range(turns)]
    seconds = [statistics.median(times) for times in zip(*pairs, strict=True)]
    return {
        "first_warm": first,
        "cold": seconds[0],
        "warm": seconds[1],
        "times_sooner": seconds[0] / seconds[1],
        "pairs": pairs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {task: measure(task, Path(folder), args.turns) for task in args.tasks}
    machine = {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load": os.getloadavg()[0],
    }
    print(json.dumps(machine))
    print(f"seconds until a job is ready to train, median of {args.turns}")
    print(f"{'task':12s}{'new process':>14s}{'warm worker':>14s}{'sooner':>9s}{'first':>8s}")
    asked: list[Target] = []
    for task, times in found.items():
        cells = f"{times['cold']:>14.3f}{times['warm']:>14.3f}{times['times_sooner']:>7.0f} ×"
        print(f"{task:12s}{cells}{times['first_warm']:>8.2f}")
        asked.append(Target(f"{task}, warm, seconds", times["warm"], "≤", WARM_SECONDS))
        asked.append(Target(f"{task}, times sooner", times["times_sooner"], "≥", TIMES))
    conclude({"machine": machine, "tasks": found}, asked, args.json)


if __name__ == "__main__":
    main()
