"""A job on a cluster: followed, stopped, limited, put back in the queue; and never left behind."""

from __future__ import annotations

import multiprocessing
import os
import threading
from pathlib import Path

import psutil
import pytest
from cluster_jobs import Watch, refused_job

from tutelage.core.execution import RayExecution
from tutelage.execution.cluster import Cluster, ClusterBackend, Phase, Submission
from tutelage.execution.node import JobFolder, Order, place_of_this_process, run_order

pytestmark = pytest.mark.system


class OneNode(Cluster):
    """A cluster of one node: another process of this machine, which can be lost."""

    def __init__(self) -> None:
        self.submissions: list[OnNode] = []

    def submit(self, folder: JobFolder) -> Submission:
        self.submissions.append(OnNode(folder))
        return self.submissions[-1]

    def close(self) -> None:
        assert not any(one.node.is_alive() for one in self.submissions)


class OnNode(Submission):
    def __init__(self, folder: JobFolder) -> None:
        self.folder, self.turns = folder, 1
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.node = context.Process(target=run_order, args=(str(self.folder.path),))
        self.node.start()

    def phase(self) -> Phase:
        if not self.node.is_alive() and self.turns > 1:
            self.turns -= 1
            self.start()  # as a cluster does with a job whose node it took away
        return "running" if self.node.is_alive() else "gone"

    def cancel(self) -> None:
        self.node.kill()

    def release(self) -> None:
        self.node.join()


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch(tmp_path / "watch")
    for name, value in watch.variables.items():
        monkeypatch.setenv(name, value)
    return watch


def test_the_node_runs_the_training_command_and_its_result_comes_back(
    watch: Watch, tmp_path: Path
) -> None:
    lines: list[str] = []
    job = refused_job(tmp_path / "job", on_line=lines.append)
    with ClusterBackend(OneNode(), RayExecution()) as backend:
        assert backend.run(job).ended.reason == "refused"
    assert "no_such_section" in lines[0] and len(lines) == 2
    (started,) = watch.started
    assert "train" in started["command"] and "execution.name=in-process" in started["command"]  # type: ignore[operator]
    assert started["environment"]["TUTELAGE_HOME"] == str(job.home)  # type: ignore[index]
    assert watch.mine(0) == set()
    assert list((job.home / ".cache" / "jobs").iterdir()) == []


def test_a_hung_job_is_ended_at_its_limit_with_all_that_it_started(
    watch: Watch, tmp_path: Path
) -> None:
    watch.hang()
    with ClusterBackend(OneNode(), RayExecution(timeout=2)) as backend:
        outcome = backend.run(refused_job(tmp_path / "job"))
    assert outcome.ended.reason == "timeout"
    assert len(watch.started[0]["pids"]) == 2 and watch.alive() == []  # type: ignore[arg-type]


def test_closing_ends_the_jobs_that_last(watch: Watch, tmp_path: Path) -> None:
    watch.hang()
    backend = ClusterBackend(OneNode(), RayExecution())
    reasons: list[str] = []

    def work() -> None:
        reasons.append(backend.run(refused_job(tmp_path / "job")).ended.reason)

    thread = threading.Thread(target=work)
    thread.start()
    while not watch.started:
        thread.join(0.05)
    backend.close()
    thread.join()
    assert reasons == ["stopped"] and watch.alive() == []


def test_a_person_who_cuts_a_job_ends_it(watch: Watch, tmp_path: Path) -> None:
    watch.hang()

    def cut() -> bool:
        if watch.started:
            raise KeyboardInterrupt
        return False

    with ClusterBackend(OneNode(), RayExecution()) as backend, pytest.raises(KeyboardInterrupt):
        backend.run(refused_job(tmp_path / "job", stop=cut))
    assert watch.alive() == []


def test_a_job_whose_node_was_taken_away_goes_on_on_the_next(watch: Watch, tmp_path: Path) -> None:
    watch.hang(with_child=False)
    cluster = OneNode()
    taken: list[bool] = []

    def take() -> bool:  # asked while the job runs: the first node is lost, the second may work
        if watch.started and not taken:
            taken.append(True)
            watch.work()
            cluster.submissions[0].turns = 2
            cluster.submissions[0].node.kill()
        return False

    with ClusterBackend(cluster, RayExecution()) as backend:
        ended = backend.run(refused_job(tmp_path / "job", stop=take)).ended
    first, second = watch.started
    assert ended.reason == "refused"
    assert "run.policy=resume_if_incomplete" not in first["command"]  # type: ignore[operator]
    assert "run.policy=resume_if_incomplete" in second["command"]  # type: ignore[operator]
    assert watch.alive() == []


def test_a_job_that_nobody_waits_for_is_ended_by_its_node(watch: Watch, tmp_path: Path) -> None:
    watch.hang()
    job = refused_job(tmp_path / "job")
    folder = JobFolder(tmp_path / "folder")
    mine = psutil.Process()
    order = Order(
        task="can",
        home=job.home,
        environment=(),
        timeout=60,
        place=place_of_this_process(),
        pid=os.getpid(),
        born=mine.create_time() - 60,  # an asker of that id that has gone: this one is younger
    )
    folder.prepare(job.config, order)
    assert run_order(str(folder.path)) == "stopped"
    assert watch.alive() == []
