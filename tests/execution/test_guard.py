"""A guarded server ends with its whole tree when its caller does, and its status is passed on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from tutelage.execution.guard import guarded

TREE = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "open(sys.argv[1] + '.new', 'w').write(str(child.pid))\n"
    "import os; os.rename(sys.argv[1] + '.new', sys.argv[1])\n"
    "print('up', flush=True); time.sleep(600)\n"
)


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_whole_tree_ends_when_the_pipe_closes(tmp_path: Path) -> None:
    command = guarded((sys.executable, "-c", TREE, str(tmp_path / "pid")))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as guard:
        assert guard.stdout is not None and guard.stdin is not None
        assert guard.stdout.readline() == b"up\n"
        grandchild = int((tmp_path / "pid").read_text())
        assert runs(grandchild)
        guard.stdin.close()
        guard.wait(timeout=60)
    assert not runs(grandchild)


def test_the_status_of_a_command_that_ends_by_itself_is_passed_on() -> None:
    command = guarded((sys.executable, "-c", "raise SystemExit(7)"))
    with subprocess.Popen(command, stdin=subprocess.PIPE) as guard:
        assert guard.wait(timeout=60) == 7
