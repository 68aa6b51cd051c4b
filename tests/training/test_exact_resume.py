"""A run that is killed anywhere and resumed ends with the weights of the unbroken run."""

from __future__ import annotations

import functools
import logging
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import exact_resume_model as model  # noqa: E402
from exact_resume_model import Kill, Killed, Setup  # noqa: E402

# 150 samples in batches of 10: 15 batches, hence 8 steps, an epoch; 45 batches, 24 steps in all.
SETUPS = {
    "every 7 steps": Setup(every_n_steps=7, every_n_epochs=0),
    "every step": Setup(every_n_steps=1),
    "epoch ends": Setup(),
    "every second epoch": Setup(every_n_steps=5, every_n_epochs=2),
    "prefetching": Setup(every_n_steps=3, prefetch=2),
    "a plateau scheduler": Setup(every_n_steps=5, scheduler="plateau"),
    "validation within epochs": Setup(every_n_steps=2, trainer={"val_check_interval": 5}),
    "validation every second epoch": Setup(every_n_steps=3, trainer={"check_val_every_n_epoch": 2}),
    "counted in steps": Setup(every_n_steps=3, trainer={"max_steps": 20, "max_epochs": -1}),
    "a part of each epoch": Setup(every_n_steps=3, trainer={"limit_train_batches": 9}),
    "no accumulation": Setup(every_n_steps=4, trainer={"accumulate_grad_batches": 1}),
    "no validation": Setup(every_n_steps=4, monitor=None, trainer={"limit_val_batches": 0}),
    "early stopping": Setup(every_n_steps=6, early_stopping=True),
}

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")


@functools.cache
def unbroken(name: str) -> tuple[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        return model.train(Path(folder), SETUPS[name])


@pytest.fixture(autouse=True)
def quiet_lightning() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


@pytest.mark.parametrize("after", [1, 5, 6, 14, 15, 16, 29, 30, 33])
@pytest.mark.parametrize("name", SETUPS)
def test_a_killed_run_resumes_to_the_weights_of_the_unbroken_run(
    name: str, after: int, tmp_path: Path
) -> None:
    try:
        model.train(tmp_path, SETUPS[name], Kill(after))
    except Killed:
        assert model.train(tmp_path, SETUPS[name]) == unbroken(name)
    else:
        assert after >= unbroken(name)[1]
