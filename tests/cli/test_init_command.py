"""`tutelage init` makes a project that runs as it is, and writes nothing over."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from new_task import Digits
from tutelage.api import configure
from tutelage.cli.app import app
from tutelage.cli.config_options import data_formats
from tutelage.core.errors import StorageError, UnknownNameError
from tutelage.core.overrides import build_config
from tutelage.core.store import RunStore
from tutelage.task import load_task, task_names
from tutelage.testing import offered

FILES = ("config.yaml", "data/README.md", "train.py")


def begin(*arguments: object) -> str:
    """What the command prints; its error is raised."""
    result = CliRunner().invoke(app, ["init", *map(str, arguments)])
    if result.exception is not None:
        raise result.exception
    return result.stdout


@pytest.mark.parametrize("task", task_names())
def test_the_settings_of_a_project_are_the_defaults_and_its_data_can_be_named(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(tmp_path / "here", "--task", task)
    path = tmp_path / "here" / "config.yaml"
    found, config = configure(task, config=path)
    assert config == build_config(found.config_type, [], [])
    assert path.read_text().count("\n  # ") > 12

    monkeypatch.chdir(path.parent)
    path.write_text(path.read_text().replace("  # root: data\n", "  root: data\n"))
    assert configure(task, config=path)[1].data.root == tmp_path / "here" / "data"
    about = (tmp_path / "here" / "data" / "README.md").read_text()
    for name, what in data_formats(found.config_type).items():
        assert f"- {name}: {what}" in about
    assert f"tutelage audit {task}" in about and "    data/" in about


def test_nothing_is_written_over_and_nothing_is_begun(tmp_path: Path) -> None:
    for name in FILES:
        folder = tmp_path / name.partition(".")[0].replace("/", "-")
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("mine")
        with pytest.raises(StorageError, match=rf"{name}: is there already\n.*another folder"):
            begin(folder)
        assert [p.name for p in folder.rglob("*") if p.is_file()] == [Path(name).name]
        assert (folder / name).read_text() == "mine"


def test_a_file_where_the_folder_should_be_and_an_unknown_task_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="Name another folder"):
        begin(tmp_path / "file")
    with pytest.raises(UnknownNameError, match="Did you mean 'ner'"):
        begin(tmp_path / "new", "--task", "nerr")
    assert not (tmp_path / "new").exists()


def test_the_script_of_a_project_trains_as_its_settings_and_the_typed_ones_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUTELAGE_HOME", raising=False)
    typed = ["training.max_steps=2", "training.accelerator=cpu"]
    with offered(Digits()):
        said = begin("--task", "digits")
        assert said.splitlines()[:3] == list(FILES)
        assert "tutelage train digits --config config.yaml, or python train.py" in said
        monkeypatch.setattr(sys, "argv", ["train.py", *typed])
        runpy.run_path("train.py", run_name="__main__")
        run = RunStore(tmp_path / "runs").find("@last")
        assert load_task("digits").name == run.record.task
    assert run.settings["training"]["max_steps"] == 2  # type: ignore[index, call-overload]
    printed = capsys.readouterr().out
    assert printed.startswith("test/accuracy") and len(printed.splitlines()) == 2
    assert run.id in printed
