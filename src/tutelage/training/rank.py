"""One of the processes that train a run: ``python -m tutelage.training.rank RUN PARENTS``."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from pathlib import Path

import torch
from rich.console import Console
from torch import distributed as dist

from tutelage.core.config import RunConfig
from tutelage.core.errors import TutelageError
from tutelage.core.logs import is_shown, marked
from tutelage.core.migrations import migrate_config
from tutelage.core.overrides import build_config
from tutelage.core.processes import die_with_parent
from tutelage.core.store import CONFIG, LOG, Run, RunStore
from tutelage.task import Task, load_task
from tutelage.training.launch import log_to, train_here
from tutelage.training.parents import Parents
from tutelage.training.ranks import Ranks
from tutelage.training.start_ranks import FAILURE, LOGGED, SHOWN

log = logging.getLogger("tutelage.training.rank")  # not by __name__, which is __main__


def main(path: Path, parents: Parents) -> int:
    """Train; return the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and ends this process
    die_with_parent()
    run, ranks = Run(path), Ranks.here()
    if ranks.first:
        shown = logging.StreamHandler()
        shown.setLevel(int(os.environ[SHOWN]))
        shown.addFilter(is_shown)
        logging.getLogger("tutelage").addHandler(shown)
    logged = int(os.environ[LOGGED])
    with log_to(run, logged if ranks.first else max(logged, logging.WARNING)):
        try:
            _train(run, ranks, parents)
        except TutelageError as error:
            _say(type(error).__name__, error.problem, error.where, error.hint)
            return error.exit_code
        except Exception as error:
            said, event = f"{type(error).__name__}: {error}", marked(type(error).__name__)
            log.error("process %d: %s", ranks.rank, said, exc_info=True, extra=event)
            hint = f"The whole story is in {run.path / LOG}."
            _say("RunFailedError", f"{type(error).__name__}: {error}", run.id, hint)
            return 1
    return 0


def _train(run: Run, ranks: Ranks, parents: Parents) -> None:
    store = RunStore(run.path.parent)
    task: Task[RunConfig] = load_task(str(run.settings["task"]))
    config = build_config(task.config_type, [migrate_config(run.settings, run.path / CONFIG)])
    on_gpu = config.training.accelerator != "cpu" and torch.cuda.is_available()
    dist.init_process_group("nccl" if on_gpu else "gloo")
    console = Console(stderr=True) if ranks.first else None
    train_here(task, config, store, run, parents, console)


def _say(kind: str, problem: str, where: str | None, hint: str | None) -> None:
    """Tell the process that started this one why it failed, in one line that no other breaks."""
    said = {"kind": kind, "problem": problem, "where": where, "hint": hint}
    os.write(int(os.environ[FAILURE]), (json.dumps(said) + "\n").encode())


if __name__ == "__main__":
    folders = json.loads(sys.argv[2]).items()
    made_from = {role: tuple(Run(Path(one)) for one in paths) for role, paths in folders}
    sys.exit(main(Path(sys.argv[1]), made_from))
