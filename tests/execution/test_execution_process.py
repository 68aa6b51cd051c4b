"""A training process: its end, its reason, its lines, and that nothing of it stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tutelage.core.errors import RequestError
from tutelage.execution import Ended, execute_training_subprocess, setup_training_environment

ENVIRONMENT = setup_training_environment()


def run(code: str, **options: object) -> Ended:
    return execute_training_subprocess(
        (sys.executable, "-c", code),
        ENVIRONMENT,
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("code", "reason", "status"),
    [
        ("pass", "finished", 0),
        ("raise SystemExit(2)", "refused", 2),
        ("raise SystemExit(7)", "failed", 7),
        ("import os; os.kill(os.getpid(), 9)", "killed", -9),
    ],
)
def test_how_it_ended_is_told(code: str, reason: str, status: int) -> None:
    ended = run(code)
    assert (ended.reason, ended.status) == (reason, status)
    assert "SIGKILL" in ended.words if status == -9 else str(status) in ended.words


def test_lines_come_while_it_runs(tmp_path: Path) -> None:
    go = tmp_path / "go"
    code = (
        "import os, sys, time\n"
        "print('epoch 1', file=sys.stderr, flush=True)\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
        "print('epoch 2', file=sys.stderr)"
    )
    lines: list[str] = []

    def note(line: str) -> None:
        lines.append(line)
        go.touch()  # it goes on when its first line has been read

    assert run(code, on_line=note, timeout=60).reason == "finished"
    assert lines == ["epoch 1", "epoch 2"]


TREE = """
import os, subprocess, sys, time, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
hang = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
inner = subprocess.Popen([sys.executable, "-c", hang])
outer = subprocess.Popen([sys.executable, "-c", hang], start_new_session=True)
open(sys.argv[1], "w").write(f"{os.getpid()} {inner.pid} {outer.pid}")
os.rename(sys.argv[1], sys.argv[1] + ".done")
time.sleep(600)
"""


def test_at_its_limit_the_whole_tree_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tutelage.execution.process.GRACE_SECONDS", 0.2)
    file = tmp_path / "pids"
    command = (sys.executable, "-c", TREE, str(file))
    done = Path(f"{file}.done")
    ended = execute_training_subprocess(command, ENVIRONMENT, stop=done.exists, timeout=120)
    assert (ended.reason, ended.status) == ("stopped", -signal.SIGKILL)
    assert "on request" in ended.words
    pids = [int(pid) for pid in done.read_text().split()]
    assert len(pids) == 3 and not any(psutil.pid_exists(pid) and _alive(pid) for pid in pids)
    late = run("import time; time.sleep(600)", timeout=0.5)
    assert late.reason == "timeout" and 0.5 <= late.seconds < 60


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_training_process_does_not_outlive_the_one_that_started_it(tmp_path: Path) -> None:
    config = tmp_path / "missing.json"
    code = f"""
import sys, time
from tutelage.execution import execute_training_subprocess, setup_training_environment
child = "import sys, time; sys.argv = ['tutelage', '--help']; import tutelage.cli; "\\
    "from tutelage.core.processes import die_with_parent; import os; "\\
    "die_with_parent(int(os.environ['TUTELAGE_PARENT'])); "\\
    "open({str(config)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
execute_training_subprocess((sys.executable, "-c", child), setup_training_environment())
"""
    parent = subprocess.Popen((sys.executable, "-c", code))
    while not (config.exists() and config.read_text()):
        assert parent.poll() is None
        time.sleep(0.05)
    child = int(config.read_text())
    assert _alive(child)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 30
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(child)


def test_a_program_that_is_not_there_is_refused() -> None:
    with pytest.raises(RequestError, match="can't be started: No such file"):
        execute_training_subprocess(("/no/such/python",), ENVIRONMENT)
