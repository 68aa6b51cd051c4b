"""`verify` names the one file in which a byte changed, and what nobody can check."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tutelage import api
from tutelage.core.store import INPUTS, RECORD, Run
from tutelage.final.verification import Verification

FAST = ("training.accelerator=cpu", "training.max_epochs=1")


def flip(path: Path) -> None:
    """Change one bit of the byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def told(found: Verification) -> list[tuple[str, str]]:
    return [(check.what, Path(check.path).name) for check in found.changed]


@pytest.fixture
def run(home: Path, data: Path) -> Run:
    return api.train("filed", *FAST, f"data.root={data}", home=home)


def test_a_run_that_nobody_touched_is_verified(run: Run, data: Path) -> None:
    found = api.verify(run)
    assert not found.changed and not found.unchecked
    assert {"weights", "card", "config", "inputs", "data", "record"} <= {
        c.what for c in found.checks
    }
    assert [Path(c.path).name for c in found.checks if c.what == "data"] == ["a.csv", "b.csv"]
    assert found.summary()["verified"] is True


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("model.safetensors", "weights"),
        ("model.json", "card"),
        ("config.json", "config"),
        ("hits.txt", "artifact"),
    ],
)
def test_a_changed_byte_of_a_file_of_the_run_is_named(run: Run, name: str, what: str) -> None:
    flip(run.path / name)
    found = api.verify(run)
    assert told(found) == [(what, name)]
    assert found.summary()["verified"] is False


def test_a_changed_byte_of_the_data_is_named(run: Run, data: Path) -> None:
    flip(data / "b.csv")
    assert told(api.verify(run)) == [("data", "b.csv")]


def test_a_missing_and_an_added_file_of_data_are_named(run: Run, data: Path) -> None:
    (data / "a.csv").rename(data / "c.csv")
    found = api.verify(run)
    assert told(found) == [("data", "a.csv"), ("data", "c.csv")]
    assert [check.said for check in found.changed] == ["is missing", "was added after the run"]


def test_data_that_are_no_longer_there_are_unchecked_and_not_wrong(run: Run, data: Path) -> None:
    shutil.rmtree(data)
    found = api.verify(run)
    assert not found.changed
    assert [(c.what, c.path, c.said) for c in found.unchecked] == [
        ("data", str(data), "2 files are no longer there")
    ]


def test_the_fingerprint_of_a_record_holds_its_parts_together(run: Run) -> None:
    record = json.loads((run.path / RECORD).read_text())
    record["fingerprints"]["data"] = "0" * 32
    (run.path / RECORD).write_text(json.dumps(record))
    assert ("record", RECORD) in told(api.verify(run))


def test_a_damaged_record_is_named(run: Run) -> None:
    (run.path / RECORD).write_text("{")
    assert told(api.verify(run)) == [("record", RECORD)]


def test_an_older_record_without_hashes_or_inputs_is_verified_as_a_whole(
    run: Run, data: Path
) -> None:
    (run.path / INPUTS).unlink()
    record = json.loads((run.path / RECORD).read_text())
    record["artifacts"].pop(INPUTS)
    for name in ("hashes", "tags"):
        record.pop(name)
    for name in ("revision", "processor", "threads"):
        record["environment"].pop(name)
    (run.path / RECORD).write_text(json.dumps(record))
    assert not api.verify(run).changed
    flip(data / "a.csv")
    assert told(api.verify(run)) == [("data", "data")]


def student_of(home: Path, data: Path) -> tuple[Run, Run]:
    teacher = api.train("filed", *FAST, f"data.root={data}", home=home)
    mode = {"name": "distillation", "teacher": teacher.id}
    more = ("model.hidden=3", f"data.root={data}")
    return teacher, api.train("filed", *FAST, *more, home=home, mode=mode)


def test_a_chain_is_verified_back_to_its_first_run(home: Path, data: Path) -> None:
    teacher, student = student_of(home, data)
    assert not api.verify(student).changed
    flip(teacher.path / "model.safetensors")
    found = api.verify(student)
    assert [(c.run, c.what) for c in found.changed] == [(teacher.id, "weights")]


def replaced(teacher: Run, home: Path) -> None:
    record = json.loads((teacher.path / RECORD).read_text())
    record["fingerprints"]["run"] = "other"
    (teacher.path / RECORD).write_text(json.dumps(record))


def gone(teacher: Run, home: Path) -> None:
    shutil.rmtree(teacher.path)


@pytest.mark.parametrize(("change", "state"), [(replaced, "changed"), (gone, "unchecked")])
def test_another_parent_is_wrong_and_a_missing_one_unchecked(
    home: Path, data: Path, change: Callable[[Run, Path], None], state: str
) -> None:
    teacher, student = student_of(home, data)
    change(teacher, home)
    found = [c for c in api.verify(student).checks if c.path == teacher.id]
    assert [check.state for check in found] == [state]


def test_a_run_that_is_not_finished_says_that_its_files_can_not_be_checked(run: Run) -> None:
    run.update(status="failed", artifacts={})
    assert [c.what for c in api.verify(run).unchecked] == ["run"]
