"""Work in a copy of this process: what it leaves, what it raises, and its death."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tutelage.core.apart import apart
from tutelage.core.errors import DataError, StorageError


def test_what_it_makes_is_on_the_disk_and_nothing_else_changed(tmp_path: Path) -> None:
    here = [1]
    apart(lambda: (here.append(2), (tmp_path / "made").write_text("yes")), tmp_path)
    assert (tmp_path / "made").read_text() == "yes" and here == [1]


@pytest.mark.parametrize("kind", [DataError, StorageError])
def test_what_it_refuses_is_refused_here(tmp_path: Path, kind: type[DataError]) -> None:
    def refuse() -> None:
        raise kind("no spikes", where=tmp_path / "a.nwb", hint="Give some.")

    with pytest.raises(kind) as caught:
        apart(refuse, tmp_path)
    assert str(caught.value) == f"{tmp_path / 'a.nwb'}: no spikes\n  Give some."


def test_its_death_is_a_refusal_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.nwb: what reads it was ended by SIGSEGV"):
        apart(lambda: os.kill(os.getpid(), signal.SIGSEGV), tmp_path / "a.nwb")


def test_work_that_goes_round_in_circles_is_a_refusal_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def turn() -> None:
        while True:
            pass

    monkeypatch.setattr("tutelage.core.apart.SECONDS", 1)
    with pytest.raises(DataError, match="did not end in 1 seconds of computing"):
        apart(turn, tmp_path / "a.nwb")


def test_it_ends_with_who_waits_for_it(tmp_path: Path) -> None:
    def parent() -> None:
        apart(lambda: ((tmp_path / "pid").write_text(str(os.getpid())), signal.pause()), tmp_path)

    waiting = os.fork()
    if not waiting:
        parent()
        os._exit(0)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.01)
    os.kill(waiting, signal.SIGKILL)
    os.waitpid(waiting, 0)
    copy = Path("/proc", (tmp_path / "pid").read_text())
    deadline = time.monotonic() + 30
    while copy.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not copy.exists()


def test_a_fault_of_ours_stays_one_with_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"test_apart\.py(?s:.*)ZeroDivisionError"):
        apart(lambda: 1 // 0, tmp_path)


def test_who_waits_for_it_can_be_interrupted(tmp_path: Path) -> None:
    def interrupt() -> None:
        (tmp_path / "pid").write_text(str(os.getpid()))
        os.kill(os.getppid(), signal.SIGINT)
        signal.pause()

    with pytest.raises(KeyboardInterrupt):
        apart(interrupt, tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
