"""A run that is asked to stop finishes its step, saves, and goes on to the same bits."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from tiny_task import Batch, OnStep, TinyModule, same_bits, train

from tutelage.core.errors import RunFailedError, RunStoppedError
from tutelage.core.store import RunStore
from tutelage.training.checkpoint_files import list_checkpoints

FAST = ("training.accelerator=cpu",)
RESUME = "run.policy=resume_if_incomplete"
HANDLERS = (signal.SIGINT, signal.SIGTERM)


def send(*numbers: signal.Signals, at: int) -> OnStep:
    """Signal this process in the middle of a step."""
    batches = 0

    def on_step(module: TinyModule, batch: Batch) -> None:
        nonlocal batches
        batches += 1
        if batches == at:
            for number in numbers:
                os.kill(os.getpid(), number)

    return on_step


def saved_steps(home: Path) -> list[int]:
    (run,) = RunStore(home).runs()
    return [int(path.stem.removeprefix("step-")) for path in list_checkpoints(run.checkpoints)]


@pytest.mark.parametrize("number", HANDLERS)
@pytest.mark.parametrize("batch", [1, 4, 5, 15])
def test_a_run_that_is_signalled_saves_its_step_and_resumes_to_the_same_bits(
    tmp_path: Path, number: signal.Signals, batch: int
) -> None:
    whole = train(tmp_path / "whole", *FAST).run
    before = [signal.getsignal(handled) for handled in HANDLERS]
    with pytest.raises(RunStoppedError, match="interrupted as asked") as stopped:
        train(tmp_path, *FAST, on_step=send(number, at=batch))
    assert RESUME in str(stopped.value) and stopped.value.exit_code == 1
    assert [signal.getsignal(handled) for handled in HANDLERS] == before
    assert saved_steps(tmp_path)[-1] == batch
    (run,) = RunStore(tmp_path).runs()
    assert run.status == "interrupted" and run.record.finished is not None
    resumed = train(tmp_path, *FAST, RESUME)
    assert resumed.origin == "resumed"
    assert same_bits(resumed.run, whole)
    assert resumed.run.record.metrics == whole.record.metrics


def test_batches_that_are_accumulated_make_a_whole_step_before_it_is_saved(tmp_path: Path) -> None:
    settings = (*FAST, "training.accumulate=2")
    whole = train(tmp_path / "whole", *settings).run
    with pytest.raises(RunStoppedError):
        train(tmp_path, *settings, on_step=send(signal.SIGINT, at=3))
    assert saved_steps(tmp_path) == [2]
    assert same_bits(train(tmp_path, *settings, RESUME).run, whole)


def test_a_second_request_stops_at_once(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="interrupted") as stopped:
        train(tmp_path, *FAST, on_step=send(signal.SIGINT, signal.SIGINT, at=3))
    assert not isinstance(stopped.value, RunStoppedError)
    assert saved_steps(tmp_path) == []
    assert RunStore(tmp_path).runs()[0].status == "interrupted"


def test_a_run_stops_when_its_time_is_over_and_goes_on_another_time(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", *FAST).run
    short = (*FAST, "training.max_time=1e-9")
    with pytest.raises(RunStoppedError, match=r"as training\.max_time is over"):
        train(tmp_path, *short)
    assert saved_steps(tmp_path) == [1]
    with pytest.raises(RunStoppedError, match=r"as training\.max_time is over"):
        train(tmp_path, *short, RESUME)
    assert saved_steps(tmp_path) == [1, 2]
    long = train(tmp_path, *FAST, RESUME)
    assert long.origin == "resumed", "how long a run may take here is no part of what it is"
    assert same_bits(long.run, whole)


def test_a_run_in_another_thread_leaves_the_signals_alone(tmp_path: Path) -> None:
    done = []
    thread = threading.Thread(target=lambda: done.append(train(tmp_path, *FAST).origin))
    thread.start()
    thread.join()
    assert done == ["new"]
