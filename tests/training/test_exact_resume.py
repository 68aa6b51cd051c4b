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

from tutelage.core.errors import CheckpointError  # noqa: E402
from tutelage.training.callbacks import StepLimit  # noqa: E402
from tutelage.training.checkpoints import CheckpointManager, find_valid, verify  # noqa: E402

# 150 samples in batches of 10: 15 batches, hence 8 steps, an epoch; 45 batches, 24 steps in all.
SETUPS = {
    "every 7 steps": Setup(every_n_steps=7, every_n_epochs=0),
    "every step": Setup(every_n_steps=1),
    "epoch ends": Setup(),
    "every second epoch": Setup(every_n_steps=5, every_n_epochs=2),
    "prefetching": Setup(every_n_steps=3, prefetch=2),
    "a plateau scheduler": Setup(every_n_steps=5, scheduler="plateau"),
    "validation within epochs": Setup(every_n_steps=5, trainer={"val_check_interval": 5}),
    "validation every second epoch": Setup(every_n_steps=3, trainer={"check_val_every_n_epoch": 2}),
    "counted in steps": Setup(every_n_steps=3, trainer={"max_steps": 20, "max_epochs": -1}),
    "a plateau scheduler, counted in steps": Setup(
        every_n_steps=3, scheduler="plateau", trainer={"max_steps": 20, "max_epochs": -1}
    ),
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


CASES = [(name, after) for name in SETUPS for after in (6, 14, 15, 29)]
CASES += [("every 7 steps", after) for after in (1, 5, 16, 30, 33)]
CASES += [("a part of each epoch", 9), ("validation within epochs", 10)]


@pytest.mark.parametrize(("name", "after"), CASES)
def test_a_killed_run_resumes_to_the_weights_of_the_unbroken_run(
    name: str, after: int, tmp_path: Path
) -> None:
    try:
        model.train(tmp_path, SETUPS[name], Kill(after))
    except Killed:
        assert model.train(tmp_path, SETUPS[name]) == unbroken(name)
    else:
        assert after >= unbroken(name)[1]  # it had ended before


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_weights(tmp_path: Path) -> None:
    for after in (4, 12, 15, 16, 31, 43):
        with pytest.raises(Killed):
            model.train(tmp_path, SETUPS["every step"], Kill(after))
    assert model.train(tmp_path, SETUPS["every step"]) == unbroken("every step")


def test_a_run_that_was_stopped_early_stays_stopped(tmp_path: Path) -> None:
    setup = SETUPS["early stopping"]
    assert model.train(tmp_path, setup) == unbroken("early stopping")
    assert unbroken("early stopping")[1] < 24
    assert model.train(tmp_path, setup) == unbroken("early stopping")


class DiesBeforeTheEnd(StepLimit):
    """Ends the process between the last validation and the epoch's end."""

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        raise Killed


@pytest.mark.system
@pytest.mark.parametrize("every_n_epochs", [0, 1])
def test_a_run_killed_after_its_last_validation_still_ends_with_a_scored_checkpoint(
    every_n_epochs: int, tmp_path: Path
) -> None:
    setup = Setup(every_n_steps=3, every_n_epochs=every_n_epochs)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    expected = model.train(whole, setup, StepLimit(6))
    with pytest.raises(Killed):
        model.train(broken, setup, DiesBeforeTheEnd(6))
    assert model.train(broken, setup, StepLimit(6)) == expected
    for folder in (whole, broken):
        last = verify(folder)[-1].marker
        assert last is not None and last.step == 6 and last.metric is not None
        assert CheckpointManager(folder, monitor="val/loss").best() == find_valid(folder)


def test_a_process_killed_by_the_system_resumes_to_the_same_weights(tmp_path: Path) -> None:
    script = Path(model.__file__)
    child = subprocess.run([sys.executable, script, tmp_path, "21"], capture_output=True)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    assert find_valid(tmp_path) is not None
    setup = Setup(every_n_steps=2)
    with tempfile.TemporaryDirectory() as folder:
        assert model.train(tmp_path, setup) == model.train(Path(folder), setup)


def test_a_corrupt_newest_checkpoint_is_passed_over_and_the_result_is_still_exact(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Killed):
        model.train(tmp_path, SETUPS["every step"], Kill(21))
    newest = find_valid(tmp_path)
    assert newest is not None
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    assert model.train(tmp_path, SETUPS["every step"]) == unbroken("every step")
    skipped = [r.getMessage() for r in caplog.records if "is skipped" in r.getMessage()]
    assert len(skipped) == 1
    assert newest.name in skipped[0]


def test_other_data_are_refused_on_resume(tmp_path: Path) -> None:
    setup = SETUPS["every step"]
    with pytest.raises(Killed):
        model.train(tmp_path, setup, Kill(9))
    with pytest.raises(CheckpointError, match="15 batches an epoch, now 14"):
        model.train(tmp_path, setup, samples=140)
