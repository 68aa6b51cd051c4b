"""The command trains in other processes: the same words and codes, and nothing left behind."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from command import Process, Tutelage, assert_refused, record

HERE = Path(__file__).parent
PLACES = (HERE.parent / "execution" / "plugins", HERE.parent / "training")
TRAIN = ("train", "tiny", "training.accelerator=cpu")
PLAN = "execution.environment=[TINY_PLAN]"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Watched(Tutelage):
    """The command with the tiny task installed, which a plan tells what to do besides."""

    def environment(self, **more: str) -> dict[str, str]:
        there = os.environ.get("PYTHONPATH")
        path = os.pathsep.join([*map(str, PLACES), *([there] * bool(there))])
        plan = str(self.folder / "plan.json")
        return super().environment(PYTHONPATH=path, TINY_PLAN=plan, **more)

    def hang(self) -> None:
        """Have the next training hang in its first step, with two children."""
        self.plan.write_text(f'["hang", "{self.pids}"]')

    @property
    def plan(self) -> Path:
        return self.folder / "plan.json"

    @property
    def pids(self) -> Path:
        return self.folder / "pids"

    def tree(self, process: Process) -> list[int]:
        """Wait for the hung training to tell the ids of its parent, itself and its children."""
        while not self.pids.exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        return [int(pid) for pid in self.pids.read_text().split()]


@pytest.fixture
def tiny(tmp_path: Path) -> Watched:
    folder = tmp_path / "here"
    folder.mkdir()
    return Watched(tmp_path / "home", folder)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def ended() -> Iterator[list[int]]:
    """Processes that a test leaves on purpose, ended after it."""
    pids: list[int] = []
    yield pids
    for pid in filter(alive, pids):
        os.kill(pid, signal.SIGKILL)


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 60
    while any(map(alive, pids)):
        assert time.monotonic() < deadline, [pid for pid in pids if alive(pid)]
        time.sleep(0.02)


def test_a_training_elsewhere_says_what_one_here_says(tiny: Watched) -> None:
    there = tiny(*TRAIN, "execution=subprocess")
    assert there.code == 0, there.err
    assert there.err.count("tiny · model classifier") == 1 and "epoch 1/3" in there.err
    (run,) = tiny.runs()
    again = tiny(*TRAIN, "execution=worker")
    assert again.code == 0 and "nothing was trained" in again.out and tiny.runs() == [run]
    same = [line for line in there.out.splitlines() if not line.startswith("trained")]
    assert [line for line in again.out.splitlines() if not line.startswith("reused")] == same
    assert_refused(tiny(*TRAIN, "execution=subprocess", "data.samples=0"), "there are no samples")
    assert tiny.runs() == [run]
    assert not list((tiny.home / ".cache" / "jobs").iterdir())


@pytest.mark.parametrize(
    ("place", "number"),
    [("subprocess", signal.SIGTERM), ("worker", signal.SIGINT)],
    ids=["subprocess-terminate", "worker-ctrl-c"],
)
def test_a_cut_training_ends_with_its_tree_and_says_how_to_go_on(
    tiny: Watched, place: str, number: signal.Signals
) -> None:
    tiny.hang()
    process = tiny.start(*TRAIN, f"execution={place}", PLAN)
    parent, *pids = tiny.tree(process)
    process.send_signal(number)
    cut = tiny.finish(process)
    assert cut.code == 1 and cut.err.count("error:") == 1 and "Traceback" not in cut.err
    assert "interrupted" in cut.err and "run.policy=resume_if_incomplete" in cut.err
    wait_until_gone([parent, *pids])
    (run,) = tiny.runs()
    assert record(run)["status"] == "interrupted"


@pytest.mark.parametrize("place", ["subprocess", "worker"])
def test_a_killed_orchestrator_leaves_no_training_behind(
    tiny: Watched, ended: list[int], place: str
) -> None:
    tiny.hang()
    process = tiny.start(*TRAIN, f"execution={place}", PLAN)
    parent, training, near, far = tiny.tree(process)
    ended += [near, far]  # programs of the task's own, which have not asked to end with it
    assert (parent == process.pid) == (place == "subprocess")
    process.kill()
    tiny.finish(process)
    wait_until_gone([training, *([parent] if place == "worker" else [])])
    shown = tiny.done("runs", "show", "@last", "--json").json
    assert shown["status"] == "interrupted"
