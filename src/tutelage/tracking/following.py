"""Start the process that mirrors a run or a study while it lasts, and let go of it at the end."""

from __future__ import annotations

import fcntl
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tutelage.core.errors import ConfigError
from tutelage.core.tracking import Tracking
from tutelage.tracking.environment import require, setup_mlflow_tracking_env, tracking_uri
from tutelage.tracking.folders import STUDIES

log = logging.getLogger(__name__)
FOLLOWER: Final = ".follower"
"""File in the folder of a run or a study on which its follower holds a shared lock."""


@contextmanager
def followed(
    folder: Path, home: Path, tracking: Tracking, study: str | None = None
) -> Iterator[None]:
    """Mirror a run, or a study with all its runs, for as long as the block lasts.

    Another process does it, of low priority. It hears of the end by a pipe, also when this process
    is killed, sends what is missing and ends by itself; nobody waits for it.

    Args:
        folder: The run's folder, or the study's.
        home: Where runs live.
        tracking: Whether and where to.
        study: Id of the study that a run belongs to; where that study is followed, its follower
            sees to the run.
    """
    leader = None if study is None else home / STUDIES / study
    if tracking.name == "none" or (leader is not None and _is_followed(leader)):
        yield
        return
    try:
        require("mlflow")
        process = _start(folder, home, tracking_uri(tracking.uri, home))
    except (OSError, ConfigError) as error:
        log.warning("not mirrored to MLflow: %s", error)
        process = None
    try:
        yield
    finally:
        if process is not None:
            _let_go(process)


def _start(folder: Path, home: Path, uri: str) -> subprocess.Popen[bytes]:
    """Start the follower. It inherits the lock of `FOLLOWER`, so that there is no moment without.

    One that finishes for a process that was killed may work beside it: both send the same.
    """
    command = (sys.executable, "-m", "tutelage.tracking.follow", str(folder), str(home))
    environment = setup_mlflow_tracking_env(uri) | {"OMP_NUM_THREADS": "1"}
    environment.pop("TUTELAGE_PARENT", None)
    with (folder / FOLLOWER).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(file.fileno(),),
        )


def _let_go(process: subprocess.Popen[bytes]) -> None:
    """Close the pipe, which tells the follower to finish; take note of its end when it comes."""
    assert process.stdin is not None
    process.stdin.close()
    threading.Thread(target=process.wait, daemon=True).start()


def _is_followed(folder: Path) -> bool:
    """Whether a follower works for the run or the study of a folder."""
    try:
        with (folder / FOLLOWER).open("r") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
