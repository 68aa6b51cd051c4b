"""What a run learned survives the model card, and a foreign card is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made_captures import noise

from tutelage.core.errors import CheckpointError, DataError
from tutelage.tasks.can import CANTask
from tutelage.tasks.can.preprocessing import Preprocessing
from tutelage.tasks.can.simulator import simulate_capture


@pytest.fixture(scope="module")
def learned() -> Preprocessing:
    frames = simulate_capture("hatchback", seed=1, seconds=6, attack="dos").frames
    return Preprocessing.fit([frames], 100, {"digest": "train/DoS"}, 0.25, {"held": "val/DoS"})


def test_a_card_gives_back_what_was_learned(learned: Preprocessing) -> None:
    kept = json.loads(json.dumps(learned.to_json()))
    again = Preprocessing.from_json(kept)
    assert again.to_json() == learned.to_json()
    assert again.trained_on == {"digest": "train/DoS"}
    assert again.test_fraction == 0.25
    assert again.validated_on == {"held": "val/DoS"}
    frames = simulate_capture("hatchback", seed=2, seconds=4, attack="fuzzing").frames
    for name, rule in learned.rules.items():
        one, other = (r.windows(frames, 100, 100) for r in (rule, again.rules[name]))
        assert np.array_equal(one.score, other.score) and np.array_equal(one.alarm, other.alarm)


@pytest.mark.parametrize("part", ["profile", "rules", "trained_on", "test_fraction"])
def test_a_card_without_a_part_is_refused(learned: Preprocessing, part: str) -> None:
    value = {key: kept for key, kept in learned.to_json().items() if key != part}
    with pytest.raises(CheckpointError, match="the card is of no CAN model"):
        Preprocessing.from_json(value)


@pytest.mark.parametrize(
    "part", ["profile", "rules", "trained_on", "test_fraction", "validated_on", "vehicles"]
)
@pytest.mark.parametrize("value", [None, "text", [1, 2]])
def test_a_card_with_a_part_of_another_kind_is_refused(
    learned: Preprocessing, part: str, value: object
) -> None:
    with pytest.raises(CheckpointError, match="the card is of no CAN model"):
        Preprocessing.from_json(dict(learned.to_json()) | {part: value})


def test_weights_go_on_under_the_same_vocabulary_alone(learned: Preprocessing) -> None:
    old, task = learned.to_json(), CANTask()
    longer = simulate_capture("hatchback", seed=3, seconds=8).frames
    same = Preprocessing.fit([longer], 100, {"other": "train/DoS"}, 0.0).to_json()
    assert old != same and task.continues(old, same) is None
    other = simulate_capture("estate", seed=1, seconds=6).frames
    new = Preprocessing.fit([other], 100, {}, 0.0).to_json()
    assert "vocabulary of CAN ids differs" in str(task.continues(old, new))


def test_frames_of_attacks_alone_teach_nothing() -> None:
    with pytest.raises(DataError, match="benign"):
        Preprocessing.fit([noise(4.0, attacked=slice(None))], 100, {}, 0.0)
