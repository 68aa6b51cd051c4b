"""A real Slurm of one node, where its packages are: a job, its end, and its second turn."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_jobs import Watch, refused_job

from tutelage import api
from tutelage.core.execution import SlurmExecution
from tutelage.execution.backends import open_backend

NODE = Path(__file__).parents[1] / "system" / "slurm_node.sh"
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
PATH = os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin"))
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(
        any(shutil.which(name, path=PATH) is None for name in NEEDED),
        reason="Slurm's packages are not on this machine",
    ),
]


@pytest.fixture(scope="module")
def slurm() -> Iterator[None]:
    """A running Slurm, in a folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix=f"slurm-{getpass.getuser()}-") as folder:
        subprocess.run([str(NODE), "start", folder], check=True, timeout=120)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", f"{folder}/slurm.conf")
            yield
            subprocess.run([str(NODE), "stop", folder], check=True, timeout=60)


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slurm: None) -> Watch:
    watch = Watch(tmp_path / "watch")
    for name, value in watch.variables.items():
        monkeypatch.setenv(name, value)
    return watch


def test_a_run_is_trained_by_a_job_of_a_real_slurm(slurm: None, tmp_path: Path) -> None:
    small = ("model.layers=1", "model.hidden=4", "model.heads=2", "training.max_epochs=1")
    here = ("data.simulated_seconds=5", "training.batch_size=16", "execution=slurm")
    run = api.train("can", *small, *here, "execution.minutes=10", home=tmp_path / "home")
    assert run.record.status == "finished" and run.path.parent == tmp_path / "home"
    told = subprocess.run(["scontrol", "-o", "show", "job"], capture_output=True, text=True).stdout
    assert "JobName=tutelage" in told and "TimeLimit=00:10:00" in told


def test_a_job_on_a_node_is_stopped_and_has_no_secrets(watch: Watch, tmp_path: Path) -> None:
    watch.hang()
    with open_backend(SlurmExecution(environment=("MY_SECRET",))) as backend:
        job = refused_job(tmp_path / "job", stop=lambda: bool(watch.started))
        assert backend.run(job).ended.reason == "stopped"
    assert watch.mine(0) == {"MY_SECRET"} and watch.alive() == []


def test_a_job_that_is_put_back_in_the_queue_goes_on(watch: Watch, tmp_path: Path) -> None:
    """It takes two minutes: Slurm waits, lest word of the first turn's end comes late."""
    watch.hang()
    put_back: list[str] = []

    def put_it_back() -> bool:
        if len(watch.started) == 1 and not put_back:
            watch.work()
            environment = watch.started[0]["environment"]
            assert isinstance(environment, dict)
            put_back.append(environment["SLURM_JOB_ID"])
            subprocess.run(["scontrol", "requeue", put_back[0]], check=True)
        return False

    with open_backend(SlurmExecution()) as backend:
        ended = backend.run(refused_job(tmp_path / "job", stop=put_it_back)).ended
    assert ended.reason == "refused" and watch.alive() == []
    first, second = watch.started
    assert "run.policy=resume_if_incomplete" not in first["command"]  # type: ignore[operator]
    assert "run.policy=resume_if_incomplete" in second["command"]  # type: ignore[operator]
