"""A task from another installed package: built as its author would, found and used by its name."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest
from command import Tutelage, assert_refused
from hatchling.builders.wheel import WheelBuilder

import tutelage as package

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = ("training.accelerator=cpu", "training.max_epochs=2", "training.batch_size=256")


class Installed(Tutelage):
    """The command where a wheel of the example is installed."""

    site: Path

    def environment(self, **more: str) -> dict[str, str]:
        """That of the tests' own Tutelage, and of the wheel beside it."""
        ours = Path(package.__file__).parents[1]
        return super().environment(PYTHONPATH=f"{self.site}{os.pathsep}{ours}", **more)


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    for name in ("new_task.py", "pyproject.toml"):
        shutil.copy(EXAMPLES / name, source)
    (wheel,) = WheelBuilder(str(source)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as file:
        assert [name for name in file.namelist() if "dist-info" not in name] == ["new_task.py"]
        file.extractall(site)
    tutelage = Installed(tmp_path / "home", tmp_path)
    tutelage.site = site
    return tutelage


def test_a_task_of_another_package_is_trained_by_its_name_and_anew_when_its_code_changes(
    installed: Installed,
) -> None:
    listed = installed.done("tasks", "--json").json["tasks"]
    assert isinstance(listed, dict) and {"can", "digits"} <= listed.keys()
    trained = installed.done("train", "digits", *SMALL, "--json").json
    assert trained["status"] == "finished"
    assert installed.done("train", "digits", *SMALL, "--json").json["run"] == trained["run"]

    code = installed.site / "new_task.py"
    code.write_text(code.read_text().replace("nn.ReLU()", "nn.GELU()"))
    changed = installed.done("train", "digits", *SMALL, "--json").json
    assert changed["run"] != trained["run"] and changed["metrics"] != trained["metrics"]


def test_requests_that_such_a_task_refuses_and_one_for_it_once_it_is_gone_are_wrong_requests(
    installed: Installed,
) -> None:
    refused = installed("train", "digits", f"data.root={installed.folder / 'absent.csv'}")
    assert_refused(refused, "absent.csv", "can't be read")
    shutil.rmtree(installed.site)
    assert_refused(installed("train", "digits"), "unknown task 'digits'", "can, multimodal")
