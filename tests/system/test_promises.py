"""No pickle, in the source or while running; help that answers before anything heavy loads."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest
from command import COMMAND, LONG, RESUME, Tutelage, record, wait_for_step

import tutelage as package

FORBIDDEN = re.compile(r"pickle|joblib|dill|torch\.(load|save)\(|yaml\.load\(|weights_only=False")
GUARD = """
import _pickle, pickle, sys

def refuse(*arguments, **settings):
    raise AssertionError("something was unpickled")

class InC(_pickle.Unpickler):
    __init__ = load = refuse

class InPython(pickle._Unpickler):
    __init__ = load = refuse

for module in (pickle, _pickle):
    module.load = module.loads = refuse
    module.Unpickler = InC
pickle._load = pickle._loads = refuse
pickle._Unpickler = InPython
from tutelage.cli import main
main()
"""
"""Runs the command in a process where unpickling anything is an error."""


@pytest.fixture
def guarded() -> tuple[object, ...]:
    return (sys.executable, "-c", GUARD)


def code_of(path: Path) -> str:
    """The source without its texts and comments."""
    kinds = (tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", -1))
    with path.open("rb") as file:
        return " ".join(t.string for t in tokenize.tokenize(file.readline) if t.type not in kinds)


def test_the_source_names_no_pickle_outside_the_texts_that_refuse_it() -> None:
    root = Path(package.__file__).parent
    found = {path for path in root.rglob("*.py") if FORBIDDEN.search(path.read_text("utf-8"))}
    assert root / "training" / "tensorfile.py" in found and len(found) < 6
    for path in found:
        assert not FORBIDDEN.search(code_of(path).replace(" ", "")), path


def test_the_guard_against_unpickling_guards() -> None:
    for read in (
        "pickle.loads(pickle.dumps(1))",
        "pickle.Unpickler(None)",
        "type('Own', (pickle.Unpickler,), {})(None).load()",
    ):
        code = GUARD.replace("from tutelage.cli import main\nmain()", read)
        ended = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
        )
        assert ended.returncode == 1 and "something was unpickled" in ended.stderr


@pytest.mark.parametrize("model", [(), ("mode=autoencoder", "model=vgae")], ids=["gat", "vgae"])
def test_training_resuming_and_evaluating_never_unpickle(
    tutelage: Tutelage, guarded: tuple[object, ...], model: tuple[str, ...]
) -> None:
    process = tutelage.start("train", "can", *LONG, *model, "--json", command=guarded)
    wait_for_step(tutelage, process, 3)
    process.kill()
    tutelage.finish(process)
    resumed = tutelage("train", "can", *LONG, *model, RESUME, "--json", command=guarded)
    assert resumed.code == 0, resumed.err
    (run,) = tutelage.runs()
    assert resumed.json["run"] == run.name
    assert "resuming from" in (run / "log.jsonl").read_text()
    scored = tutelage("evaluate", run.name, "--json", command=guarded)
    assert scored.code == 0, scored.err
    assert scored.json["metrics"] == record(run)["metrics"]


def test_help_loads_nothing_heavy(tutelage: Tutelage) -> None:
    code = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
        "from tutelage.cli import main\nmain()"
    )
    result = tutelage("--help", command=(sys.executable, "-c", code))
    assert result.code == 0
    for name in ("train", "evaluate", "predict", "audit", "report", "runs", "config", "doctor"):
        assert re.search(rf"\b{name}\b", result.out)
    loaded = set(json.loads(result.err.splitlines()[-1]))
    assert not loaded & {"torch", "lightning", "numpy", "pyarrow", "pandas", "pydantic"}


def test_help_of_every_command_explains_and_gives_an_example(tutelage: Tutelage) -> None:
    for name in ("train", "evaluate", "predict", "audit"):
        result = tutelage.done(name, "--help")
        assert f"tutelage {name}" in result.out and "Example" in result.out
        assert result.err == ""


def test_runs_go_to_a_folder_beside_the_person_by_default(tutelage: Tutelage) -> None:
    environment = tutelage.environment()
    del environment["TUTELAGE_HOME"]
    settings = ("train", "can", *LONG, "training.max_steps=2")
    shown, printed = (
        subprocess.run(
            [COMMAND, *settings, *more],
            cwd=tutelage.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        for more in ((), ("--json",))
    )
    assert shown.returncode == printed.returncode == 0, shown.stderr
    assert [path.name for path in tutelage.folder.iterdir()] == ["runs"]
    (found,) = (tutelage.folder / "runs").glob("*/record.json")
    assert f"runs/{found.parent.name}" in shown.stdout
    assert json.loads(printed.stdout)["path"] == str(found.parent)
