"""A model never sees inputs prepared otherwise than those it was trained on without a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pytest
from tiny_task import TinyTask, tiny, train

from tutelage.core.errors import CheckpointError
from tutelage.core.store import Run, RunStore
from tutelage.training.launch import launch
from tutelage.training.model_card import read_card, read_preprocessing
from tutelage.training.restore import restore_module

FAST = "training.accelerator=cpu"


class TwiceChanged(TinyTask):
    """The tiny task after two changes that older cards survive."""

    preprocessing_migrations: ClassVar = (
        lambda old: {**old, "steps": ["first"]},
        lambda old: {**old, "steps": [*old["steps"], "second"]},
    )


class Changed(TinyTask):
    """The tiny task after a change that no older card survives."""

    preprocessing_migrations: ClassVar = ("the mean was once a median",)


@pytest.fixture
def old(tmp_path: Path) -> Run:
    """A run of the task as it was at first."""
    return train(tmp_path, FAST).run


def test_a_card_carries_the_version_of_its_tasks_preprocessing(old: Run, tmp_path: Path) -> None:
    assert read_card(old.path).preprocessing_version == 1
    run = launch(TwiceChanged(), tiny(FAST, "run.policy=force_new"), RunStore(tmp_path)).run
    assert read_card(run.path).preprocessing_version == 3
    assert "steps" not in read_preprocessing(run.path, TwiceChanged())


def test_older_preprocessing_is_brought_up_to_date_from_its_own_version(old: Run) -> None:
    assert read_preprocessing(old.path, TinyTask()) == read_card(old.path).preprocessing
    assert read_preprocessing(old.path, TwiceChanged())["steps"] == ["first", "second"]
    path = old.path / "model.json"
    second = json.loads(path.read_text()) | {"preprocessing_version": 2}
    second["preprocessing"]["steps"] = ["there"]
    path.write_text(json.dumps(second))
    assert read_preprocessing(old.path, TwiceChanged())["steps"] == ["there", "second"]


def test_older_preprocessing_that_means_something_else_is_refused_with_the_reason(
    old: Run, tmp_path: Path
) -> None:
    words = r"model.json: holds preprocessing of version 1, .*: the mean was once a median\n"
    with pytest.raises(CheckpointError, match=words):
        restore_module(Changed(), old)
    goes_on = tiny(FAST, "run.policy=continue_from_previous")
    with pytest.raises(CheckpointError, match=words):
        launch(Changed(), goes_on, RunStore(tmp_path))


def test_newer_preprocessing_is_refused(tmp_path: Path) -> None:
    run = launch(TwiceChanged(), tiny(FAST), RunStore(tmp_path)).run
    with pytest.raises(CheckpointError, match="version 3; this 'tiny' reads up to 1"):
        restore_module(TinyTask(), run)


def test_a_card_from_before_versions_were_counted_holds_the_first(old: Run) -> None:
    path = old.path / "model.json"
    card = json.loads(path.read_text()) | {"schema_version": 2}
    del card["preprocessing_version"]
    path.write_text(json.dumps(card))
    assert read_card(old.path).preprocessing_version == 1
