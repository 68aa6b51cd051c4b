"""``python -m tutelage.tracking.follow``: mirror a run or a study until its process lets go.

Standard input is a pipe whose other end the training process holds: when it closes, for whatever
reason, what is missing is sent, and this process ends.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Final

from tutelage.core.errors import TutelageError
from tutelage.core.logs import JsonLines
from tutelage.core.store import LOG, RunStore
from tutelage.tracking.environment import URI, shown
from tutelage.tracking.folders import STUDY
from tutelage.tracking.mirror import Mirror

log = logging.getLogger("tutelage.tracking.follow")  # not by __name__, which is __main__
INTERVAL_SECONDS: Final = 2.0
LONGEST_SECONDS: Final = 60.0
"""Between two tries of a tracker that does not answer."""
PATIENCE_SECONDS: Final = 60.0
"""Time without an answer after which it is said that there is none."""
LAST_SECONDS: Final = 120.0
"""Time for what is missing at the end, on a machine that is busy."""
LAST_TRIES: Final = 2
GONE_SECONDS: Final = 10.0
"""Time for a run's own process to end, when the one that leads it has."""
_POLL_SECONDS: Final = 0.5
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
        self._running = 0
        self._lock = threading.Lock()

    def follow(self) -> int:
        """Mirror until standard input ends, then to the end; return the exit status."""
        wait = 0.0
        while not _ended(wait):
            sent = self.update()
            wait = INTERVAL_SECONDS if sent else min(2 * (wait or 1), LONGEST_SECONDS)
        return self._finish()

    def update(self) -> bool:
        """Send what is missing; return whether all of it has been."""
        timer = threading.Timer(PATIENCE_SECONDS, self._say_silent, ["no answer so far"])
        timer.daemon = True
        timer.start()
        try:
            self._running = self.mirror.update().running
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
        """Send what is missing, in a few tries; wait until the process of each run has gone."""
        last = threading.Timer(LAST_SECONDS, self._give_up)
        last.daemon = True
        last.start()
        failed, deadline = 0, time.monotonic() + GONE_SECONDS
        while failed < LAST_TRIES:
            if not self.update():
                failed += 1
            elif not self._running or time.monotonic() > deadline:
                return 0
            time.sleep(_POLL_SECONDS)
        return 1

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
    logging.getLogger("tutelage").addHandler(JsonLines(folder / LOG, folder.name))
    logging.getLogger("tutelage").setLevel(logging.INFO)
    try:
        if (folder / STUDY).is_file():
            mirror = Mirror(RunStore(home), uri, study=folder.name)
        else:
            mirror = Mirror(RunStore(home), uri, run=folder)
        return Follower(mirror, f"MLflow at {shown(uri)}").follow()
    except Exception:
        log.exception("the mirror to MLflow broke down")
        return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
