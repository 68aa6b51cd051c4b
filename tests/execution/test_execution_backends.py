"""Where jobs run: the same bits everywhere, what they see, how they are ended, what they say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from trials import PLAN, Trials, alive, gone, install, tree

import tutelage
from tutelage.core.errors import ConfigError, RequestError, RunFailedError
from tutelage.core.execution import (
    InProcessExecution,
    SubprocessExecution,
    WorkerExecution,
)
from tutelage.core.store import WEIGHTS, Run
from tutelage.execution.backend import Backend, Outcome
from tutelage.execution.backends import open_backend
from tutelage.execution.backends.worker import WorkerBackend
from tutelage.execution.settle import settle

ALLOW = (PLAN, "ALLOWED_TOKEN")
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(sys.platform != "linux", reason="a warm process needs Linux"),
]


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        patch.setenv("ALLOWED_TOKEN", "yes")
        patch.setenv("OTHER_TOKEN", "no")
        patch.setenv("UNLISTED", "no")
        patch.setattr("tutelage.execution.process.GRACE_SECONDS", 0.3)
        yield patch


@pytest.fixture(scope="module")
def folder(patch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trials")
    patch.setenv(PLAN, str(folder / "plan.json"))
    return folder


@pytest.fixture
def trials(folder: Path) -> Iterator[Trials]:
    yield Trials(folder)
    (folder / "plan.json").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def worker(folder: Path) -> Iterator[WorkerBackend]:
    with open_backend(WorkerExecution(environment=ALLOW)) as backend:
        assert isinstance(backend, WorkerBackend)
        yield backend


def digest(outcome: Outcome) -> str:
    return settle(outcome).record.artifacts[WEIGHTS].digest


def test_a_child_of_the_warm_process_is_as_a_process_of_its_own(
    worker: WorkerBackend, trials: Trials
) -> None:
    told = []
    digests = set()
    lines: list[str] = []
    with open_backend(SubprocessExecution(environment=ALLOW)) as cold:
        places: tuple[Backend, ...] = (worker, cold, worker)
        for place in places:
            where = trials.tell("tell")
            digests.add(digest(place.run(trials.job(on_line=lines.append))))
            told.append(json.loads(where.read_text()))
    assert len(digests) == 1  # the same weights, bit for bit
    assert sum(line.startswith("epoch 1/3") for line in lines) == 3
    warm, alone, again = told
    assert warm["session"] == warm["pid"] and again["session"] == again["pid"]
    assert warm["folder"] == alone["folder"] == str(Path.cwd())
    names = {name: {*one["environment"]} for name, one in {"warm": warm, "alone": alone}.items()}
    assert names["warm"] == names["alone"] and {"ALLOWED_TOKEN", PLAN} <= names["warm"]
    assert not {"OTHER_TOKEN", "UNLISTED"} & (names["warm"] | names["alone"])
    assert warm["environment"]["TUTELAGE_HOME"] == str(trials.home)


def test_nothing_runs_in_the_warm_process_when_it_forks(
    worker: WorkerBackend, trials: Trials
) -> None:
    settle(worker.run(trials.job()))
    assert worker.server.pid is not None
    tasks = Path(f"/proc/{worker.server.pid}/task").iterdir()
    names = sorted((task / "comm").read_text().strip() for task in tasks)
    assert names.count("jemalloc_bg_thd") + 1 == len(names)  # jemalloc minds a fork


@pytest.mark.parametrize("cut", ["timeout", "stopped"])
def test_a_hung_job_is_ended_with_its_whole_tree(
    worker: WorkerBackend, trials: Trials, cut: str
) -> None:
    where = trials.tell("hang")
    job = trials.job(timeout=20.0) if cut == "timeout" else trials.job(stop=where.exists)
    outcome = worker.run(job)
    server, *pids = tree(where, job)
    assert (outcome.ended.reason, server) == (cut, worker.server.pid)
    assert not any(map(alive, pids)) and alive(server)
    with pytest.raises(
        RunFailedError, match=r"(time limit|stopped) after.*\n.*resume_if_incomplete"
    ):
        settle(outcome)
    assert outcome.result.run is not None
    assert Run(outcome.result.run).record.status in ("failed", "interrupted")


def test_a_failure_is_told_with_what_lay_behind_it(worker: WorkerBackend, trials: Trials) -> None:
    trials.tell("raise")
    outcome = worker.run(trials.job())
    result = outcome.result
    assert (outcome.ended.reason, outcome.ended.status) == ("failed", 1)
    assert (result.kind, result.cause) == ("RunFailedError", "MemoryError")
    assert result.run is not None and Run(result.run).record.status == "failed"
    with pytest.raises(RunFailedError, match=r"MemoryError: no room\n.*whole story"):
        settle(outcome)


def test_a_refusal_is_told_as_one(worker: WorkerBackend, trials: Trials) -> None:
    outcome = worker.run(trials.job(data={"samples": 0}))
    assert (outcome.ended.reason, outcome.result.kind) == ("refused", "DataError")
    assert outcome.result.run is None  # what was refused leaves no run
    with pytest.raises(RequestError, match=r"no samples\n.*data.samples"):
        settle(outcome)


def test_a_killed_job_leaves_nothing_and_a_true_record(
    worker: WorkerBackend, trials: Trials
) -> None:
    where = trials.tell("hang")
    job = trials.job(stop=lambda: where.exists() and bool(os.kill(tree(where, job)[1], 9)))
    outcome = worker.run(job)
    assert (outcome.ended.reason, outcome.ended.status) == ("killed", -signal.SIGKILL)
    with pytest.raises(RunFailedError, match="was killed after .*SIGKILL"):
        settle(outcome)
    assert outcome.result.run is not None
    assert Run(outcome.result.run).record.status == "failed"
    _, _, near, far = tree(where, job)
    assert gone(near)
    psutil.Process(far).kill()  # it left its job's session before its parent was killed


def test_when_the_warm_process_is_killed_the_next_job_starts_another(
    worker: WorkerBackend, trials: Trials
) -> None:
    where = trials.tell("hang")
    job = trials.job(stop=lambda: where.exists() and bool(os.kill(tree(where, job)[0], 9)))
    outcome = worker.run(job)
    server, training, near, far = tree(where, job)
    assert outcome.ended.reason == "killed" and gone(server, training, near)
    psutil.Process(far).kill()
    trials.plan.unlink()
    assert settle(worker.run(trials.job())).record.status == "finished"
    assert worker.server.pid not in (None, server)


def test_a_warm_process_that_is_killed_while_it_starts_is_told_as_killed(trials: Trials) -> None:
    before = set(psutil.Process().children())

    def kill() -> bool:
        for child in set(psutil.Process().children()) - before:
            child.kill()
        return False

    with open_backend(WorkerExecution(environment=ALLOW)) as backend:
        assert backend.run(trials.job(stop=kill)).ended.reason == "killed"
        assert isinstance(backend, WorkerBackend) and not backend.server.gone


def test_a_finished_run_answers_without_anything_being_started(
    worker: WorkerBackend, trials: Trials
) -> None:
    asked = {"policy": "reuse_if_exists", "tags": {"fold": 1, "purpose": "trial-fold"}}
    job = trials.job(run=asked, training={"accelerator": "cpu", "seed": 7})
    made = settle(worker.run(job))
    assert made.record.tags == {"fold": "1", "purpose": "trial-fold"}
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    run = tutelage.train("tiny", config=job.config, home=trials.home, execution="worker")
    assert run.id == made.id
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_what_is_no_place_of_its_own_or_not_installed_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"processes of its own\n.*execution=worker"):
        open_backend(InProcessExecution())
    code = (
        "import sys; sys.modules['ray'] = None; sys.modules['torch'] = None\n"
        "from tutelage.core.execution import RayExecution\n"
        "from tutelage.execution.backends import open_backend\n"
        "open_backend(RayExecution())"
    )
    ended = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True)
    assert "RequestError: execution=ray needs what is not installed: ray" in ended.stderr
    assert "'tutelage[ray]'" in ended.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("execution=wroker",), r"unknown execution 'wroker'\n.*Did you mean 'worker'"),
        (("execution.timeout=5",), r"belongs to execution=subprocess"),
        (("execution=worker", "execution.environment=[A=b]"), "name variables, such as HF_HOME"),
        (("execution=worker", "execution.timeout=0"), "greater than 0"),
        (("execution=azure",), "execution.compute is missing"),
        (("run.tags={purpose: a b}",), r"run.tags.*use letters"),
    ],
)
def test_a_wrong_place_is_refused_before_any_work(
    patch: pytest.MonkeyPatch, tmp_path: Path, settings: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        tutelage.train("can", *settings, home=tmp_path / "home")
    assert not (tmp_path / "home").exists()
