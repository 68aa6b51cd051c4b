"""`tutelage doctor RUN` tells what ended a run, what to do, and the command that goes on."""

from __future__ import annotations

import json
import logging
import resource
import shlex
from pathlib import Path

import pytest
import torch
import typer
from tiny_task import Batch, OnStep, TinyModule, crash_at, train
from typer.testing import CliRunner

from tutelage.api.doctor import Examined, examine
from tutelage.cli import doctor
from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, DataError, RequestError, TutelageError
from tutelage.core.installing import install_command
from tutelage.core.store import CONFIG, Run, RunStore

SETTINGS = ("training.accelerator=cpu", "training.checkpoints.every_n_steps=2")


def broken(home: Path, on_step: OnStep, *settings: str) -> Run:
    """A run of the tiny task that ends before its time."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(TutelageError):
            train(home, *SETTINGS, *settings, on_step=on_step)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    (run,) = RunStore(home).runs()
    return run


def examined(home: Path, on_step: OnStep, *settings: str) -> Examined:
    return examine(broken(home, on_step, *settings), home)


def spoil(module: TinyModule, batch: Batch) -> None:
    if module.trainer.global_step == 7:
        batch[0].fill_(torch.nan)


def fill(module: TinyModule, batch: Batch) -> None:
    if module.trainer.global_step == 7:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, resource.RLIM_INFINITY))


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory", "training.batch_size"),
        (MemoryError(), "out of memory", "training.batch_size"),
        (DataError("line 3 is torn", where="a.csv"), "data", "tutelage audit"),
        (ConfigError("unknown"), "settings", "Change the setting"),
        (OSError(28, "No space left on device"), "disk full", "Free some space"),
        (ModuleNotFoundError("No module named 'onnxruntime'"), "missing package",
         install_command("onnx")),
        (ModuleNotFoundError("No module named 'PIL.Image'"), "missing package",
         install_command("multimodal")),
        (ModuleNotFoundError("No module named 'of_my_own'"), "missing package",
         "pip install 'of-my-own'"),
        (RequestError("needs it", hint="Install it: pip install -c '/a b/c.txt' 'tutelage[ner]'."),
         "missing package", "pip install -c '/a b/c.txt' 'tutelage[ner]'"),
        (ValueError("lightning struck"), "fault", "tutelage runs log"),
        (KeyboardInterrupt(), "stopped", "Go on with it: "),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)  # fmt: skip
def test_what_was_raised_is_explained(
    tmp_path: Path, error: BaseException, kind: str, advice: str
) -> None:
    found = examined(tmp_path, crash_at(7, error))
    assert found.diagnosis.kind == kind and not found.sound
    assert any(advice in line for line in found.diagnosis.advice), found.diagnosis
    assert any("the newest of step 6" in line for line in found.diagnosis.seen)
    assert found.evidence.resume in found.diagnosis.advice[-1]


def test_a_fault_is_told_with_the_place_that_it_came_from(tmp_path: Path) -> None:
    found = examined(tmp_path, crash_at(7, ValueError("lightning struck")))
    assert "in on_step, tiny_task.py line" in found.diagnosis.said
    assert any("it said: ValueError: lightning struck" in line for line in found.diagnosis.seen)


@pytest.mark.parametrize(
    ("on_step", "kind"), [(spoil, "diverged"), (fill, "disk full")], ids=["nan", "disk"]
)
def test_what_training_came_to_is_explained(tmp_path: Path, on_step: OnStep, kind: str) -> None:
    assert examined(tmp_path, on_step).diagnosis.kind == kind


def test_a_run_whose_time_was_over_is_well(tmp_path: Path) -> None:
    found = examined(tmp_path, lambda module, batch: None, "training.max_time=1e-9")
    assert found.diagnosis.kind == "stopped" and "training.max_time" in found.diagnosis.said


def test_a_process_that_left_no_word_was_killed(tmp_path: Path) -> None:
    run = broken(tmp_path, crash_at(7, KeyboardInterrupt()))
    run.update(status="running", finished=None)
    log = run.path / "log.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(line for line in lines if "interrupted" not in line) + '{"time": "2')
    found = examine(run, tmp_path)
    assert (found.evidence.status, found.diagnosis.kind) == ("interrupted", "killed")
    assert "without a word, some time after 20" in found.diagnosis.said


def test_a_run_without_a_whole_checkpoint_can_not_go_on(tmp_path: Path) -> None:
    run = broken(tmp_path, crash_at(7, KeyboardInterrupt()))
    for path in run.checkpoints.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    found = examine(run, tmp_path)
    assert any("truncated" in line for line in found.diagnosis.seen)
    assert "run.policy=force_new" in found.diagnosis.advice[-1]
    assert found.summary()["resume"] is None


def test_only_what_the_last_process_said_counts(tmp_path: Path) -> None:
    run = broken(tmp_path, crash_at(3, MemoryError()))
    with pytest.raises(TutelageError):
        again = "run.policy=resume_if_incomplete"
        train(tmp_path, *SETTINGS, again, on_step=crash_at(7, DataError("torn")))
    assert examine(run, tmp_path).diagnosis.kind == "data"


def test_the_command_that_goes_on_names_the_run_s_own_settings_and_store(tmp_path: Path) -> None:
    run = broken(tmp_path / "a b", crash_at(7, KeyboardInterrupt()))
    home, *command = shlex.split(examine(run, tmp_path / "a b").evidence.resume)
    assert home == f"TUTELAGE_HOME={tmp_path / 'a b'}"
    assert command == ["tutelage", "train", "tiny", "--config", str(run.path / CONFIG),
                       "run.policy=resume_if_incomplete"]  # fmt: skip
    of_study = broken(tmp_path / "s", crash_at(7, KeyboardInterrupt()), "run.tags.study=s1")
    assert "of its study again (s1)" in examine(of_study, tmp_path).evidence.resume


def test_sound_runs_are_said_to_be_and_exit_with_zero_others_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUTELAGE_HOME", str(tmp_path))
    app = typer.Typer()
    app.callback()(lambda: None)
    doctor.register(app)

    def ask(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["doctor", *arguments])
        return result.exit_code, result.stdout

    run = broken(tmp_path, crash_at(7, ValueError("[red]struck")))
    code, said = ask("@last")
    assert code == 1 and "(failed)" in said and "ValueError: [red]struck" in said
    told = json.loads(ask(run.id, "--json")[1])
    assert (told["run"], told["ok"], told["diagnosis"]["kind"]) == (run.id, False, "fault")
    assert told["resume"] in said
    assert [one["problem"] for one in told["checkpoints"]] == [None] * len(told["checkpoints"])
    run.update(status="running")
    with run.hold():
        assert ask("@last")[0] == 0 and "works on it now" in ask("@last")[1]
    train(tmp_path, *SETTINGS)
    assert ask("@last")[0] == 0 and "nothing went wrong" in ask("@last")[1]


def test_the_log_level_decides_what_is_logged_and_nothing_that_is_computed(tmp_path: Path) -> None:
    runs = {
        level: train(tmp_path / level, *SETTINGS, f"run.log_level={level}").run
        for level in ("error", "debug")
    }
    assert (runs["error"].path / "log.jsonl").read_text() == ""
    said = (runs["debug"].path / "log.jsonl").read_text()
    assert "epoch 3/3" in said and '"level": "debug"' in said
    prints = {run.record.fingerprints.run for run in runs.values()}
    weights = {(run.path / "model.safetensors").read_bytes() for run in runs.values()}
    assert len(prints) == len(weights) == 1
    assert RunConfig.model_fields["run"].default.log_level == "info"


def test_warnings_are_told_but_for_what_a_library_will_change(tmp_path: Path) -> None:
    def complain(module: TinyModule, batch: Batch) -> None:
        logging.getLogger("lightning").warning("LeafSpec is deprecated, use another")
        logging.getLogger("lightning").warning("three words are lost")
        raise ValueError("lightning struck")

    told = "\n".join(examined(tmp_path, complain).diagnosis.seen)
    assert "it warned: three words are lost" in told and "LeafSpec" not in told
