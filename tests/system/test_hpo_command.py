"""`tutelage hpo` as a person types it: through the warm process, killed, gone on with, refused."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from command import Tutelage, assert_refused

HERE = Path(__file__).parent
PLACES = (HERE / "plugins", HERE.parent / "training")
SETTINGS = (
    *("hpo.trials=3", "hpo.folds=2", "hpo.refit_seeds=1", "hpo.workers=2"),
    *("hpo.deterministic=true", "hpo.pruner.startup_trials=1", "training.max_epochs=4"),
)
SPACE = """
parameters:
  training.learning_rate: {type: loguniform, min: 1e-4, max: 0.3}
  model.hidden: {type: int, min: 2, max: 8}
"""


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """Make the tiny task one that the command finds."""
    there = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([*map(str, PLACES), *([there] * bool(there))])}


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("space") / "space.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture(scope="module")
def unbroken(
    tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str], space: Path
) -> dict[str, object]:
    """What a study that nothing stopped prints."""
    folder = tmp_path_factory.mktemp("unbroken")
    tutelage = Tutelage(folder / "home", folder)
    asked = ("hpo", "tiny", *SETTINGS, "--space", space, "--json")
    result = tutelage(*asked, environment=environment)
    assert result.code == 0, result.err
    return result.json


def tried(said: dict[str, object]) -> list[object]:
    """What a study did, without clocks and names."""
    trials = said["trials"]
    assert isinstance(trials, list)
    return [
        (t["number"], t["status"], t["params"], t["value"], [f["value"] for f in t["folds"]])
        for t in trials
    ]


def processes(home: Path) -> list[psutil.Process]:
    """Every live process whose home this is."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            mine = process.environ().get("TUTELAGE_HOME") == str(home)
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def test_a_study_tells_its_trials_its_choice_and_its_models(unbroken: dict[str, object]) -> None:
    assert (unbroken["status"], unbroken["origin"]) == ("finished", "new")
    assert len(tried(unbroken)) == 3
    assert set(unbroken["params"]) == {"training.learning_rate", "model.hidden"}
    (refit,) = unbroken["refits"]
    assert "test/accuracy" in refit["metrics"]
    home = Path(str(unbroken["path"])).parents[1]
    config = json.loads((home / refit["run"] / "config.json").read_text())
    assert config["model"]["hidden"] == unbroken["params"]["model.hidden"]
    assert not processes(home)


def test_a_study_goes_on_after_kill_9_to_the_same_trials_and_leaves_no_process(
    tutelage: Tutelage, unbroken: dict[str, object], environment: dict[str, str], space: Path
) -> None:
    asked = ("hpo", "tiny", *SETTINGS, "--space", space, "--json")
    process = tutelage.start(*asked, environment=environment)
    while len(tutelage.runs()) < 3 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    tutelage.finish(process)
    deadline = time.monotonic() + 60
    while processes(tutelage.home) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not processes(tutelage.home)
    resumed = tutelage(*asked, environment=environment)
    assert resumed.code == 0, resumed.err
    assert resumed.json["origin"] == "resumed"
    assert tried(resumed.json) == tried(unbroken)
    shown = tutelage(*asked[:-1], environment=environment)
    page = tutelage.home / resumed.json["refits"][0]["run"] / "report.html"
    assert f"report  {page}" in shown.out and "<svg" in page.read_text()


def test_a_wrong_study_is_refused_before_anything_is_made(
    tutelage: Tutelage, environment: dict[str, str], space: Path
) -> None:
    refused = tutelage("hpo", "tiny", "hpo.trails=3", environment=environment)
    assert_refused(refused, "hpo.trails", "'trials'")
    wrong = space.with_name("wrong.yaml")
    wrong.write_text(SPACE.replace("learning_rate", "learnin_rate"))
    refused = tutelage("hpo", "tiny", "--space", wrong, environment=environment)
    assert_refused(refused, "learnin_rate", "learning_rate")
    assert not (tutelage.home / "studies").exists()
