"""A disk that is full while a run trains ends it with one message; what was saved goes on."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_task import Batch, TinyModule, same_bits, train

from tutelage.core.errors import StorageError
from tutelage.core.store import Run, RunStore
from tutelage.training.checkpoint_files import read_marker, verify

pytestmark = pytest.mark.system
SETTINGS = ("training.accelerator=cpu", "training.checkpoints.every_n_steps=2")
RESUME = "run.policy=resume_if_incomplete"
SMALL = "mount -t tmpfs -o size=600k none {disk} && exec {command}"
FILL = """
import sys
from pathlib import Path
from tiny_task import train
from tutelage.core.errors import StorageError
from tutelage.core.store import RunStore
from tutelage.training.checkpoint_files import read_marker, verify

disk, settings = Path(sys.argv[1]), sys.argv[2:]
filler = disk / "filler"

def fill(module, batch):
    if module.trainer.global_step == 7:
        with filler.open("wb", buffering=0) as file:
            for size in (4096, 1):
                try:
                    while file.write(b"x" * size):
                        pass
                except OSError:
                    continue
try:
    train(disk, *settings, on_step=fill)
except StorageError as error:
    print(error.problem)
(run,) = RunStore(disk).runs()
print(run.status, *(read_marker(one.path).step for one in verify(run.checkpoints) if one.valid))
filler.unlink()
resumed = train(disk, *settings, "run.policy=resume_if_incomplete")
print(resumed.origin, resumed.run.id == run.id, resumed.run.status)
(Path(sys.argv[1] + ".weights")).write_bytes((run.path / "model.safetensors").read_bytes())
"""


def only_run(home: Path) -> Run:
    (run,) = RunStore(home).runs()
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tmp_path_factory.mktemp("whole"), *SETTINGS).run


@pytest.mark.parametrize("step", [1, 7, 14])
def test_a_checkpoint_that_finds_no_room_ends_the_run_and_the_ones_before_it_go_on(
    tmp_path: Path, whole: Run, step: int
) -> None:
    def fill(module: TinyModule, batch: Batch) -> None:
        if module.trainer.global_step == step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (8000, former[1]))

    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(StorageError, match="the disk is full") as caught:
            train(tmp_path, *SETTINGS, on_step=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    run = only_run(tmp_path) if step > 1 else None
    if run is not None:
        assert RESUME in str(caught.value) and run.record.status == "failed"
        steps = [read_marker(one.path).step for one in verify(run.checkpoints) if one.valid]
        assert max(steps) <= step and max(steps) >= step - 2
    assert not list(tmp_path.glob("*/checkpoints/.*.tmp"))
    resumed = train(tmp_path, *SETTINGS, RESUME).run
    assert run is None or resumed.id == run.id
    assert same_bits(resumed, whole) and resumed.metrics == whole.metrics


def test_a_disk_without_a_single_byte_left_ends_the_run_with_one_message(
    tmp_path: Path, whole: Run
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    alone = ["unshare", "-rm", "sh", "-c"]
    mount = SMALL.format(disk=disk, command="true")
    if (
        not shutil.which("unshare")
        or subprocess.run([*alone, mount], capture_output=True).returncode
    ):
        pytest.skip("this machine lets nobody mount a small disk")
    command = f"{sys.executable} - {disk} {' '.join(SETTINGS)}"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    child = subprocess.run(
        [*alone, SMALL.format(disk=disk, command=command)],
        input=FILL,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert child.stderr == ""
    said, stood, went_on = child.stdout.splitlines()
    assert said == "the disk is full"
    status, *steps = stood.split()
    assert status in ("failed", "interrupted")
    assert {"5", "6"} & set(steps), "that of step 6 may still have been written when step 7 began"
    assert went_on == "resumed True finished"
    mine = (tmp_path / "disk.weights").read_bytes()
    assert mine == (whole.path / "model.safetensors").read_bytes()
