"""Checkpoints are whole or refused, ranked, pruned, and never lost to a failing disk."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import exact_resume_model as model  # noqa: E402
from exact_resume_model import Setup  # noqa: E402

from tutelage.core.errors import CheckpointError, ConfigError, StorageError  # noqa: E402
from tutelage.training.checkpoint_files import find_resumable, read_marker  # noqa: E402
from tutelage.training.checkpoints import (  # noqa: E402
    CheckpointManager,
    TutelageCheckpointIO,
    find_valid,
    verify,
)
from tutelage.training.resume import capture, restore  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")


def put(
    folder: Path,
    step: int,
    metric: float | None = None,
    size: int = 8,
    error: float | None = None,
) -> Path:
    """Write a checkpoint as Lightning would have it written."""
    note = {"monitor": "val/f1", "metric": metric, "error": error}
    state = {"state_dict": {"w": torch.arange(size) * step}, "global_step": step, "epoch": 1}
    path = folder / f"step-{step:010d}.safetensors"
    TutelageCheckpointIO().save_checkpoint(state | {"tutelage": note}, path)
    return path


def test_what_is_saved_is_loaded_and_its_marker_tells_of_it(tmp_path: Path) -> None:
    path = put(tmp_path, 5, metric=0.5)
    loaded = TutelageCheckpointIO().load_checkpoint(path, weights_only=True)
    assert torch.equal(loaded["state_dict"]["w"], torch.arange(8) * 5)
    marker = json.loads(path.with_suffix(".json").read_text())
    assert (marker["step"], marker["epoch"], marker["metric"]) == (5, 1, 0.5)
    assert marker["bytes"] == path.stat().st_size


def test_every_one_of_1000_bit_flips_and_truncations_is_detected(tmp_path: Path) -> None:
    path = put(tmp_path, 3, metric=0.5, size=100)
    rng = random.Random(0)
    for trial in range(1000):
        victim = path if trial % 4 else path.with_suffix(".json")
        whole = victim.read_bytes()
        broken = bytearray(whole)
        if trial % 5 == 0:
            del broken[rng.randrange(len(broken)) :]
        else:
            broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        victim.write_bytes(broken)
        with pytest.raises(CheckpointError):
            TutelageCheckpointIO().load_checkpoint(path)
        assert find_valid(tmp_path) is None
        victim.write_bytes(whole)
    assert find_valid(tmp_path) == path


def test_the_newest_valid_checkpoint_wins_and_each_skipped_one_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [put(tmp_path, step) for step in (9, 10, 11, 12)]
    paths[2].write_bytes(paths[2].read_bytes()[:-1])
    paths[3].with_suffix(".json").unlink()
    assert find_valid(tmp_path) == paths[1]
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert "step-0000000012" in lines[0]
    assert "marker is missing" in lines[0]
    assert "truncated" in lines[1]
    assert [status.valid for status in verify(tmp_path)] == [True, True, False, False]


def test_a_run_killed_while_it_wrote_its_first_checkpoint_begins_anew(tmp_path: Path) -> None:
    first = put(tmp_path, 4)
    first.with_suffix(".json").unlink()
    assert find_resumable(tmp_path) is None
    put(tmp_path, 5).with_suffix(".json").unlink()
    with pytest.raises(CheckpointError, match="can't be resumed.*so are the 1 older"):
        find_resumable(tmp_path)


def test_a_folder_without_checkpoints_has_no_newest(tmp_path: Path) -> None:
    assert find_valid(tmp_path / "nowhere") is None
    assert verify(tmp_path / "nowhere") == []


def test_the_best_is_ranked_by_the_metric_and_passes_over_a_corrupt_one(tmp_path: Path) -> None:
    paths = [put(tmp_path, step, metric) for step, metric in ((1, 0.7), (2, 0.9), (3, None))]
    manager = CheckpointManager(tmp_path, monitor="val/f1", mode="max")
    assert (manager.best(), manager.latest()) == (paths[1], paths[2])
    assert CheckpointManager(tmp_path, monitor="val/f1", mode="min").best() == paths[0]
    paths[1].write_bytes(b"{}")
    assert manager.best() == paths[0]
    assert CheckpointManager(tmp_path, monitor="other").best() is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_that_is_no_number_is_never_the_best(value: float, tmp_path: Path) -> None:
    path = put(tmp_path, 1, value)
    assert read_marker(path).metric is None
    assert CheckpointManager(tmp_path, monitor="val/f1").best() is None


def test_a_pickled_checkpoint_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(CheckpointError, match="torch.save writes for .pt and .ckpt"):
        TutelageCheckpointIO().load_checkpoint(path)


def test_what_cannot_be_stored_is_named_and_the_former_checkpoint_survives(tmp_path: Path) -> None:
    path = put(tmp_path, 4)
    state = {"state_dict": {}, "global_step": 4, "callbacks": {"EarlyStopping": {"foo": object()}}}
    with pytest.raises(CheckpointError, match=r"callbacks\.EarlyStopping\.foo"):
        TutelageCheckpointIO().save_checkpoint(state, path)
    assert find_valid(tmp_path) == path


@contextmanager
def disk_with(room: int) -> Iterator[None]:
    """Let the system refuse to write files of more than ``room`` bytes, as a full disk does."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


@pytest.mark.parametrize("room", [10, 1000, 100_000])
def test_a_full_disk_is_an_error_that_leaves_the_former_checkpoint_and_nothing_else(
    room: int, tmp_path: Path
) -> None:
    path = put(tmp_path, 4, size=20_000)
    before = sorted(tmp_path.iterdir())
    for step in (4, 5):
        with disk_with(room), pytest.raises(StorageError, match="the disk is full"):
            put(tmp_path, step, size=20_000)
        assert sorted(tmp_path.iterdir()) == before
        assert find_valid(tmp_path) == path


