"""`execution=slurm`: the batch script, the queue, and submitit's own executors."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cluster_jobs import Watch, refused_job

from tutelage.core.errors import RequestError
from tutelage.core.execution import SlurmExecution
from tutelage.execution.backends import open_backend

SBATCH = """#!/bin/bash
cp "$1" script.sh
if grep -q partition=nowhere "$1"; then echo "sbatch: error: invalid partition" >&2; exit 1; fi
echo PENDING > state; echo "Submitted batch job 7"
"""
SQUEUE = """#!/bin/bash
if [ -e busy ]; then
    rm busy; echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1
fi
cat state
"""
SCANCEL = """#!/bin/bash
echo "$@" >> cancelled; echo CANCELLED > state
"""


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch(tmp_path / "watch")
    for name, value in watch.variables.items():
        monkeypatch.setenv(name, value)
    return watch


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which commands with Slurm's names keep the state of the only job."""
    commands = tmp_path / "commands"
    commands.mkdir()
    told = {"sbatch": SBATCH, "srun": "#!/bin/bash\n", "squeue": SQUEUE, "scancel": SCANCEL}
    for name, text in told.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:/usr/bin:/bin")
    monkeypatch.setenv("MY_TOKEN", "1")
    monkeypatch.setattr("tutelage.execution.backends.slurm._ASK_SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)
    return tmp_path


LEAVES_FILES_OPEN = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""submitit's debug executor does."""


@pytest.mark.parametrize("executor", ["local", pytest.param("debug", marks=LEAVES_FILES_OPEN)])
def test_without_a_cluster_submitit_runs_the_same_command(
    executor: str, watch: Watch, tmp_path: Path
) -> None:
    settings = SlurmExecution.model_validate(
        {"executor": executor, "environment": ("MY_SECRET", "MY_S*")}
    )
    with open_backend(settings) as backend:
        assert backend.run(refused_job(tmp_path / "job")).ended.reason == "refused"
        assert watch.mine(0) == {"MY_SECRET", "MY_SETTING"}
        watch.hang()
        stopped = refused_job(tmp_path / "job", stop=lambda: len(watch.started) == 2)
        assert backend.run(stopped).ended.reason == "stopped"
    assert watch.alive() == []


def test_the_batch_script_is_shell_and_names_what_the_job_asks_for(
    queue: Path,
) -> None:
    settings = SlurmExecution(
        partition="short",
        minutes=30,
        cpus=4,
        gpus=1,
        memory_gb=1.5,
        options=("account=my lab", "exclusive"),
        environment=("MY_TOKEN",),
    )
    with open_backend(settings) as backend:
        job = refused_job(queue / "my job", stop=(queue / "script.sh").exists)
        outcome = backend.run(job)
    assert outcome.ended.reason == "stopped"
    assert (queue / "cancelled").read_text() == "7\n"
    script = queue / "script.sh"
    subprocess.run(["bash", "-n", str(script)], check=True)
    asked = {line.removeprefix("#SBATCH --") for line in script.read_text().splitlines()}
    assert {"partition=short", "time=30", "cpus-per-task=4", "gpus-per-node=1"} <= asked
    assert {"mem=1536M", "account='my lab'", "exclusive", "requeue", "signal=USR2@90"} <= asked
    (exported,) = [line for line in asked if line.startswith("export=")]
    assert "MY_TOKEN" in exported and "PATH" in exported and "1" not in exported.split(",")


def test_a_job_that_the_cluster_loses_was_killed_or_reached_its_limit(queue: Path) -> None:
    def lose(state: str) -> str:
        def asked() -> bool:
            if (queue / "state").read_text() == "PENDING\n":
                (queue / "busy").touch()  # the controller doesn't answer once, then it does
                (queue / "state").write_text(state)
            return False

        with open_backend(SlurmExecution()) as backend:
            return backend.run(refused_job(queue / "job", stop=asked)).ended.reason

    assert lose("NODE_FAIL") == "killed"
    assert lose("TIMEOUT") == "timeout"


def test_what_slurm_refuses_is_said(queue: Path) -> None:
    with (
        open_backend(SlurmExecution(partition="nowhere")) as backend,
        pytest.raises(RequestError, match="invalid partition"),
    ):
        backend.run(refused_job(queue / "job"))
    assert list((queue / "job" / "home" / ".cache" / "jobs").iterdir()) == []


def test_without_slurms_commands_the_error_says_what_else_there_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RequestError, match=r"execution\.executor=local"):
        open_backend(SlurmExecution())
