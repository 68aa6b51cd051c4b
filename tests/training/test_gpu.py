"""What only a machine with a CUDA device can show: training, sizing and resuming on it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_task import crash_at, same_bits, train

from tutelage.core.errors import RunFailedError

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
SETTINGS = ("training.accelerator=gpu", "training.checkpoints.every_n_steps=2")


def test_a_crashed_run_resumes_to_the_same_bits_on_a_gpu(tmp_path: Path) -> None:
    resume = "run.policy=resume_if_incomplete"
    whole = train(tmp_path / "whole", *SETTINGS).run
    with pytest.raises(RunFailedError):
        train(tmp_path / "cut", *SETTINGS, on_step=crash_at(5, RuntimeError("gone")))
    assert same_bits(train(tmp_path / "cut", *SETTINGS, resume).run, whole)


def test_the_batch_size_is_probed_on_the_gpu_before_anything_else_uses_it(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("tutelage")), "train", "can", "--json"]
    small = ["data.simulated_seconds=5", "training.max_epochs=1", "training.batch_size=auto"]
    environment = {"TUTELAGE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    settings = [*small, "training.accelerator=gpu"]
    done = subprocess.run([*command, *settings], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert next(tmp_path.glob("*/batch_size.json")).is_file()
