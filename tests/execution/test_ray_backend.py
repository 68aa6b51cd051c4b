"""`execution=ray`: jobs as tasks of a Ray that is started here, once for all tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_jobs import Watch, refused_job
from trials import install

from tutelage.api.hpo import tune
from tutelage.core.errors import RequestError
from tutelage.core.execution import RayExecution
from tutelage.execution.backend import Backend
from tutelage.execution.backends import open_backend

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    watch = Watch(tmp_path_factory.mktemp("ray") / "watch")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in watch.variables.items():
            patch.setenv(name, value)
        install(patch)
        yield watch


@pytest.fixture(scope="module")
def backend(watch: Watch) -> Iterator[Backend]:
    settings = RayExecution(cpus=1, local_cpus=1, environment=("MY_SECRET", "MY_S*"))
    with open_backend(settings) as backend:
        yield backend


def test_a_job_is_the_training_command_on_a_node_without_the_askers_secrets(
    backend: Backend, watch: Watch, tmp_path: Path
) -> None:
    lines: list[str] = []
    outcome = backend.run(refused_job(tmp_path / "job", on_line=lines.append))
    assert outcome.ended.reason == "refused" and "no_such_section" in lines[0]
    assert watch.mine(-1) == {"MY_SECRET", "MY_SETTING"}
    environment = watch.started[-1]["environment"]
    assert isinstance(environment, dict) and not {n for n in environment if "RAY" in n}


def test_a_job_in_the_queue_and_one_that_runs_end_when_asked(
    backend: Backend, watch: Watch, tmp_path: Path
) -> None:
    watch.hang()
    before = len(watch.started)
    running, reasons = threading.Event(), {}

    def hold() -> None:
        def stop() -> bool:
            if len(watch.started) > before:
                running.set()
            return "waiting" in reasons

        job = refused_job(tmp_path / "running", stop=stop)
        reasons["running"] = backend.run(job).ended.reason

    thread = threading.Thread(target=hold)
    thread.start()
    assert running.wait(60)  # it has the only core: the next waits
    waiting = refused_job(tmp_path / "waiting", stop=lambda: True)
    reasons["waiting"] = backend.run(waiting).ended.reason
    thread.join()
    assert reasons == {"running": "stopped", "waiting": "stopped"}
    assert len(watch.started) == before + 1 and watch.alive() == []


def test_what_no_node_can_hold_is_refused_at_once(backend: Backend) -> None:
    with pytest.raises(RequestError, match="no node has 64 cores and 0 GPUs"):
        open_backend(RayExecution(cpus=64))


def test_a_study_of_four_trials_runs_on_ray(backend: Backend, watch: Watch, tmp_path: Path) -> None:
    watch.work()
    before = len(watch.started)
    space = tmp_path / "space.yaml"
    space.write_text("parameters: {model.hidden: {type: choice, values: [3, 4, 5, 6]}}")
    study = tune(
        "tiny",
        f"hpo.space={space}",
        "hpo.trials=4",
        "hpo.workers=2",
        "hpo.refit=none",
        "training.accelerator=cpu",
        "training.max_epochs=1",
        "execution=ray",
        home=tmp_path / "home",
    )
    trials = study.trials
    assert [trial.status for trial in trials] == ["complete"] * 4
    assert len(watch.started) >= before + 4
