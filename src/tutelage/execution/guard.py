"""``python -m tutelage.execution.guard COMMAND``: run a server that does not outlive its caller.

Standard input is a pipe whose other end the caller holds: when it closes, for whatever reason, the
command is ended with its whole process tree. The exit status is the command's.
"""

from __future__ import annotations

import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from tutelage.execution.process import end_tree

_POLL_SECONDS: Final = 0.5


def main(command: Sequence[str]) -> int:
    """Run the command until it ends, or standard input does; return its exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever holds the pipe hears it
    process = subprocess.Popen(list(command), stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        while process.poll() is None:
            ended, _, _ = select.select([sys.stdin], [], [], _POLL_SECONDS)
            if ended:
                break
    finally:
        end_tree(process.pid, process.poll)
        process.wait()
    return process.returncode


def guarded(command: Sequence[str]) -> tuple[str, ...]:
    """Return the command that runs ``command`` under guard; its standard input is to be a pipe."""
    return (sys.executable, "-m", "tutelage.execution.guard", *command)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(main(sys.argv[1:]))
