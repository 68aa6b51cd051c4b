"""`tutelage folds` deals what trains, says what each fold holds out, and refuses what it must."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tutelage.cli.app import app
from tutelage.core.errors import ConfigError, DataError
from tutelage.core.folds import read_split

SETTINGS = ("can", "data.simulated_seconds=5", "data.embargo_seconds=0.5")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a working folder of their own."""
    monkeypatch.setenv("TUTELAGE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_split_file_is_written_that_fits_what_was_asked(home: Path) -> None:
    asked = ("--folds", "3", "--repeats", "2", "--kind", "stratified", "--seed", "7")
    done = CliRunner().invoke(app, ["folds", *SETTINGS, *asked, "--output", "mine.json"])
    assert done.exit_code == 0, done.output
    split = read_split(home / "mine.json")
    assert (split.task, split.folds, split.repeats, split.seed) == ("can", 3, 2, 7)
    assert "mine.json data.fold=0 … 5" in done.output
    said = CliRunner().invoke(app, ["folds", *SETTINGS, *asked, "--json"])
    value = json.loads(said.stdout)
    assert value["digest"] == split.digest == read_split(home / "split.json").digest
    assert value["held_out"] == [len(split.held_out(fold)) for fold in range(6)]
    assert sum(value["held_out"]) == 2 * value["units"]


def test_what_can_not_be_dealt_is_refused_and_nothing_is_written(home: Path) -> None:
    many = CliRunner().invoke(app, ["folds", *SETTINGS, "--folds", "500"])
    assert isinstance(many.exception, DataError) and "possible" in str(many.exception)
    grouped = CliRunner().invoke(app, ["folds", *SETTINGS, "--kind", "grouped"])
    assert isinstance(grouped.exception, ConfigError)
    assert not (home / "split.json").exists()
