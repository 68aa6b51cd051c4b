"""The tiny task as an installed one, which a file tells what to do in its first training step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tiny_task import Batch, TinyModule, TinyTask

PLAN = "TINY_PLAN"
"""Path of a file in JSON: what to do, and the file to write to."""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def act(module: TinyModule, batch: Batch) -> None:
    """Do what the plan says."""
    plan = Path(os.environ.get(PLAN, "nowhere"))
    if module._trainer is None or module.global_step or not plan.exists():
        return
    what, where = json.loads(plan.read_text())
    if what == "tell":
        told = {"environment": dict(os.environ), "folder": str(Path.cwd()), "session": os.getsid(0)}
        _write(Path(where), json.dumps(told | {"pid": os.getpid()}))
    elif what == "raise":
        raise MemoryError("no room")
    elif what == "hang":
        near = subprocess.Popen([sys.executable, "-c", DEAF])
        far = subprocess.Popen([sys.executable, "-c", DEAF], start_new_session=True)
        _write(Path(where), f"{os.getppid()} {os.getpid()} {near.pid} {far.pid}")
        while True:
            time.sleep(600)


def _write(path: Path, text: str) -> None:
    path.with_suffix(".part").write_text(text)
    path.with_suffix(".part").rename(path)


class WatchedTask(TinyTask):
    """The tiny task."""

    def __init__(self) -> None:
        super().__init__(act)