def test_what_a_thread_writes_is_the_state_of_the_moment_it_was_saved(tmp_path: Path) -> None:
    io, weights = TutelageCheckpointIO(background=True), torch.zeros(1 << 20)
    for step in (1, 2, 3):
        weights.fill_(step)
        state = {"state_dict": {"w": weights}, "global_step": step}
        io.save_checkpoint(state, tmp_path / f"step-{step:010d}.safetensors")
        weights.fill_(-1.0)
    io.teardown()
    for step, path in enumerate(sorted(tmp_path.glob("*.safetensors")), 1):
        loaded = TutelageCheckpointIO().load_checkpoint(path)["state_dict"]
        assert isinstance(loaded, dict) and (loaded["w"] == step).all()


def test_what_a_thread_can_not_write_is_an_error_of_the_next_call_and_only_once(
    tmp_path: Path,
) -> None:
    io = TutelageCheckpointIO(background=True)
    state = {"state_dict": {"w": torch.zeros(1 << 20)}, "global_step": 1}
    with disk_with(1 << 16):
        io.save_checkpoint(state, tmp_path / "step-0000000001.safetensors")
        with pytest.raises(StorageError, match="step-0000000001"):
            io.wait()
    io.save_checkpoint(state, tmp_path / "step-0000000001.safetensors")
    io.teardown()
    assert find_valid(tmp_path) is not None


def test_what_a_thread_can_not_write_at_the_end_hides_no_other_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    io = TutelageCheckpointIO(background=True)
    state = {"state_dict": {"w": torch.zeros(1 << 20)}, "global_step": 1}

    def fail() -> None:
        with disk_with(1 << 16):
            io.save_checkpoint(state, tmp_path / "step-0000000001.safetensors")
            try:
                raise ValueError("lightning struck")
            finally:
                io.teardown()

    with pytest.raises(ValueError, match="lightning struck"):
        fail()
    assert "the last checkpoint is lost" in caplog.text
    with disk_with(1 << 16), pytest.raises(StorageError, match="the disk is full"):
        io.save_checkpoint(state, tmp_path / "step-0000000001.safetensors")
        io.teardown()


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        put(tmp_path / "file" / "folder", 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_an_unwritable_folder_is_a_storage_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="can't be written"):
        put(tmp_path, 1)


@pytest.mark.parametrize(
    "arguments",
    [{"every_n_steps": 0}, {"every_n_epochs": -1}, {"keep_last": 0}, {"keep_best": -1}],
    ids=str,
)
def test_settings_out_of_range_are_refused(arguments: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        CheckpointManager(tmp_path, **arguments)


def test_a_run_keeps_its_last_and_its_best_checkpoints_and_no_more(tmp_path: Path) -> None:
    model.train(tmp_path, Setup(every_n_steps=1))
    statuses = verify(tmp_path)
    assert all(status.valid for status in statuses)
    markers = [status.marker for status in statuses]
    assert [marker.step for marker in markers][-2:] == [23, 24]
    assert len(statuses) <= 3
    assert len(list(tmp_path.iterdir())) == 2 * len(statuses)
    best = CheckpointManager(tmp_path, monitor="val/loss").best()
    assert best is not None
    assert read_marker(best).metric == min(m.metric for m in markers if m.metric is not None)


def test_a_monitored_metric_that_does_not_exist_is_an_error_that_lists_those_that_do(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match="'val/f2' does not exist\n.*val/loss"):
        model.train(tmp_path, Setup(monitor="val/f2"))


def test_a_new_fit_in_a_used_folder_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, 7)
    with pytest.raises(StorageError, match="another fit's checkpoints, up to step 7"):
        model.train(tmp_path, Setup(), resume=False)
    assert find_valid(tmp_path) == path


def test_what_a_killed_writer_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".step-0000000009.safetensors.123.tmp").write_bytes(b"half")
    (tmp_path / "step-0000000900.safetensors").write_bytes(b"no marker")
    model.train(tmp_path, Setup(trainer={"max_epochs": 1}))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-0000000008.json",
        "step-0000000008.safetensors",
    ]


def test_all_random_states_come_back() -> None:
    def draw() -> tuple[float, float, float, float, float]:
        return (
            random.gauss(0, 1),
            random.random(),
            np.random.randn(),
            np.random.rand(),
            float(torch.randn(())),
        )

    random.gauss(0, 1)  # leaves a second value behind, as NumPy's does below
    np.random.randn()
    states = capture(torch.device("cpu"))
    expected = [draw() for _ in range(3)]
    restore(states, torch.device("cpu"))
    assert [draw() for _ in range(3)] == expected


@pytest.mark.system
def test_training_and_resuming_never_unpickle(tmp_path: Path) -> None:
    script = """
import pickle, sys, warnings
from pathlib import Path
warnings.filterwarnings("ignore")
import exact_resume_model as model
def refuse(*args, **kwargs):
    raise AssertionError("unpickled")
pickle.load = pickle.loads = refuse
try:
    model.train(Path(sys.argv[1]), model.Setup(every_n_steps=2), model.Kill(20))
except model.Killed:
    model.train(Path(sys.argv[1]), model.Setup(every_n_steps=2))
    print("resumed")
"""
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", script, str(tmp_path)]
    child = subprocess.run(command, capture_output=True, text=True, env=here)
    assert child.stdout.splitlines()[-1:] == ["resumed"], child.stderr
