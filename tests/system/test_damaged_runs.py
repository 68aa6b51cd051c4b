"""Weights and checkpoints that were altered, cut or forged are refused; a full disk is noticed."""

from __future__ import annotations

import pickle
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from command import LONG, RESUME, Shared, Tutelage, assert_refused, obey_permissions, record

from tutelage.tasks.can.simulator import simulate_capture, write_candump


class Forged:
    """An object that leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str, str], object], tuple[str, str]]:
        return open, (str(self.mark), "w")


def flip(path: Path, mark: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 0x10
    path.write_bytes(content)


def cut(path: Path, mark: Path) -> None:
    path.write_bytes(path.read_bytes()[:-64])


def forge(path: Path, mark: Path) -> None:
    path.write_bytes(pickle.dumps(Forged(mark)))


@pytest.mark.parametrize(
    ("damage", "command"),
    [(flip, "evaluate"), (forge, "predict")],
)
def test_damaged_weights_are_refused(
    shared: Shared, tmp_path: Path, damage: Callable[[Path, Path], None], command: str
) -> None:
    tutelage = Tutelage(tmp_path / "home", tmp_path)
    tutelage.copy_from(shared.tutelage)
    weights = tutelage.runs()[0] / "model.safetensors"
    damage(weights, tmp_path / "mark")
    source = [tmp_path] if command == "predict" else []
    assert_refused(tutelage(command, "@last", *source), str(weights))
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "model.json", "config.json", "record.json"])
def test_a_file_of_a_run_that_may_not_be_read_is_named(
    shared: Shared, tmp_path: Path, name: str
) -> None:
    tutelage = Tutelage(tmp_path / "home", tmp_path)
    tutelage.copy_from(shared.tutelage)
    path = tutelage.runs()[0] / name
    path.chmod(0)
    result = tutelage("evaluate", path.parent, prepare=obey_permissions)
    assert_refused(result, str(path), "ermission")


@pytest.mark.parametrize("content", ["[]", "not JSON", '{"schema_version": 2}'])
def test_a_damaged_card_is_refused(shared: Shared, tmp_path: Path, content: str) -> None:
    tutelage = Tutelage(tmp_path / "home", tmp_path)
    tutelage.copy_from(shared.tutelage)
    card = tutelage.runs()[0] / "model.json"
    card.write_text(content)
    assert_refused(tutelage("evaluate", "@last"), str(card))


@pytest.mark.parametrize("damage", [cut, forge])
def test_a_run_whose_checkpoints_are_all_damaged_is_not_resumed(
    broken_off: Tutelage, tmp_path: Path, damage: Callable[[Path, Path], None]
) -> None:
    tutelage = Tutelage(tmp_path / "home", tmp_path)
    tutelage.copy_from(broken_off)
    checkpoints = sorted(tutelage.home.glob("*/checkpoints/*.safetensors"))
    for path in checkpoints:
        damage(path, tmp_path / "mark")
    before = {path: path.read_bytes() for path in checkpoints}
    result = tutelage("train", "can", *LONG, RESUME, "--json")
    assert_refused(result, str(checkpoints[-1]), "run.policy=force_new")
    assert not (tmp_path / "mark").exists()
    assert {path: path.read_bytes() for path in checkpoints} == before
    assert record(tutelage.runs()[0])["status"] != "finished"


def test_a_run_resumes_from_its_last_whole_checkpoint_and_says_so(
    broken_off: Tutelage, unbroken: Tutelage, tmp_path: Path
) -> None:
    tutelage = Tutelage(tmp_path / "home", tmp_path)
    tutelage.copy_from(broken_off)
    checkpoints = sorted(tutelage.home.glob("*/checkpoints/*.safetensors"))
    assert len(checkpoints) > 1
    flip(checkpoints[-1], tmp_path)
    tutelage.done("train", "can", *LONG, RESUME, "--json")
    run = tutelage.runs()[0]
    weights = [p / "model.safetensors" for p in (run, unbroken.runs()[0])]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    log = (run / "log.jsonl").read_text()
    assert checkpoints[-1].name in log
    assert f"resuming from {checkpoints[-2].name}" in log


@pytest.mark.parametrize("kilobytes", [1, 24], ids=["before-training", "at-a-checkpoint"])
def test_a_full_disk_ends_the_run_with_one_message(
    shared: Shared, tmp_path: Path, kilobytes: int
) -> None:
    def limit() -> None:
        """No file may grow beyond the limit: what a full disk says, without a disk."""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, resource.RLIM_INFINITY))

    tutelage = Tutelage(tmp_path / "home", tmp_path)
    shutil.copytree(shared.tutelage.home / ".cache", tutelage.home / ".cache")
    result = tutelage("train", "can", *LONG, "--json", prepare=limit)
    assert_refused(result, str(tutelage.home), "disk is full")
    assert all(record(run)["status"] != "finished" for run in tutelage.runs())
    assert not list(tutelage.home.glob("*/model.safetensors"))
    again = tutelage.done("train", "can", *LONG, RESUME, "--json").json
    assert again["status"] == "finished"


def test_predictions_on_a_full_disk_are_refused(shared: Shared, tmp_path: Path) -> None:
    path = tmp_path / "drive.log"
    write_candump(simulate_capture("estate", seed=1, seconds=1).frames, path)
    result = shared.tutelage("predict", "@last", path, "--output", "/dev/full")
    assert_refused(result, "/dev/full", "disk is full")
