"""Distillation as a person types it, and the same from Python."""

from __future__ import annotations

from command import SMALL, Shared, Tutelage, record

from tutelage import api

STUDENT = (*SMALL, "model.hidden=2", "training.max_epochs=1")


def test_the_command_and_python_distil_to_the_same_run_and_bits(
    tutelage: Tutelage, shared: Shared
) -> None:
    teacher = f"mode.teacher={shared.run}"
    typed = tutelage.done("train", "can", *STUDENT, "mode=distillation", teacher, "--json").json
    parents = [{"run": shared.run.name, "role": "teacher", "same_data": True}]
    assert typed["parents"] == parents
    mode = {"name": "distillation", "teacher": str(shared.run)}
    found = api.train("can", *STUDENT, home=tutelage.home, mode=mode)
    assert found.id == typed["run"]  # the very same settings: reused
    again = api.train("can", *STUDENT, "run.policy=force_new", home=tutelage.home, mode=mode)
    first, second = (record(run.path) for run in (found, again))
    assert again.id != found.id and first["metrics"] == second["metrics"] == typed["metrics"]
    weights = [r["artifacts"]["model.safetensors"]["digest"] for r in (first, second)]  # type: ignore[index]
    assert weights[0] == weights[1]
