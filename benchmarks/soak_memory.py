"""Claim: one process that trains and scores every task in turn stays as large as it was.

Run: python benchmarks/soak_memory.py [--minutes N] [--json FILE]

Rounds of every cell of `tutelage modes`, and of the stages of two towers, at their smallest: each
is trained anew by `tutelage.train`, with its report, then evaluated, then predicted from. After a
round stand the process's memory (RSS) and its open files, threads and child processes. Fails if,
after the first third of the rounds, memory grows by more than 64 MiB, or any of the others at all.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import tutelage  # noqa: E402
from resume_cells import TASKS  # noqa: E402
from tutelage.core.errors import ConfigError  # noqa: E402

MIB = 1 << 20
GROWTH = 64.0
"""MiB by which memory may grow after the first third."""


@dataclass
class Use:
    """What the process holds after a round."""

    seconds: float
    runs: int
    memory_mib: float
    files: int
    threads: int
    children: int


def use(started: float, runs: int) -> Use:
    gc.collect()
    process = psutil.Process()
    return Use(
        round(time.monotonic() - started, 1),
        runs,
        round(process.memory_info().rss / MIB, 1),
        process.num_fds(),
        process.num_threads(),
        len(process.children(recursive=True)),
    )


def donors(home: Path) -> dict[str, str]:
    """Train the runs that cells name; return their ids by task and name."""
    return {
        f"{task} {{{name}}}": tutelage.train(task, *cells.small, *own, home=home / task).id
        for task, cells in TASKS.items()
        for name, own in cells.donors.items()
    }


def cell(task: str, name: str, ids: dict[str, str], home: Path) -> None:
    """Train a cell anew, evaluate it, predict from it, and remove it."""
    settings = [*TASKS[task].small, *TASKS[task].cells[name], "run.policy=force_new"]
    for key, run in ids.items():
        owner, _, word = key.partition(" ")
        if owner == task:
            settings = [text.replace(word, run) for text in settings]
    run = tutelage.train(task, *settings, home=home / task)
    tutelage.evaluate(run.id, home=home / task)
    with suppress(ConfigError):  # a blend of towers has no embeddings of its own
        run.predict()
    shutil.rmtree(run.path)


def soak(minutes: float, home: Path) -> list[Use]:
    """Go on with rounds until the time is over; at least two."""
    ids, uses, runs = donors(home), list[Use](), 0
    started = time.monotonic()
    print(
        f"{'seconds':>8}{'runs':>7}{'MiB':>9}{'files':>7}{'threads':>9}{'children':>10}", flush=True
    )
    while len(uses) < 2 or time.monotonic() - started < 60 * minutes:
        for task, cells in TASKS.items():
            for name in cells.cells:
                cell(task, name, ids, home)
                runs += 1
        uses.append(use(started, runs))
        one = uses[-1]
        said = f"{one.seconds:8.0f}{one.runs:7}{one.memory_mib:9.1f}{one.files:7}{one.threads:9}"
        print(f"{said}{one.children:10}", flush=True)
    return uses


def failures(uses: list[Use]) -> list[str]:
    """What grew after the first third, between its beginning and its end."""
    settled = uses[len(uses) // 3 :]
    part = max(1, len(settled) // 4)
    wrong = []
    for name, limit in (("memory_mib", GROWTH), ("files", 0), ("threads", 0), ("children", 0)):
        figures = [float(getattr(one, name)) for one in settled]
        before, after = statistics.median(figures[:part]), statistics.median(figures[-part:])
        if after - before > limit:
            wrong.append(f"{name} grew from {before:g} to {after:g}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        uses = soak(options.minutes, Path(folder))
    wrong = failures(uses)
    if options.json is not None:
        runs = uses[-1].runs
        row = {"what": "runs of all tasks in one process", "tried": runs}
        held = 0 if wrong else runs
        rounds = [asdict(one) for one in uses]
        row |= {"held": held, "seconds": uses[-1].seconds, "rounds": rounds}
        options.json.write_text(json.dumps([row], indent=2) + "\n")
    for text in wrong:
        print(f"FAILED: {text}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
