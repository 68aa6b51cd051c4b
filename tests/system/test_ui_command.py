"""`tutelage ui` in a real browser: the tree of a study on MLflow's page; a page that ends whole."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from command import LONG, Tutelage, assert_refused, wait_for_step

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "training"), str(TESTS / "tracking")]
from mlflow_store import Store  # noqa: E402
from tracked_runs import STUDY, make_study  # noqa: E402

from tutelage.hpo.ledger import Ledger, open_storage  # noqa: E402
from tutelage.tracking.following import FOLLOWER  # noqa: E402

RUNS = "runs?workflowType=machine_learning"
ROW = '[col-id="attributes.`Run Name`"]:has-text("{}")'


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Tutelage:
    """A home with a study and a run of its own."""
    folder = tmp_path_factory.mktemp("studied")
    home = folder / "home"
    make_study(home)
    ledger = Ledger(open_storage(None, home / "studies" / STUDY), STUDY, "maximize")
    ledger.tell(ledger.begin("test"), "complete", 0.75)
    ledger.close()
    return Tutelage(home, folder)


@contextmanager
def page(tutelage: Tutelage, *arguments: str) -> Iterator[str]:
    """The address that `tutelage ui` shows a page at; Ctrl-C ends it, and all that it started."""
    process = tutelage.start(
        *("ui", "--no-open", "--port", "0", *arguments),
        prepare=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None
    said: list[str] = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("http://"):
            break
    else:
        pytest.fail("".join(said))
    tree = psutil.Process(process.pid).children(recursive=True)
    try:
        yield said[-1].split()[0].partition("/#")[0]
    finally:
        process.send_signal(signal.SIGINT)
        result = tutelage.finish(process)
    assert result.code == 0, result.err
    assert psutil.wait_procs(tree, timeout=0)[1] == []


def test_mlflows_page_shows_the_study_its_trials_folds_refit_and_final_model(
    studied: Tutelage, browser_page: Any, tmp_path: Path
) -> None:
    with page(studied) as address:
        experiment = Store(studied.home).client.get_experiment_by_name("tutelage/tiny")
        browser_page.goto(f"{address}/#/experiments/{experiment.experiment_id}/{RUNS}")
        for name in ("tiny-search", "trial 1"):
            browser_page.locator(ROW.format(name)).locator("button").first.click()
        for name in ("trial 0", "trial 1", "fold 0", "fold 1", "refit seed 7", "final"):
            browser_page.locator(ROW.format(name)).first.wait_for()
        browser_page.screenshot(path=tmp_path / "tree.png")
        assert browser_page.locator(ROW.format("fold")).count() == 2  # those of trial 1 alone


def test_optunas_page_shows_a_study_as_it_goes_on_and_all_as_they_are(studied: Tutelage) -> None:
    for arguments in ((STUDY,), ("--studies",)):
        with page(studied, *arguments) as address:
            with urllib.request.urlopen(f"{address}/api/studies") as answer:
                (study,) = json.load(answer)["study_summaries"]
            with urllib.request.urlopen(f"{address}/dashboard") as answer:
                assert b"Optuna Dashboard" in answer.read()
        assert study["study_name"] == STUDY


def test_a_page_that_cannot_be_shown_is_refused(studied: Tutelage) -> None:
    with page(studied, STUDY) as address:
        taken = address.rpartition(":")[2]
        assert_refused(studied("ui", "--no-open", "--port", taken), taken, "Name another --port")
    assert_refused(studied("ui", "nothing"), "no study 'nothing'", STUDY)
    assert_refused(studied("ui", "--uri", "./mlruns"), "--uri=./mlruns", "plain files")


def test_a_run_that_is_killed_is_killed_in_mlflow_too(tutelage: Tutelage) -> None:
    process = tutelage.start("train", "can", *LONG, "tracking=mlflow", "--json")
    wait_for_step(tutelage, process, 3)
    process.kill()
    tutelage.finish(process)
    (run,) = tutelage.runs()
    subprocess.run(["flock", str(run / FOLLOWER), "true"], check=True)  # until its follower ends
    client = Store(tutelage.home).client
    experiment = client.get_experiment_by_name("tutelage/can")
    (there,) = client.search_runs([experiment.experiment_id])
    assert there.info.status == "KILLED"
    assert there.data.tags["tutelage.id"] == run.name
    assert there.data.params["model.hidden"] == "4"
