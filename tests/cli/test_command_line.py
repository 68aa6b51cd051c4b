"""The installed command: exit codes, one message an error, nothing heavy before it is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from made_runs import finish_run
from tutelage.api import configure
from tutelage.core.fingerprint import fingerprint
from tutelage.core.store import RunStore

HEAVY = ("torch", "lightning", "torch_geometric", "polars", "pyarrow", "numpy", "pandas")
LOADED = """
import sys
from importlib import metadata
from tutelage.cli import main
sys.argv = ["tutelage", *sys.argv[1:]]
try:
    main()
except SystemExit as done:
    assert not done.code, done.code
print("loaded", *sorted(set(sys.modules)), file=sys.stderr)
"""


def tutelage(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("tutelage")), *arguments]
    environment = os.environ | {"TUTELAGE_HOME": str(home)}
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["tasks"],
        ["modes"],
        ["models"],
        ["data"],
        ["config", "can"],
        ["config", "can", "training.seed=3"],
        ["pipeline", "--list"],
        ["runs", "list"],
        ["runs", "show", "@last"],
        ["report", "@last"],
    ],
)
def test_looking_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    finish_run(RunStore(tmp_path))
    environment = os.environ | {"TUTELAGE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", LOADED, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    loaded = done.stderr.partition("loaded ")[2].split()
    assert "typer" in loaded, done.stderr
    assert [name for name in HEAVY if name in loaded] == []


def test_help_builds_no_configuration(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOADED, "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    loaded = done.stderr.partition("loaded ")[2].split()
    needless = {"pydantic", "yaml", "jinja2", "packaging", "urllib.request", "tutelage.core.config"}
    assert not needless & set(loaded)


def test_a_run_is_listed_and_shown_by_the_installed_command(tmp_path: Path) -> None:
    run = finish_run(RunStore(tmp_path))
    listed = tutelage("runs", "list", home=tmp_path)
    assert listed.returncode == 0 and run.id in listed.stdout and not listed.stderr
    shown = tutelage("runs", "show", run.id, "--json", home=tmp_path)
    assert json.loads(shown.stdout)["run"] == run.id


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["runs", "show", "nothing"], "no run 'nothing'"),
        (["runs", "rm", "@last"], "needs --yes"),
        (["models", "cna"], "Did you mean 'can'?"),
        (["config", "can", "training.sed=1"], "'seed'"),
        (["report", "@last", "-o", "/dev/null/page.html"], "can't be written"),
        (["trian", "can"], "no such command 'trian'. Did you mean 'train'?"),
        (["train"], "tasks: can, multimodal, ner, neural"),
        (["train", "can", "--max-epochs", "2"], "tutelage train TASK section.field=value"),
        (["runs", "show"], "tutelage runs show --help says"),
    ],
)
def test_a_wrong_request_is_one_message_and_exit_code_2(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    finish_run(RunStore(tmp_path))
    done = tutelage(*arguments, home=tmp_path)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith("error: ") and said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_version_is_that_of_the_installed_package(tmp_path: Path) -> None:
    done = tutelage("--version", home=tmp_path)
    assert done.returncode == 0 and done.stdout == f"tutelage {metadata.version('tutelage')}\n"


def test_a_reused_run_waits_for_no_torch(tmp_path: Path) -> None:
    """A finished run is found by its fingerprint before anything that could train is imported."""
    task, config = configure("can")
    prints = fingerprint(config, task.data_fingerprint(config))
    run = RunStore(tmp_path).create(config, prints)
    run.update(status="finished")
    environment = os.environ | {"TUTELAGE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", LOADED, "train", "can", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert json.loads(done.stdout)["run"] == run.id
    loaded = done.stderr.partition("loaded ")[2].split()
    assert not {"torch", "lightning", "torch_geometric"} & set(loaded)


INTERRUPTED = """
import signal, sys
wanted = sys.argv[1]
class AtImport:
    def find_spec(self, name, path=None, target=None):
        if name == wanted:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, AtImport())
from tutelage.cli import main
sys.argv = ["tutelage", "train", "can", "training.max_steps=1"]
main()
"""


@pytest.mark.parametrize("name", ["typer", "tutelage.api", "torch"])
def test_ctrl_c_while_something_is_imported_says_interrupted(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED, name]
    environment = os.environ | {"TUTELAGE_HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and not done.stdout, done.stderr
    assert "interrupted" in done.stderr and "Traceback" not in done.stderr
    runs = RunStore(tmp_path).runs()
    assert [run.record.status for run in runs] == ["interrupted"] * (name == "torch")
