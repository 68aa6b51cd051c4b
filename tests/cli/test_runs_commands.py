"""`tutelage runs` and `report` show, compare, trace and remove real runs of a real store."""

from __future__ import annotations

import json
import logging
import re
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from made_runs import KNOWN, SCORES, finish_run, make_run
from tutelage.cli import report, runs
from tutelage.cli.run_views import Overview, overview_table
from tutelage.core.errors import RequestError, StoreError, UnknownNameError
from tutelage.core.logs import JsonLines
from tutelage.core.store import LOG, RECORD, RunStore

Command = Callable[..., Result]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    monkeypatch.setenv("TUTELAGE_HOME", str(tmp_path / "runs"))
    return RunStore.default()


@pytest.fixture
def tutelage() -> Command:
    app = typer.Typer()
    runs.register(app)
    report.register(app)

    def call(*arguments: str) -> Result:
        result = CliRunner().invoke(app, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result

    return call


def test_an_empty_store_says_how_to_begin(store: RunStore, tutelage: Command) -> None:
    assert "`tutelage train`" in tutelage("runs", "list").stdout
    listed = json.loads(tutelage("runs", "list", "--json").stdout)
    assert listed == {"home": str(store.home), "runs": [], "left_out": 0}


def test_folds_of_trials_are_listed_only_when_they_are_asked_for(
    store: RunStore, tutelage: Command
) -> None:
    def names(*arguments: str) -> list[str]:
        listed = json.loads(tutelage("runs", "list", *arguments, "--json").stdout)
        return [row["run"] for row in listed["runs"]]

    plain = make_run(store)
    folds = [
        make_run(store, "run.tags.purpose=trial-fold", f"run.tags.fold={fold}") for fold in (0, 1)
    ]
    ids = [run.id for run in folds]
    assert names() == [plain.id]
    assert "2 folds of trials are not shown" in tutelage("runs", "list").stdout
    assert names("--all") == [plain.id, *ids]
    assert names("--tag", "purpose=trial-fold") == ids
    assert names("--tag", "purpose=trial-fold", "--tag", "fold=1") == ids[1:]
    with pytest.raises(RequestError, match="no tag"):
        tutelage("runs", "list", "--tag", "fold")


def test_the_list_shows_status_headline_and_age_of_every_run(
    store: RunStore, tutelage: Command
) -> None:
    done, begun, damaged = finish_run(store), make_run(store, "model=vgae"), make_run(store)
    begun.update(status="running")
    (damaged.path / RECORD).write_text("{")
    rows = json.loads(tutelage("runs", "list", "--json").stdout)["runs"]
    assert [(r["run"], r["status"]) for r in rows] == [
        (done.id, "finished"),
        (begun.id, "interrupted"),
        (damaged.id, "damaged"),
    ]
    assert (rows[0]["headline"], rows[0]["value"]) == ("f1", 0.975)
    lines = tutelage("runs", "list").stdout.splitlines()
    assert [0.975 for line in lines if done.id in line and "0.9750" in line] == [0.975]
    assert any(begun.id in line and "interrupted" in line for line in lines)


def test_scores_of_other_names_stand_with_them() -> None:
    one = Overview("a", "runs/a", "finished", headline="f1", value=0.5)
    other = Overview("b", "runs/b", "finished", headline="corr", value=0.25)
    begun = Overview("c", "runs/c", "running", headline="corr")
    alike, mixed = overview_table([one, one]), overview_table([one, other, begun])
    assert (alike.columns[2], [row[2] for row in alike.rows]) == ("f1", [0.5, 0.5])
    assert mixed.columns[2] == "score"
    assert [row[2] for row in mixed.rows] == ["f1 0.5000", "corr 0.2500", None]


def test_a_run_whose_lock_can_not_be_read_is_listed_as_damaged_beside_the_others(
    store: RunStore, tutelage: Command
) -> None:
    finish_run(store)
    running = make_run(store)
    running.update(status="running")
    (running.path / ".lock").mkdir()
    listed = json.loads(tutelage("runs", "list", "--json").stdout)["runs"]
    assert [row["status"] for row in listed] == ["finished", "damaged"]


def test_the_list_can_be_narrowed(store: RunStore, tutelage: Command) -> None:
    done, _ = finish_run(store), make_run(store)
    rows = json.loads(tutelage("runs", "list", "--status", "finished", "--json").stdout)["runs"]
    assert [row["run"] for row in rows] == [done.id]
    assert json.loads(tutelage("runs", "list", "--task", "ner", "--json").stdout)["runs"] == []
    with pytest.raises(UnknownNameError, match="'finished'"):
        tutelage("runs", "list", "--status", "finish")


def test_show_prints_results_beside_baselines_phases_and_audit(
    store: RunStore, tutelage: Command
) -> None:
    parent = finish_run(store)
    run = finish_run(store, parent=parent)
    shown = tutelage("runs", "show", "@last").stdout
    for words in (run.id, parent.id, "0.9750", "0.6000", "–", "60.0", "warnings", "d1g357"):
        assert words in shown
    told = json.loads(tutelage("runs", "show", "@last", "--json").stdout)
    assert told["run"] == run.id and told["path"] == str(run.path)
    assert told["metrics"][f"{KNOWN}/f1"] == 0.975
    assert told["audit"]["verdict"] == "warnings"
    assert told["parents"][0]["run"] == parent.id
    assert told["parents"][0]["role"] == "initial weights"


def test_what_a_run_says_is_never_taken_for_markup(store: RunStore, tutelage: Command) -> None:
    make_run(store).update(status="failed", error="bad [bold]value[/] in [/x]")
    assert "bad [bold]value[/] in [/x]" in tutelage("runs", "show", "@last").stdout


def test_compare_shows_differences_of_metrics_and_settings(
    store: RunStore, tutelage: Command
) -> None:
    one = finish_run(store)
    two = finish_run(store, "training.max_epochs=9", scores={**SCORES, f"{KNOWN}/f1": 0.875})
    told = json.loads(tutelage("runs", "compare", one.id, two.id, "--json").stdout)
    assert [run["run"] for run in told["runs"]] == [one.id, two.id]
    assert told["differences"][0][f"{KNOWN}/f1"] == pytest.approx(-0.1)
    assert told["settings"] == {"training.max_epochs": [8, 9]} and told["over_seeds"] == {}
    shown = tutelage("runs", "compare", one.id, two.id).stdout
    assert "-0.1000" in shown and "training.max_epochs" in shown
    assert "The settings are the same." in tutelage("runs", "compare", one.id, one.id).stdout


def test_runs_that_differ_by_their_seed_alone_are_shown_as_mean_and_interval(
    store: RunStore, tutelage: Command
) -> None:
    scores = [{**SCORES, f"{KNOWN}/f1": f1} for f1 in (0.97, 0.98, 0.99)]
    runs = [finish_run(store, f"training.seed={i}", scores=s) for i, s in enumerate(scores)]
    names = [run.id for run in runs]
    told = json.loads(tutelage("runs", "compare", *names, "--json").stdout)
    f1 = told["over_seeds"][f"{KNOWN}/f1"]
    assert f1["mean"] == pytest.approx(0.98) and f1["n"] == 3
    assert f1["half_width"] == pytest.approx(4.302653 * 0.01 / 3**0.5)
    shown = tutelage("runs", "compare", *names).stdout
    assert "Mean of 3 seeds" in shown and "0.0248" in shown and "training.seed" in shown


def test_one_run_is_not_compared(store: RunStore, tutelage: Command) -> None:
    make_run(store)
    with pytest.raises(RequestError, match="nothing to compare"):
        tutelage("runs", "compare", "@last")


def test_runs_of_different_tasks_are_not_compared(store: RunStore, tutelage: Command) -> None:
    first, second = finish_run(store), finish_run(store)
    second.update(task="ner")
    with pytest.raises(RequestError, match="runs of can and ner have no score in common"):
        tutelage("runs", "compare", first.id, second.id)


def test_lineage_goes_up_to_the_data_and_down_to_the_children(
    store: RunStore, tutelage: Command
) -> None:
    first = finish_run(store)
    second = finish_run(store, parent=first)
    third = finish_run(store, parent=second)
    told = json.loads(tutelage("runs", "lineage", second.id, "--json").stdout)
    assert told["run"] == second.id and told["data"] == "of-the-data"
    assert [(p["run"], p["role"], p["data"]) for p in told["parents"]] == [
        (first.id, "initial weights", "of-the-data")
    ]
    assert told["children"] == [{"run": third.id, "role": "initial weights"}]
    assert told["source"] == "embedded"
    drawn = tutelage("runs", "lineage", second.id).stdout
    assert drawn.index(second.id) < drawn.index(first.id) < drawn.index(third.id)


def test_lineage_says_where_the_data_lay(store: RunStore, tutelage: Command) -> None:
    run = finish_run(store, "data.root=captures")
    where = str(Path("captures").absolute())
    told = json.loads(tutelage("runs", "lineage", run.id, "--json").stdout)
    assert told["source"] == where and where in tutelage("runs", "lineage", run.id).stdout
    (run.path / "config.json").unlink()
    told = json.loads(tutelage("runs", "lineage", run.id, "--json").stdout)
    assert (told["source"], told["data"]) == ("", "of-the-data")


def test_a_run_of_a_study_says_of_which_and_as_what(
    store: RunStore, tutelage: Command, tmp_path: Path
) -> None:
    run = finish_run(store, "run.tags={purpose: refit, study: mine, trial: '3'}")
    said = "refit of trial 3 of study mine"
    assert json.loads(tutelage("runs", "lineage", run.id, "--json").stdout)["study"] == said
    assert all(said in tutelage("runs", c, run.id).stdout for c in ("lineage", "show"))
    tutelage("runs", "lineage", run.id, "--svg", str(tmp_path / "lineage.svg"))
    drawn = (tmp_path / "lineage.svg").read_text()
    assert "refit of trial 3<" in drawn and "study mine<" in drawn


def test_a_parent_that_is_gone_is_named_as_gone(store: RunStore, tutelage: Command) -> None:
    parent = finish_run(store)
    finish_run(store, parent=parent)
    (parent.path / RECORD).unlink()
    told = json.loads(tutelage("runs", "lineage", "@last", "--json").stdout)
    assert told["parents"][0]["status"] == "gone" and told["parents"][0]["run"] == parent.id


def test_a_run_that_claims_to_be_its_own_parent_is_drawn_once(
    store: RunStore, tutelage: Command
) -> None:
    run = make_run(store)
    run.update(parents=({"run": run.id, "role": "itself"},))
    told = json.loads(tutelage("runs", "lineage", run.id, "--json").stdout)
    assert told["parents"][0]["status"] == "gone"


def test_removing_asks_for_yes_where_nobody_can_be_asked(
    store: RunStore, tutelage: Command
) -> None:
    run = make_run(store)
    with pytest.raises(RequestError, match="needs --yes"):
        tutelage("runs", "rm", run.id)
    assert run.path.exists()
    assert json.loads(tutelage("runs", "rm", run.id, "--yes", "--json").stdout) == {
        "removed": run.id,
        "path": str(run.path),
        "descendants": [],
        "studies": [],
    }
    assert not run.path.exists()


def test_a_run_that_others_descend_from_is_not_removed(store: RunStore, tutelage: Command) -> None:
    parent = finish_run(store)
    child = make_run(store, parent=parent)
    with pytest.raises(StoreError, match=rf"{child.id} \(made from {parent.id}(.|\n)*--cascade"):
        tutelage("runs", "rm", parent.id, "--yes")
    assert parent.path.exists()


def test_with_cascade_what_goes_too_is_said_before_it_is_agreed_to(
    store: RunStore, tutelage: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = finish_run(store)
    child = make_run(store, parent=parent)
    with pytest.raises(RequestError, match="needs --yes"):
        tutelage("runs", "rm", parent.id, "--cascade")
    assert parent.path.exists() and child.path.exists()
    done = tutelage("runs", "rm", parent.id, "--cascade", "--yes")
    assert f"with it goes {child.id} (made from {parent.id}: initial weights)" in done.stderr
    assert done.stdout.split() == ["removed", str(parent.path), "removed", str(child.path)]
    assert not parent.path.exists() and not child.path.exists()


def test_a_log_is_shown_as_text_from_a_level_on_with_tracebacks(
    store: RunStore, tutelage: Command
) -> None:
    run = make_run(store)
    assert tutelage("runs", "log", run.id).stdout == ""
    handler = JsonLines(run.path / LOG, run.id)
    for level, said in (("INFO", "epoch [1/3]"), ("WARNING", "beware")):
        handler.handle(logging.makeLogRecord({"name": "x", "levelname": level, "msg": said}))
    try:
        raise ValueError("struck")
    except ValueError as error:
        told = {"name": "x", "levelname": "ERROR", "msg": "failed", "exc_info": (None, error, None)}
        handler.handle(logging.makeLogRecord(told))
    handler.close()
    shown = tutelage("runs", "log", run.id).stdout
    assert "info    x: epoch [1/3]" in shown and "ValueError: struck" in shown
    assert "epoch" not in tutelage("runs", "log", run.id, "--level", "warning").stdout
    told = json.loads(tutelage("runs", "log", run.id, "--level", "error", "--json").stdout)
    assert [entry["message"] for entry in told["entries"]] == ["failed"] and told["run"] == run.id
    with pytest.raises(UnknownNameError, match="'warning'"):
        tutelage("runs", "log", run.id, "--level", "warn")


def test_the_report_lies_in_the_run_or_where_it_is_asked_for(
    store: RunStore, tutelage: Command, tmp_path: Path
) -> None:
    run = finish_run(store)
    assert tutelage("report", "@last").stdout.strip() == str(run.path / "report.html")
    html = (run.path / "report.html").read_text()
    (svg,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)" alt="What .* made from', html)
    assert run.id in html and f"Lineage of the run {run.id}" in b64decode(svg).decode()
    asked = tmp_path / "page.html"
    told = json.loads(tutelage("report", run.id, run.id, "-o", str(asked), "--json").stdout)
    assert told == {"report": str(asked), "runs": [run.id, run.id]}
    assert "2 runs compared" in asked.read_text()


def test_the_lineage_is_drawn_in_a_file_that_opens_alone(
    store: RunStore, tutelage: Command, tmp_path: Path
) -> None:
    first = finish_run(store)
    second = finish_run(store, parent=first)
    file = tmp_path / "lineage.svg"
    tutelage("runs", "lineage", second.id, "--svg", str(file))
    assert file.read_text().startswith("<svg") and first.id in file.read_text()


def test_verify_names_what_changed_and_exits_with_one(store: RunStore) -> None:
    run = finish_run(store)
    app = typer.Typer()
    runs.register(app)
    result = CliRunner().invoke(app, ["runs", "verify", run.id])
    assert result.exit_code == 1
    assert f"changed    weights: {run.path / 'model.safetensors'}" in result.stdout
    told = json.loads(CliRunner().invoke(app, ["runs", "verify", run.id, "--json"]).stdout)
    assert told["verified"] is False and "weights" in {c["what"] for c in told["changed"]}


def test_show_tells_what_a_run_was_made_with(store: RunStore, tutelage: Command) -> None:
    run = finish_run(store)
    shown = tutelage("runs", "show", run.id).stdout
    hashes = run.record.named_hashes()
    assert "Made with" in shown
    for what in ("data", "source", "environment", "parameters", "weights"):
        assert str(hashes[what]) in shown
