"""`tutelage folds` and `deal_folds` write folds that stay what they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

import tutelage as package
from tutelage.cli import folds
from tutelage.core.errors import ConfigError, DataError, StorageError
from tutelage.core.folds import read_split

Command = Callable[..., Result]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Ten letters, two of which are of one sender."""
    lines = [
        {"text": f"{chr(65 + n) * 6} lives in {'Rome' if n % 2 else 'Oslo'} today",
         "label": [[0, 6, "person"]], "sender": "one" if n < 2 else f"sender {n}"}
        for n in range(10)
    ]  # fmt: skip
    lines[9]["label"] = []
    path = tmp_path / "letters.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUTELAGE_HOME", str(tmp_path / "runs"))
    app = typer.Typer()
    folds.register(app)

    def call(*arguments: str) -> Result:
        result = CliRunner().invoke(app, ["ner", "data.test_fraction=0.2", *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


def test_texts_are_dealt_by_what_is_in_them_unless_told_otherwise(
    call: Command, texts: Path
) -> None:
    told = call(f"data.root={texts}", "data.columns.group=sender", "--folds", "3").stdout
    split = read_split(Path("split.json"))
    assert (split.task, split.kind, split.folds, split.seed) == ("ner", "stratified", 3, 0)
    assert f"units in {len(set(split.groups or ()))} groups" in told
    call(f"data.root={texts}", "--folds", "3", "--kind", "kfold", "--output", "other.json")
    assert read_split(Path("other.json")).kind == "kfold"


def test_the_same_folds_may_be_dealt_again_and_others_do_not_take_their_place(
    call: Command, texts: Path
) -> None:
    call(f"data.root={texts}", "--folds", "2")
    before = Path("split.json").read_bytes()
    call(f"data.root={texts}", "--folds", "2")
    with pytest.raises(StorageError, match=r"split.json: is there already"):
        call(f"data.root={texts}", "--folds", "2", "--seed", "1")
    assert Path("split.json").read_bytes() == before
    Path("notes.json").write_text("mine")
    with pytest.raises(StorageError, match="holds something else"):
        call(f"data.root={texts}", "--output", "notes.json", "--folds", "2")
    with pytest.raises(StorageError, match="no such folder"):
        call(f"data.root={texts}", "--output", "none/split.json", "--folds", "2")


def test_what_can_not_be_dealt_is_refused(call: Command, texts: Path) -> None:
    with pytest.raises(DataError, match="folds are possible"):
        call(f"data.root={texts}", "--folds", "50")
    with pytest.raises(ConfigError, match="folds are dealt from all data"):
        call(f"data.root={texts}", "data.fold=all")
    with pytest.raises(ConfigError, match="at least 2 folds"):
        call(f"data.root={texts}", "--folds", "1")
    assert call(f"data.root={texts}", "--kind", "odd").exit_code == 2
    assert not Path("split.json").exists()


def test_python_deals_the_same_folds(call: Command, texts: Path, tmp_path: Path) -> None:
    call(f"data.root={texts}", "--folds", "2", "--seed", "5")
    settings = (f"data.root={texts}", "data.test_fraction=0.2")
    split = package.deal_folds("ner", *settings, folds=2, seed=5, home=tmp_path / "runs")
    assert split == read_split(Path("split.json"))
