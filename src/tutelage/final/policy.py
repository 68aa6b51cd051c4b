"""What a final training does next: a table of policies and of what there is already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final, assert_never

from tutelage.core.config import RunPolicy
from tutelage.core.store import Run
from tutelage.final.manifest import read_manifest


class State(StrEnum):
    """What there is of a final training."""

    ABSENT = "absent"
    """No run of these settings and data."""
    UNFINISHED = "unfinished"
    """A run that was cut: what its checkpoints hold is no model."""
    TRAINED = "trained"
    """A finished run that was not exported and judged as is asked now."""
    SHIPPED = "shipped"
    """A finished run with its manifest, whether it passed or not."""


class Step(StrEnum):
    """What is done."""

    TRAIN = "train"
    """Make a new run; export and judge it."""
    RESUME = "resume"
    """Go on with the unfinished run; export and judge it."""
    SHIP = "ship"
    """Export and judge the finished run."""
    REUSE = "reuse"
    """Return what there is."""


_GOES_ON: Final = MappingProxyType(
    {
        State.ABSENT: Step.TRAIN,
        State.UNFINISHED: Step.RESUME,
        State.TRAINED: Step.SHIP,
        State.SHIPPED: Step.REUSE,
    }
)
STEPS: Final[Mapping[RunPolicy, Mapping[State, Step]]] = MappingProxyType(
    {
        "reuse_if_exists": MappingProxyType({**_GOES_ON, State.UNFINISHED: Step.TRAIN}),
        "force_new": MappingProxyType(dict.fromkeys(State, Step.TRAIN)),
        "resume_if_incomplete": _GOES_ON,
        "continue_from_previous": _GOES_ON,
    }
)
"""The step of each policy in each state. `continue_from_previous` begins with other weights (those
of the newest shipped model), so that it looks at other runs; with these it goes on."""


def next_step(policy: RunPolicy, state: State) -> Step:
    """Return what is done under a policy where there is so much already."""
    return STEPS[policy][state]


def state_of(same: Sequence[Run], settings: Mapping[str, object]) -> tuple[State, Run | None]:
    """Say what there is of a final training.

    Args:
        same: The runs of its fingerprint, oldest first.
        settings: What it asks beyond a run: formats and gates.

    Returns:
        The state, and the run that it is about.

    Raises:
        StoreError: A manifest is damaged.
    """
    finished = [run for run in same if run.record.status == "finished"]
    for run in reversed(finished):
        manifest = read_manifest(run)
        if manifest is not None and dict(manifest.asked) == dict(settings):
            return State.SHIPPED, run
    if finished:
        return State.TRAINED, finished[-1]
    if same:
        return State.UNFINISHED, same[-1]
    return State.ABSENT, None


def run_policy(step: Step) -> RunPolicy:
    """Return the policy of the run that a step makes or goes on with."""
    match step:
        case Step.TRAIN:
            return "force_new"
        case Step.RESUME:
            return "resume_if_incomplete"
        case Step.SHIP | Step.REUSE:
            return "reuse_if_exists"
    assert_never(step)
