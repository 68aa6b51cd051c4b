"""Mirror a run or a study until who started this process ends: ``python -m tutelage.tracking.follow``.

Standard input is a pipe whose other end the training process holds: when it closes, for whatever
reason, what is missing is sent, and this process ends. It never writes to that pipe's owner.
"""

from __future__ import annotations

import fcntl
import logging
import os
import select
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Final

from tutelage.core.errors import StoreError, TutelageError
from tutelage.core.store import LOG, Run, RunStore
from tutelage.tracking.environment import URI, shown
from tutelage.tracking.folders import STUDY
from tutelage.tracking.following import FOLLOWER
from tutelage.tracking.mirror import Mirror

log = logging.getLogger("tutelage.tracking.follow")  # not by __name__, which is __main__
INTERVAL_SECONDS: Final = 2.0
LONGEST_SECONDS: Final = 60.0
"""Between two tries of a tracker that does not answer."""
PATIENCE_SECONDS: Final = 15.0
"""Time without an answer after which it is said that there is none."""
LAST_SECONDS: Final = 30.0
"""Time for what is missing at the end."""
_NICE: Final = 19


class Follower:
    """Mirrors again and again; says once that the tracker does not answer, and once that it does.

    Args:
        mirror: What is mirrored.
        where: The tracker, for messages.
    """

    def __init__(self, mirror: Mirror, where: str) -> None:
        self.mirror, self.where = mirror, where
        self._silent = False
        self._lock = threading.Lock()

    def follow(self) -> int:
        """Mirror until standard input ends, then to the end; return the exit status."""
        wait = INTERVAL_SECONDS
        while not _ended(0.0 if wait == INTERVAL_SECONDS else wait):
            wait = INTERVAL_SECONDS if self.update(live=True) else min(2 * wait, LONGEST_SECONDS)
            if wait == INTERVAL_SECONDS and _ended(wait):
                break
        return self._finish()

    def update(self, live: bool) -> bool:
        """Send what is missing; return whether all of it has been."""
        timer = threading.Timer(PATIENCE_SECONDS, self._say_silent, ["no answer so far"])
        timer.daemon = True
        timer.start()
        try:
            self._running = self.mirror.update(live).running
        except TutelageError as error:
            self._say_silent(error.problem)
            return False
        finally:
            timer.cancel()
        if self._silent:
            log.info("%s answers again and has all", self.where)
            self._silent = False
        return True

    def _finish(self) -> int:
        """Send what is missing, within the time there is; wait until the run's process has gone."""
        last = threading.Timer(LAST_SECONDS, self._give_up)
        last.daemon = True
        last.start()
        self._running = 1
        while not self.update(live=False) or self._running:
            time.sleep(0.5)
        last.cancel()
        return 0

    def _say_silent(self, why: str) -> None:
        with self._lock:
            if not self._silent:
                self._silent = True
                log.warning(
                    "%s does not take what is sent (%s): the work goes on, and what is missing "
                    "there is sent later, by `tutelage ui` at the latest",
                    self.where,
                    why,
                )

    def _give_up(self) -> None:
        self._say_silent("no answer")
        logging.shutdown()
        os._exit(1)


def _ended(seconds: float) -> bool:
    """Whether who started this process has let go of it, or ended, within some seconds."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready)


def main(folder: Path, home: Path) -> int:
    """Follow the run or the study in a folder; return the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this process says when to end
    os.nice(_NICE)
    uri = os.environ[URI]
    handler = logging.FileHandler(folder / LOG, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger("tutelage").addHandler(handler)
    logging.getLogger("tutelage").setLevel(logging.INFO)
    store = RunStore(home)
    try:
        if not (folder / STUDY).is_file():
            mirror = Mirror(store, uri, run=folder)
            return Follower(mirror, f"MLflow at {shown(uri)}").follow()
        with (folder / FOLLOWER).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mirror = Mirror(store, uri, study=folder.name)
            return Follower(mirror, f"MLflow at {shown(uri)}").follow()
    except BlockingIOError:
        return 0  # another one follows the study
    except Exception:
        log.error("the mirror to MLflow broke down: %s", traceback.format_exc())
        return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
