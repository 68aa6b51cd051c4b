"""`reproduce` makes a run again to the bit, from the same parents, and says what is otherwise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tutelage import api
from tutelage.core.errors import CheckpointError, ConfigError, StoreError
from tutelage.core.store import RECORD, WEIGHTS, Run
from tutelage.final.reproduction import REPRODUCTION, Difference
from tutelage.final.weights import compare_weights

FAST = ("training.accelerator=cpu", "training.max_epochs=2")


@pytest.fixture
def run(home: Path) -> Run:
    return api.train("tiny", *FAST, home=home)


def changed_record(run: Run, **changes: object) -> None:
    record = json.loads((run.path / RECORD).read_text())
    for place, value in changes.items():
        part, _, key = place.partition("__")
        record[part] |= {key: value}
    (run.path / RECORD).write_text(json.dumps(record))


def test_a_run_comes_out_again_to_the_bit(run: Run) -> None:
    made = api.reproduce(run)
    assert made.identical and made.again.id != run.id
    assert made.weights.tensors == len(load_file(run.path / WEIGHTS)) and not made.metrics
    assert not made.differences
    assert made.again.record.tags == {"purpose": "reproduction"}
    assert json.loads((made.again.path / REPRODUCTION).read_text())["identical"] is True


def test_what_is_otherwise_is_told_before_any_work(run: Run) -> None:
    changed_record(
        run, fingerprints__source="older", environment__python="3.9.1", environment__threads=64
    )
    runs: list[int] = []
    heard: list[Difference] = []

    def tell(differences: object) -> None:
        heard.extend(differences)  # type: ignore[call-overload]
        runs.append(len(list(run.path.parent.glob("*-tiny-*"))))

    made = api.reproduce(run, tell=tell)
    assert [d.what for d in heard] == ["source", "python", "threads"] and runs == [1]
    assert heard[1].then == "3.9.1" and made.differences == tuple(heard)


def test_data_that_changed_are_told_and_the_bits_that_differ_counted(
    home: Path, data: Path
) -> None:
    run = api.train("filed", *FAST, f"data.root={data}", home=home)
    (data / "a.csv").write_text("1\n" * 12)
    made = api.reproduce(run)
    assert [d.what for d in made.differences] == ["data"]
    assert not made.identical and made.weights.differing and made.metrics
    assert made.weights.largest is not None and made.weights.largest > 0


def test_a_run_with_a_parent_is_made_again_from_the_same_one(home: Path) -> None:
    teacher = api.train("tiny", *FAST, home=home)
    mode = {"name": "distillation", "teacher": teacher.id}
    student = api.train("tiny", *FAST, "model.hidden=3", home=home, mode=mode)
    api.train("tiny", *FAST, "training.seed=4", home=home)
    made = api.reproduce(student.id, home=home)
    assert made.identical
    assert [p.run for p in made.again.record.parents] == [teacher.id]


def test_a_continued_run_begins_again_with_the_weights_it_began_with(home: Path) -> None:
    first = api.train("tiny", *FAST, home=home)
    begun = ("run.policy=continue_from_previous", "training.learning_rate=0.01")
    run = api.train("tiny", *FAST, *begun, home=home)
    api.train("tiny", *FAST, "training.seed=4", home=home)
    made = api.reproduce(run)
    assert made.identical
    assert [p.run for p in made.again.record.parents] == [first.id]


def test_a_measured_batch_size_is_taken_and_not_measured_again(home: Path) -> None:
    run = api.train("tiny", *FAST, "training.batch_size=auto", home=home)
    chosen = run.path / "batch_size.json"
    made = api.reproduce(run)
    assert made.identical
    size = made.again.settings["training"]["batch_size"]  # type: ignore[index]
    assert size == json.loads(chosen.read_text())["size"]


def test_a_run_of_a_lost_parent_or_without_an_end_is_refused(home: Path) -> None:
    teacher = api.train("tiny", *FAST, home=home)
    mode = {"name": "distillation", "teacher": teacher.id}
    student = api.train("tiny", *FAST, "model.hidden=3", home=home, mode=mode)
    shutil.rmtree(teacher.path)
    with pytest.raises(StoreError, match=rf"from {teacher.id} \(teacher\), which is no longer"):
        api.reproduce(student)
    student.update(status="failed")
    with pytest.raises(StoreError, match="this run is failed"):
        api.reproduce(student)


def test_other_settings_than_where_to_run_are_refused(run: Run) -> None:
    with pytest.raises(ConfigError, match="would make another run"):
        api.reproduce(run, "training.seed=3")


def test_weights_are_compared_bit_by_bit(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    tensors = {"a": np.arange(4, dtype=np.float32), "b": np.arange(3), "z": np.zeros(1)}
    save_file(tensors, one)
    save_file(tensors, other)
    assert compare_weights(one, other).identical
    changed = {"a": tensors["a"] + np.float32(0.5), "b": tensors["b"], "z": -tensors["z"]}
    save_file(changed, other)
    found = compare_weights(one, other)
    assert found.differing == ("a", "z")  # minus zero is another bit
    assert found.largest == 0.5 and found.tensors == 3
    save_file({"a": tensors["a"][:2], "c": tensors["b"]}, other)
    assert compare_weights(one, other).differing == ("a", "b", "c", "z")
    other.write_bytes(b"not weights at all")
    with pytest.raises(CheckpointError, match="no file of weights"):
        compare_weights(one, other)
