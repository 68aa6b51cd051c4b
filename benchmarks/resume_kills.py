"""Claim: a run that is killed at any moment goes on to the bits of the unbroken one.

Run: python benchmarks/resume_kills.py [--rounds N] [--seed N] [--only TEXT] [--warm] [--json FILE]

Each cell of `tutelage modes`, and the stages of two towers, trains at its smallest by the command
that a person types, once unbroken. Then, N rounds a cell, the same command is given again and again
and killed by SIGKILL: at a random moment of its whole life; within a step; while a checkpoint is
being written; where an epoch, and with it a stage or a phase, ends; while it evaluates. It is given
once more, to the end, and what it leaves must be what the unbroken one left: every file, score and
row of metrics. Of two processes that train together one is killed, or all, or the command that
started them. Caches begin empty, so that their making is cut too. With --warm, commands are
children of a process that has imported what they take, as those of a study are. Fails if anything
differs.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from killed_commands import LONGEST, ROOT, FailedError, Place, Process, environment
from tried import Row, write

sys.path.insert(0, str(ROOT / "tests"))
from resume_cells import TASKS  # noqa: E402
from tutelage.core.store import LOG, METRICS, Run  # noqa: E402
from tutelage.execution.warm_server import WarmServer  # noqa: E402
from tutelage.report.curves import read_history  # noqa: E402
from tutelage.testing import differing  # noqa: E402

TOGETHER = {
    "can": "curriculum",
    "multimodal": "autoencoder",
    "ner": "normal",
    "neural": "distillation",
}
"""The cell of each task that two processes train together besides."""
MOMENTS = ("any time", "step", "saving", "epoch's end", "evaluating")
VICTIMS = ("one process", "all processes", "the command")
SHORTLY = 0.05
"""Seconds after a checkpoint within which the next steps fall."""


@dataclass
class Whole:
    """The unbroken run, how long it took, and the moments in it.

    Args:
        run: The run.
        seconds: From the command to its end.
        ends: The last step of each epoch.
        evaluating: Seconds after the loop.
    """

    run: Run
    seconds: float
    ends: list[int] = field(init=False)
    evaluating: float = field(init=False)

    def __post_init__(self) -> None:
        self.ends = [step for step, _ in read_history(self.run.path / METRICS)["epoch/loss"]]
        spent = self.run.record.seconds
        self.evaluating = sum(spent[phase] for phase in ("calibrate", "evaluate", "save"))


class View:
    """What can be seen of a run from outside, from the start of a command on."""

    def __init__(self, home: Path, donors: set[str]) -> None:
        self.home, self.donors, self.started = home, donors, time.monotonic()
        self._path: Path | None = None
        log = self._log()
        self._logged = len(log)

    @property
    def path(self) -> Path | None:
        """The run's folder, once there is one."""
        if self._path is None:
            found = [path.parent for path in self.home.glob("*/record.json")]
            self._path = next((path for path in found if path.name not in self.donors), None)
        return self._path

    def _log(self) -> bytes:
        with suppress(FileNotFoundError):
            return b"" if self.path is None else (self.path / LOG).read_bytes()
        return b""

    def _saved(self) -> set[str]:
        with suppress(FileNotFoundError):
            return (
                set()
                if self.path is None
                else {path.name for path in (self.path / "checkpoints").iterdir()}
            )
        return set()

    @property
    def step(self) -> int:
        """The last step whose checkpoint is complete."""
        marked = (name for name in self._saved() if name.startswith("step-"))
        return max((int(n[5:15]) for n in marked if n.endswith(".json")), default=0)

    @property
    def saving(self) -> bool:
        """Whether a checkpoint is being written: a temporary file, or one without its marker."""
        names = self._saved()
        bare = (n.removesuffix(".safetensors") for n in names if n.endswith(".safetensors"))
        return any(n.endswith(".tmp") for n in names) or any(f"{n}.json" not in names for n in bare)

    @property
    def trained(self) -> bool:
        """Whether the loop is over, so that what is left is to evaluate."""
        return b"best checkpoint: " in self._log()[self._logged :]

    @property
    def place(self) -> str:
        """Where a process was that has just been killed."""
        if self.saving:
            return "saving"
        if self.trained:
            return "evaluating"
        return "training" if self.step else "before a checkpoint"


def due(moment: str, share: float, whole: Whole, draw: random.Random) -> Callable[[View], bool]:
    """What says that the moment has come.

    Args:
        moment: Its kind.
        share: How far on in the run's steps.
        whole: The unbroken run.
        draw: Where chance comes from.
    """
    step = max(1, round(share * whole.ends[-1]))
    end = min(whole.ends, key=lambda last: abs(last - step))
    later, tail = draw.uniform(0, SHORTLY), draw.uniform(0, max(SHORTLY, whole.evaluating))
    life = draw.uniform(0, whole.seconds)
    came: list[float] = []

    def after(seconds: float, begun: bool) -> bool:
        if begun and not came:
            came.append(time.monotonic())
        return bool(came) and time.monotonic() - came[0] >= seconds

    def is_due(view: View) -> bool:
        if moment == "any time":
            return time.monotonic() - view.started >= life
        if moment == "evaluating" or view.trained:
            return after(tail, view.trained)
        if moment == "saving":
            return view.step >= step and view.saving
        return after(later, view.step >= (end if moment == "epoch's end" else step))

    return is_due


