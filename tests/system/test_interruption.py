"""Runs that are killed, interrupted or started twice, and how they go on."""

from __future__ import annotations

import shlex
import signal
import time
from pathlib import Path

import pytest
from command import LONG, RESUME, Tutelage, assert_refused, record, wait_for_step

STEPS = 40
"""Fewest optimiser steps of an epoch of `LONG`."""


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def rows(run: Path) -> list[str]:
    """The run's metrics without the clock."""
    lines = (run / "metrics.csv").read_text().splitlines()
    return [line.rpartition(",")[0] for line in lines]


@pytest.mark.parametrize("step", [STEPS - 5, STEPS + 20])
def test_a_killed_run_resumes_to_the_same_weights_and_scores(
    unbroken: Tutelage, tutelage: Tutelage, step: int
) -> None:
    process = tutelage.start("train", "can", *LONG, "--json")
    wait_for_step(tutelage, process, step)
    process.kill()
    killed = tutelage.finish(process)
    assert killed.code == -signal.SIGKILL
    (run,) = tutelage.runs()
    assert record(run)["status"] == "running"
    assert tutelage.done("runs", "show", "@last", "--json").json["status"] == "interrupted"
    assert not (run / "model.safetensors").exists()
    resumed = tutelage.done("train", "can", *LONG, RESUME, "--json").json
    assert resumed["run"] == run.name
    assert "resuming from step-" in (run / "log.jsonl").read_text()
    whole = unbroken.runs()[0]
    assert weights(run) == weights(whole)
    assert resumed["metrics"] == record(whole)["metrics"]
    assert resumed["baselines"] == record(whole)["baselines"]
    assert rows(run) == rows(whole)
    assert tutelage.runs() == [run]


def test_a_run_killed_before_its_first_checkpoint_starts_again_in_its_folder(
    unbroken: Tutelage, tutelage: Tutelage
) -> None:
    process = tutelage.start("train", "can", *LONG, "--json")
    while not tutelage.runs() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    tutelage.finish(process)
    (run,) = tutelage.runs()
    resumed = tutelage.done("train", "can", *LONG, RESUME, "--json").json
    assert resumed["run"] == run.name
    assert weights(run) == weights(unbroken.runs()[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_an_interrupted_run_says_how_to_go_on_and_does(
    unbroken: Tutelage, tutelage: Tutelage, number: signal.Signals
) -> None:
    process = tutelage.start("train", "can", *LONG, "--json")
    wait_for_step(tutelage, process, 3)
    process.send_signal(number)
    stopped = tutelage.finish(process)
    assert stopped.code == 1
    assert stopped.out == ""
    assert "interrupted" in stopped.err and RESUME in stopped.err
    assert "Traceback" not in stopped.err
    (run,) = tutelage.runs()
    assert run.name in stopped.err
    assert record(run)["status"] == "interrupted"
    resumed = tutelage.done("train", "can", *LONG, RESUME, "--json").json
    assert resumed["run"] == run.name
    assert weights(run) == weights(unbroken.runs()[0])


def test_a_live_run_is_neither_resumed_nor_removed_by_another_process(tutelage: Tutelage) -> None:
    process = tutelage.start("train", "can", *LONG, "--json")
    wait_for_step(tutelage, process, 3)
    process.send_signal(signal.SIGSTOP)
    try:
        (run,) = tutelage.runs()
        assert_refused(tutelage("runs", "rm", run.name, "--yes"), "another process", run.name)
        assert_refused(tutelage("evaluate", run.name), "running", run.name)
        again = tutelage("train", "can", *LONG, RESUME, "--json")
        assert_refused(again, "another process", run.name)
        assert tutelage.runs() == [run]
    finally:
        process.send_signal(signal.SIGCONT)
    first = tutelage.finish(process)
    assert first.code == 0, first.err
    assert first.json["run"] == run.name


def test_a_killed_run_is_not_evaluated_and_the_doctor_s_command_finishes_it(
    unbroken: Tutelage, broken_off: Tutelage, tutelage: Tutelage
) -> None:
    tutelage.copy_from(broken_off)
    assert_refused(tutelage("evaluate", "@last"), "interrupted", RESUME)
    told = tutelage("doctor", "@last", "--json")
    assert told.code == 1 and told.err == ""
    said = told.json["diagnosis"]
    assert isinstance(said, dict) and said["kind"] == "killed"
    name, *command = shlex.split(str(told.json["resume"]))
    assert name == "tutelage" and RESUME in command
    tutelage.done(*command)
    assert weights(tutelage.runs()[0]) == weights(unbroken.runs()[0])
    assert tutelage("doctor", "@last").code == 0


def test_a_new_run_starts_from_the_weights_of_the_previous_one(unbroken: Tutelage) -> None:
    settings = (*LONG, "run.policy=continue_from_previous", "training.learning_rate=1e-12")
    previous = unbroken.runs()[0]
    follower = unbroken.done("train", "can", *settings, "--json").json
    began = {"run": previous.name, "role": "initial weights", "same_data": True}
    assert follower["parents"] == [began]
    assert follower["run"] != previous.name
    same = record(previous)["metrics"]
    shared_keys = [key for key in same if key.endswith("/auroc")]
    assert shared_keys
    for key in shared_keys:
        assert follower["metrics"][key] == pytest.approx(same[key], abs=1e-3)
