"""Jobs whose training process is watched: what it was started with, and that it can hang."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tutelage.execution.backend import Job

WATCHED = """
import json, os, subprocess, sys, time
if "train" in sys.orig_argv and "TUTELAGE_WATCHED" in os.environ:
    folder = os.environ["TUTELAGE_WATCHED"]
    started = {"environment": dict(os.environ), "command": sys.orig_argv, "pids": [os.getpid()]}
    names = os.listdir(folder)
    if "hang" in names:
        from tutelage.core.processes import die_with_parent  # the command's own first act
        die_with_parent(int(os.environ["TUTELAGE_PARENT"]))
    if "child" in names:
        child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
        started["pids"].append(child.pid)
    number = sum(name.endswith(".json") for name in names)
    path = os.path.join(folder, f"{number:03}.json")
    with open(path + ".part", "w") as file:
        json.dump(started, file)
    os.rename(path + ".part", path)
    if "hang" in names:
        time.sleep(600)
"""
"""Imported by Python itself: the real command is started, and tells of it before anything else."""


@dataclass
class Watch:
    """A folder in which watched training processes tell of themselves."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        site, told = self.folder / "site", self.folder / "told"
        for one in (site, told):
            one.mkdir(parents=True)
        (site / "sitecustomize.py").write_text(WATCHED)
        source = Path(__file__).parents[2] / "src"
        self.variables |= {
            "PYTHONPATH": os.pathsep.join((str(site), str(source))),
            "TUTELAGE_WATCHED": str(told),
            "MY_TOKEN": "1",
            "MY_SECRET": "2",
            "MY_SETTING": "3",
        }

    def hang(self, *, with_child: bool = True) -> None:
        """Let the next training processes do nothing for ever."""
        (self.folder / "told" / "hang").touch()
        if with_child:
            (self.folder / "told" / "child").touch()

    def work(self) -> None:
        """Let the next training processes do what they are told."""
        (self.folder / "told" / "hang").unlink(missing_ok=True)

    @property
    def started(self) -> list[dict[str, object]]:
        """What each process was started with, in order."""
        return [
            json.loads(path.read_text()) for path in sorted((self.folder / "told").glob("*.json"))
        ]

    def mine(self, number: int) -> set[str]:
        """Which of `MY_*` a process was started with."""
        environment = self.started[number]["environment"]
        assert isinstance(environment, dict)
        return {name for name in environment if name.startswith("MY_")}

    def alive(self) -> list[int]:
        """Ids of the processes, and their children, that still run."""
        pids = [pid for one in self.started for pid in one["pids"]]  # type: ignore[attr-defined]
        return [pid for pid in pids if _runs(pid)]


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def refused_job(folder: Path, **options: object) -> Job:
    """A job that the command refuses within a second: its settings are none."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.json"
    config.write_text('{"no_such_section": 1}')
    return Job("can", config, folder / "result.json", folder / "home", **options)  # type: ignore[arg-type]
