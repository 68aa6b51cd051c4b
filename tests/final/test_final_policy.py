"""The four policies of a final training, in each state that there is."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from tutelage import api
from tutelage.api.final import execute_final_training
from tutelage.core.config import RunPolicy
from tutelage.core.store import Run
from tutelage.final.manifest import FINAL
from tutelage.final.policy import STEPS, State, Step, next_step, run_policy, state_of

EXPECTED = {
    "reuse_if_exists": ("train", "train", "ship", "reuse"),
    "force_new": ("train", "train", "train", "train"),
    "resume_if_incomplete": ("train", "resume", "ship", "reuse"),
    "continue_from_previous": ("train", "resume", "ship", "reuse"),
}


@pytest.mark.parametrize("policy", get_args(RunPolicy))
def test_each_policy_has_one_step_for_each_state(policy: RunPolicy) -> None:
    assert tuple(next_step(policy, state).value for state in State) == EXPECTED[policy]


def test_no_policy_takes_what_is_unfinished_for_a_model() -> None:
    steps = {table[State.UNFINISHED] for table in STEPS.values()}
    assert steps <= {Step.TRAIN, Step.RESUME}


def test_only_a_resumed_run_goes_on_and_only_a_new_one_is_forced() -> None:
    policies = {step: run_policy(step) for step in Step}
    assert policies[Step.TRAIN] == "force_new"
    assert policies[Step.RESUME] == "resume_if_incomplete"


def test_the_state_is_read_from_records_and_the_manifest(home: Path) -> None:
    fast = ("training.accelerator=cpu", "training.max_epochs=1")
    source = api.train("tiny", *fast, home=home)
    made = execute_final_training(source, "final.on=split", home=home)
    asked = dict(made.manifest.asked)

    def state(same: list[Run], settings: dict[str, object] = asked) -> State:  # type: ignore[assignment]
        return state_of(same, settings)[0]

    assert state([]) is State.ABSENT
    assert state([made.run]) is State.SHIPPED
    assert state([made.run], asked | {"export": ["onnx"]}) is State.TRAINED
    (made.run.path / FINAL).unlink()
    assert state([made.run]) is State.TRAINED
    made.run.update(status="interrupted")
    assert state([made.run]) is State.UNFINISHED
