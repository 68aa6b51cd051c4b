"""The wheel works in an empty folder with what it needs, and says what to install for the rest."""

from __future__ import annotations

import email
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from command import SMALL, Tutelage, assert_refused

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
from sizes import needed, wanted  # noqa: E402


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a wheel and an sdist, built from this source."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


class Environment:
    """A Python of its own with the wheel installed, and other packages as they are asked for.

    What the wheel's metadata ask for is linked from the packages of the Python that runs the tests,
    which spares the network; nothing else of them can be imported.
    """

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.python = folder / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--no-index"]
        subprocess.run([*pip, "--quiet", "--no-deps", str(wheel)], check=True)
        (self.site,) = folder.glob("lib/python*/site-packages")
        (metadata,) = self.site.glob("tutelage-*.dist-info/METADATA")
        said = email.message_from_string(metadata.read_text(encoding="utf-8"))
        self.requires = said.get_all("Requires-Dist") or []

    def add(self, extra: str = "") -> None:
        """Add what the wheel needs, or what an extra of it does."""
        for name in wanted(self.requires, extra):
            for package in needed(*name).values():
                for file in package.files or ():
                    link = self.site / file.parts[0]
                    if file.parts[0] not in ("..", "__pycache__") and not link.exists():
                        link.symlink_to(Path(str(package.locate_file(file.parts[0]))))


def test_wheel_and_sdist_hold_what_they_should_and_no_path_of_the_machine(built: Path) -> None:
    (wheel,), (source,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as files:
        names = set(files.namelist())
    assert {"tutelage/py.typed", "tutelage/tasks/can/presets/teacher.yaml"} <= names
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]
    machine = [str(path).encode() for path in (ROOT, Path.home(), Path(sys.prefix))]
    with tarfile.open(source) as files:
        inside = {one.name.partition("/")[2]: files.extractfile(one) for one in files}
        read = {name: file.read() for name, file in inside.items() if file is not None}
    assert {"README.md", "LICENSE", "constraints.txt", "Makefile"} <= read.keys()
    assert not [name for name, content in read.items() if any(path in content for path in machine)]


def test_without_extras_each_missing_one_is_named_with_the_command_that_installs_it(
    built: Path, tmp_path: Path, tutelage: Tutelage
) -> None:
    environment = Environment(tmp_path / "env", *built.glob("*.whl"))
    environment.add()
    command = (environment.python, "-m", "tutelage")
    told = tutelage("doctor", "--json", command=command)
    assert told.code == 0, told.err
    checks = {check["name"]: check for check in told.json["checks"]}  # type: ignore[union-attr]
    assert checks["tutelage"]["state"] == "ok"
    for extra in ("can", "ner", "neural", "multimodal", "onnx", "hpo", "mlflow", "ray", "serve"):
        assert checks[f"extra {extra}"]["state"] == "missing"
        assert checks[f"extra {extra}"]["hint"] == f"pip install 'tutelage[{extra}]'"
    assert set(tutelage("tasks", "--json", command=command).json["tasks"]) == {  # type: ignore[call-overload]
        "can", "multimodal", "ner", "neural"
    }  # fmt: skip
    listed = tutelage("tasks", command=command).out
    assert "can needs " in listed and "torch-geometric" in listed
    refused = tutelage("train", "can", *SMALL, command=command)
    assert_refused(refused, "pip install 'tutelage[can]'")


def test_with_its_extra_a_task_trains_in_an_empty_folder(
    built: Path, tmp_path: Path, tutelage: Tutelage
) -> None:
    environment = Environment(tmp_path / "env", *built.glob("*.whl"))
    environment.add("can")
    settings = (*SMALL, "training.max_epochs=1", "--json")
    done = tutelage("train", "can", *settings, command=(environment.python, "-m", "tutelage"))
    assert done.code == 0, done.err
    assert done.json["status"] == "finished"
    assert list(tutelage.folder.iterdir()) == []
