"""Several processes train one model: the same steps as one, the same bits after a kill."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import psutil
import pytest
import torch

from tutelage.core.errors import ConfigError, RunFailedError, RunStoppedError
from tutelage.core.store import LOG, METRICS, Run, RunStore
from tutelage.report.curves import read_history

HERE = Path(__file__).parent
PLACES = (HERE / "plugins", HERE.parent / "training")
TWO = ("training.accelerator=cpu", "training.devices=2")
END = "TINY_END"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the tiny task one that every process finds."""
    there = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*map(str, PLACES), *([there] * bool(there))]))
    for place in PLACES:
        monkeypatch.syspath_prepend(str(place))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def train(home: Path, *settings: str) -> Run:
    import tutelage

    return tutelage.train("tiny", *settings, home=home)


def weights(run: Run) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(run.path / "model.safetensors")


def test_two_processes_take_the_steps_of_one_with_twice_the_batch(tmp_path: Path) -> None:
    linear = ("mode=autoencoder", "model=reconstructor", "data.samples=160")
    one = train(tmp_path, *linear, "training.accelerator=cpu", "training.batch_size=16")
    two = train(tmp_path, *linear, *TWO, "training.batch_size=8")
    ours, theirs = weights(one), weights(two)
    for name, value in ours.items():
        assert torch.allclose(value, theirs[name], rtol=1e-4, atol=1e-5), name
    histories = [read_history(run.path / METRICS) for run in (one, two)]
    for name in ("epoch/loss", "val/loss"):
        pairs = zip(*(history[name] for history in histories), strict=True)
        assert all(a[0] == b[0] and a[1] == pytest.approx(b[1], abs=1e-5) for a, b in pairs)
    with (two.path / METRICS).open(newline="") as file:
        rows = [(row["step"], row["metric"]) for row in csv.DictReader(file)]
    assert len(rows) == len(set(rows))  # one process writes


def test_a_killed_run_of_two_processes_ends_with_the_bits_of_the_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = train(tmp_path / "elsewhere", "training.accelerator=cpu", "training.max_epochs=1")
    saved = (
        *(*TWO, "training.checkpoints.every_n_steps=2", "training.batch_size=8"),
        *("mode=distillation", f"mode.teacher={teacher.path}"),
    )
    whole = train(tmp_path / "whole", *saved)
    saved = (*saved, "run.policy=resume_if_incomplete")
    monkeypatch.setenv(END, "1:8:kill")
    with pytest.raises(RunFailedError, match=r"process 1 of the training was killed by SIGKILL"):
        train(tmp_path, *saved)
    mine = psutil.Process()
    assert not [p for p in mine.children(recursive=True) if "rank" in " ".join(p.cmdline())]
    monkeypatch.delenv(END)
    resumed = train(tmp_path, *saved)
    ours, theirs = weights(resumed), weights(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    a, b = (read_history(run.path / METRICS) for run in (resumed, whole))
    assert a == b
    assert len(RunStore(tmp_path).runs()) == 1


def test_two_processes_that_are_asked_to_stop_save_the_same_step_and_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (*TWO, "training.batch_size=8")
    whole = train(tmp_path / "whole", *settings)
    monkeypatch.setenv(END, "1:3:ask")
    with pytest.raises(RunStoppedError, match="interrupted as asked"):
        train(tmp_path, *settings)
    (run,) = RunStore(tmp_path).runs()
    assert run.status == "interrupted" and list(run.checkpoints.glob("step-*.safetensors"))
    monkeypatch.delenv(END)
    resumed = train(tmp_path, *settings, "run.policy=resume_if_incomplete")
    assert resumed.id == run.id
    ours, theirs = weights(resumed), weights(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_batch_of_one_process_that_is_no_number_is_left_out_by_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(END, "1:3:spoil")
    run = train(tmp_path, *TWO, "training.batch_size=8", "training.on_nan=skip")
    assert all(tensor.isfinite().all() for tensor in weights(run).values())
    told = (run.path / LOG).read_text()
    assert "the gradient is not finite at step 4" in told and told.count("is left out") <= 2


def test_what_one_process_raises_is_what_the_run_failed_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(END, "0:1:raise")
    with pytest.raises(RunFailedError, match="RuntimeError: lightning struck"):
        train(tmp_path, *TWO)
    (run,) = RunStore(tmp_path).runs()
    assert run.status == "failed" and "lightning struck" in str(run.record.error)
    assert "Traceback" in (run.path / LOG).read_text()


def test_a_fusion_trains_in_one_process() -> None:
    from tutelage.api import configure
    from tutelage.training.launch import check_device

    settings = ("mode=fusion", "model=mean", "mode.experts=[a,b]", *TWO)
    _, config = configure("can", settings)
    with pytest.raises(ConfigError, match="a fusion trains in one process"):
        check_device(config)


def test_more_processes_than_cores_are_refused_before_any_begins() -> None:
    from tutelage.api import configure
    from tutelage.training.launch import check_device

    _, config = configure("can", ("training.accelerator=cpu", "training.devices=4096"))
    with pytest.raises(ConfigError, match="4096 devices, but this machine has"):
        check_device(config)
