"""Distillation as a person types it, and the same from Python."""

from __future__ import annotations

import json

from command import SMALL, Tutelage, assert_refused, record

from tutelage import api

TEACHER = (*SMALL, "training.max_epochs=1", "run.name=teacher")
STUDENT = (*SMALL, "model.hidden=2", "training.max_epochs=1", "mode=distillation")


def test_the_command_and_python_distil_to_the_same_run_and_bits(tutelage: Tutelage) -> None:
    assert_refused(tutelage("train", "can", *STUDENT), "mode.teacher is missing", "finished run")
    teacher = tutelage.done("train", "can", *TEACHER, "--json").json
    typed = tutelage.done("train", "can", *STUDENT, "mode.teacher=@last", "--json").json
    assert [(p["run"], p["role"]) for p in typed["parents"]] == [(teacher["run"], "teacher")]  # type: ignore[attr-defined]
    settings = (*SMALL, "model.hidden=2", "training.max_epochs=1")
    mode = {"name": "distillation", "teacher": teacher["run"]}
    found = api.train("can", *settings, home=tutelage.home, mode=mode)
    assert found.id == typed["run"]  # the very same settings: reused
    again = api.train("can", *settings, "run.policy=force_new", home=tutelage.home, mode=mode)
    first, second = (record(run.path) for run in (found, again))
    assert again.id != found.id and first["metrics"] == second["metrics"] == typed["metrics"]
    digests = [r["artifacts"]["model.safetensors"]["digest"] for r in (first, second)]  # type: ignore[index]
    assert digests[0] == digests[1]
    shown = json.loads(tutelage.done("modes", "can", "--json").out)["modes"]["distillation"]
    assert shown["models"] == {"can": ["gat"]} and "finished run" in shown["summary"]