def kill(process: Process, victim: str, draw: random.Random) -> None:
    """Kill one, or all, of the processes that train."""
    with suppress(psutil.NoSuchProcess):
        command = psutil.Process(process.pid)
        others = command.children(recursive=True)
        if victim == "one process" and others:
            chosen = [draw.choice(others)]
        else:
            chosen = [command, *others] if victim == "all processes" else [command]
        for one in chosen:
            with suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGKILL)


def broken(place: Place, whole: Whole, draw: random.Random, hit: Counter[str]) -> Run:
    """Kill a run at each kind of moment, counting where it was hit; let it end and return it."""
    donors = {path.parent.name for path in place.home.glob("*/record.json")}
    several = any("devices" in text for text in place.arguments)
    moments = [*draw.sample(MOMENTS[:-1], len(MOMENTS) - 1), MOMENTS[-1]]
    for number, moment in enumerate(moments):
        share = (number + draw.random()) / len(moments)
        is_due = due(moment, share, whole, draw)
        view, process = View(place.home, donors), place.start()
        while process.poll() is None and not is_due(view):
            if moment != "saving":
                time.sleep(0.001)
        if process.poll() is not None:
            return place.finish(process)
        kill(process, draw.choice(VICTIMS) if several else "all processes", draw)
        process.wait(LONGEST)
        place.check_alone()
        hit[view.place] += 1
    return place.finish(place.start())


@dataclass
class Cell(Row):
    """What was tried on a cell and what held, with the moments that were hit and what differed."""

    hit: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def try_cell(row: Cell, base: Place, rounds: int, draw: random.Random) -> None:
    """Train a cell unbroken; kill and compare it, so many times for each kind of moment."""
    place = Place(base.home.with_name(f"{row.what}, whole"), base.arguments, base.warm)
    shutil.copytree(base.home, place.home)
    begun = time.monotonic()
    try:
        whole = Whole(place.finish(place.start()), time.monotonic() - begun)
    except FailedError as error:
        row.failures.append(f"unbroken: {error}")
        return
    for number in range(3 * rounds):  # a run that ends before its moment is hit less often
        if row.tried >= rounds * len(MOMENTS):
            break
        home = base.home.with_name(f"{row.what}, broken {number}")
        place = Place(home, base.arguments, base.warm)
        shutil.copytree(base.home, place.home, ignore=shutil.ignore_patterns(".cache"))
        hit = Counter[str]()
        try:
            apart = differing(whole.run, broken(place, whole, draw, hit))
        except FailedError as error:
            apart = [str(error)]
        row.tried += hit.total()
        row.held += 0 if apart else hit.total()
        row.hit = dict(Counter(row.hit) + hit)
        row.failures += [f"round {number}: {', '.join(apart)}"] if apart else []
        shutil.rmtree(place.home)


class Tasks:
    """The tasks' homes, with the runs that cells name.

    Args:
        folder: Where they lie.
        warm: What gives commands, if not a cold process each.
    """

    def __init__(self, folder: Path, warm: WarmServer | None) -> None:
        self.folder, self.warm = folder, warm
        self._ids: dict[str, dict[str, str]] = {}

    def cell(self, task: str, name: str, more: tuple[str, ...]) -> Place:
        """The home of a cell's task, and the command for the cell."""
        cells, home = TASKS[task], self.folder / task / "base"
        if task not in self._ids:
            home.mkdir(parents=True)
            self._ids[task] = {n: self._donor(task, own, home) for n, own in cells.donors.items()}
        settings = [*cells.small, *cells.cells[name], *more]
        for donor, run in self._ids[task].items():
            settings = [text.replace(f"{{{donor}}}", run) for text in settings]
        return Place(home, (task, *settings), self.warm)

    def _donor(self, task: str, settings: tuple[str, ...], home: Path) -> str:
        place = Place(home, (task, *TASKS[task].small, *settings), self.warm)
        return place.finish(place.start()).id


def soak(rounds: int, seed: int, only: str, warm: bool, folder: Path) -> list[Cell]:
    """Try every cell whose name has ``only`` in it."""
    asked = [(task, name, "") for task, cells in TASKS.items() for name in cells.cells]
    asked += [(task, name, ", two processes") for task, name in TOGETHER.items()]
    server, rows = WarmServer(environment()) if warm else None, []
    tasks = Tasks(folder, server)
    try:
        for task, name, together in asked:
            row = Cell(f"{task} {name}{together}")
            if only not in row.what:
                continue
            started = time.monotonic()
            place = tasks.cell(task, name, ("training.devices=2",) if together else ())
            try_cell(row, place, rounds, random.Random(f"{seed} {row.what}"))
            row.seconds = round(time.monotonic() - started, 1)
            rows.append(row)
            where = ", ".join(f"{count} {place}" for place, count in row.hit.items())
            said = f"{row.held:3} of {row.tried:3} {row.seconds:7} s  {where}"
            print(f"{row.what:40} {said}", flush=True)
            for failure in row.failures:
                print(f"    {failure}", flush=True)
    finally:
        if server is not None:
            server.close()
    return rows


def main() -> int:
    """Print the table, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="kills for each kind of moment")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="a part of the names of cells")
    parser.add_argument("--warm", action="store_true", help="spare commands their imports")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asked = options.rounds, options.seed, options.only, options.warm
        rows = soak(*asked, Path(folder))
    hit = sum((Counter(row.hit) for row in rows), Counter[str]())
    where = ", ".join(f"{count} {place}" for place, count in hit.most_common())
    print(f"killed {sum(row.tried for row in rows)} times ({where});", end=" ")
    print(f"identical after {sum(row.held for row in rows)}")
    write(rows, options.json)
    return 1 if any(row.failures for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
