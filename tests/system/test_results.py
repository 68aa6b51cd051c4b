"""One trained run, used as a person would: again, elsewhere, on other data, by other tools."""

from __future__ import annotations

import csv
import io
import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from command import SMALL, Shared, Tutelage, record
from safetensors.numpy import load_file

from browser import look_at
from tutelage.tasks.can.simulator import simulate_capture, write_candump, write_csv

CONTROL = {chr(code) for code in range(32)} - {"\n", "\t"} | {"\x7f", "\x9b"}


@pytest.fixture
def home(shared: Shared, tmp_path: Path) -> Tutelage:
    """A copy of the shared home, to be written to."""
    folder = tmp_path / "here"
    folder.mkdir()
    tutelage = Tutelage(tmp_path / "home", folder)
    tutelage.copy_from(shared.tutelage)
    return tutelage


def folder_of_captures(folder: Path) -> Path:
    """A labelled data set of our own: one capture trains, one tests."""
    for split, seed in (("train_01_known", 1), ("test_01_known", 2)):
        capture = simulate_capture("hatchback", seed=seed, seconds=8, attack="dos")
        (folder / split).mkdir(parents=True)
        write_csv(capture.frames, folder / split / "DoS.csv")
    return folder


def test_training_prints_one_object_that_agrees_with_the_record(shared: Shared) -> None:
    printed, kept = shared.result.json, record(shared.run)
    assert printed["status"] == kept["status"] == "finished"
    assert printed["run"] == kept["id"] == shared.run.name
    for name in ("metrics", "baselines", "seconds", "parents"):
        assert printed[name] == kept[name]
    assert set(kept["baselines"]) == {"unseen_id_count", "two_gap", "payload", "always_alarm"}
    for scores in (kept["metrics"], *kept["baselines"].values()):
        assert {key.split("/")[0] for key in scores} == {
            "test_01_known_vehicle_known_attack",
            "test_02_unknown_vehicle_known_attack",
            "test_03_known_vehicle_unknown_attack",
            "test_04_unknown_vehicle_unknown_attack",
        }
    assert kept["audit"]["verdict"] == "clean"


def test_a_run_and_two_together_stand_in_a_real_browser(home: Tutelage) -> None:
    home.done("train", "can", *SMALL, "training.max_epochs=1", "training.seed=3")
    first, second = home.runs()
    assert "Alarms on" in (second / "report.html").read_text()
    home.done("report", first.name, second.name, "--output", "both.html")
    look_at(second / "report.html")
    look_at(home.folder / "both.html")


def test_training_leaves_no_temporary_files(shared: Shared) -> None:
    assert [path for path in shared.temporary.rglob("*") if not path.is_dir()] == []


def test_training_in_a_pipe_says_nothing_but_the_result(shared: Shared) -> None:
    assert shared.result.err == ""
    assert not CONTROL & set(shared.result.out)


@pytest.mark.parametrize("arguments", [
    ("evaluate", "@last"),
    ("audit", "can", *SMALL[:1]),
    ("runs", "list"),
    ("runs", "show", "@last"),
    ("runs", "lineage", "@last"),
    ("tasks",),
    ("modes",),
    ("models",),
    ("config", "can"),
    ("data",),
    ("doctor",),
], ids=lambda arguments: "-".join(arguments[:2]))  # fmt: skip
def test_json_is_one_object_and_nothing_else(home: Tutelage, arguments: tuple[str, ...]) -> None:
    result = home.done(*arguments, "--json")
    assert isinstance(result.json, dict)
    assert result.err == ""
    assert not CONTROL & set(result.out)


def test_the_same_request_finds_the_finished_run(home: Tutelage, shared: Shared) -> None:
    result = home.done("train", "can", *SMALL, "training.max_epochs=1")
    assert "reused" in result.out
    assert shared.run.name in result.out
    assert [run.name for run in home.runs()] == [shared.run.name]
    assert not CONTROL & set(result.out + result.err)


def test_evaluation_repeats_the_recorded_scores_to_the_last_digit(home: Tutelage) -> None:
    shutil.rmtree(home.home / ".cache")
    printed, kept = home.done("evaluate", "@last", "--json").json, record(home.runs()[0])
    assert printed["metrics"] == kept["metrics"]
    assert printed["baselines"] == kept["baselines"]
    assert record(home.runs()[0]) == kept


def test_a_finished_run_is_judged_by_other_alarms_without_training_anew(home: Tutelage) -> None:
    usual = record(home.runs()[0])
    asked = ("evaluation.k=2", "evaluation.n=2")
    result = home.done("evaluate", "@last", *asked, "--json")
    always = [told["baselines"]["always_alarm"] for told in (usual, result.json)]
    key = "test_01_known_vehicle_known_attack/fp"  # each capture begins without attack
    assert 0 < always[1][key] < always[0][key]
    assert "no operating points are scored" in result.err
    drive = folder_of_captures(home.folder / "captures")
    tables = [csv.DictReader(io.StringIO(home.done("predict", "@last", drive, *more).out))
              for more in ((), asked)]  # fmt: skip
    alone, twice = ([row["alarm"] == "1" for row in table] for table in tables)
    assert any(alone)
    assert twice == [now and before for before, now in pairwise([False, *alone])]


def test_the_saved_configuration_repeats_the_run_bit_by_bit(home: Tutelage) -> None:
    first = home.runs()[0]
    config = first / "config.json"
    again = home.done("train", "can", "--config", config, "run.policy=force_new", "--json").json
    assert again["run"] != first.name
    assert again["metrics"] == record(first)["metrics"]
    weights = [Path(p, "model.safetensors").read_bytes() for p in (first, str(again["path"]))]
    assert weights[0] == weights[1]


def test_an_older_configuration_names_the_same_run(home: Tutelage, shared: Shared) -> None:
    config = json.loads((shared.run / "config.json").read_text())
    training = config["training"]
    training["lr"], training["epochs"] = training.pop("learning_rate"), training.pop("max_epochs")
    older = home.folder / "older.json"
    older.write_text(json.dumps(config | {"schema_version": 1}))
    result = home.done("train", "can", "--config", older, "--json")
    assert result.json["run"] == shared.run.name


def test_a_run_kept_in_older_files_is_evaluated_the_same(home: Tutelage, shared: Shared) -> None:
    run, kept = home.runs()[0], record(shared.run)
    config = json.loads((run / "config.json").read_text())
    training = config["training"]
    training["lr"], training["epochs"] = training.pop("learning_rate"), training.pop("max_epochs")
    (run / "config.json").write_text(json.dumps(config | {"schema_version": 1}))
    older = {key: value for key, value in kept.items() if key != "status"}
    older["artifacts"] = {k: v for k, v in kept["artifacts"].items() if k != "config.json"}
    (run / "record.json").write_text(json.dumps(older | {"schema_version": 1, "state": "finished"}))
    assert home.done("evaluate", run.name, "--json").json["metrics"] == kept["metrics"]


@pytest.mark.parametrize("file", ["config.json", "record.json", "model.json"])
def test_files_of_a_newer_version_are_refused(home: Tutelage, file: str) -> None:
    path = home.runs()[0] / file
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"schema_version": 99}))
    result = home("evaluate", path.parent)
    assert (result.code, result.out) == (2, "")
    assert "99" in result.err and file in result.err and "Traceback" not in result.err


def test_a_run_is_found_by_prefix_and_path_from_another_folder(
    home: Tutelage, shared: Shared, tmp_path: Path
) -> None:
    unique = shared.run.name[:-2]
    assert home.done("runs", "show", unique, "--json").json["run"] == shared.run.name
    elsewhere = Tutelage(tmp_path / "empty", tmp_path)
    by_path = elsewhere.done("runs", "show", home.runs()[0], "--json").json
    assert by_path["run"] == shared.run.name


def test_own_captures_are_trained_on_and_evaluated_to_the_last_digit(tutelage: Tutelage) -> None:
    root = folder_of_captures(tutelage.folder / "captures")
    settings = (*SMALL[1:], "training.max_epochs=1", "data.root=captures")
    trained = tutelage.done("train", "can", *settings, "--json").json
    assert {key.split("/")[0] for key in trained["metrics"]} == {"test_01_known"}
    scored = tutelage.done("evaluate", "@last", f"data.root={root}", "--json").json
    assert scored["metrics"] == trained["metrics"]
    assert scored["baselines"] == trained["baselines"]


def test_an_autoencoder_trains_on_benign_windows_and_scores(tutelage: Tutelage) -> None:
    settings = (*SMALL, "mode=autoencoder", "model=vgae", "training.max_epochs=1")
    trained = tutelage.done("train", "can", *settings, "--json").json
    weights = load_file(Path(str(trained["path"]), "model.safetensors"))
    assert 0 < float(weights["threshold"]) < float("inf")
    scored = tutelage.done("evaluate", "@last", "--json").json
    assert scored["metrics"] == trained["metrics"]


@pytest.mark.parametrize("form", ["candump", "csv"])
def test_prediction_gives_a_row_a_window_in_agreement_with_the_scores(
    home: Tutelage, form: str
) -> None:
    capture = simulate_capture("hatchback", seed=5, seconds=4, attack="dos")
    write_csv(capture.frames, home.folder / "DoS.csv")
    labelled = home.done("evaluate", "@last", "data.root=DoS.csv", "--json").json["metrics"]
    assert isinstance(labelled, dict)
    if form == "candump":
        source = home.folder / "drive.log"
        write_candump(capture.frames, source)
    else:
        source = home.folder / "drive.csv"
        lines = (home.folder / "DoS.csv").read_text().splitlines()
        source.write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")
    rows = list(csv.DictReader(io.StringIO(home.done("predict", "@last", source.name).out)))
    assert list(rows[0]) == [
        "input", "window", "first_frame", "start_time", "end_time", "score", "alarm",
    ]  # fmt: skip
    assert [int(row["window"]) for row in rows] == list(range(len(capture.frames) // 100))
    assert {row["input"] for row in rows} == {"drive"}
    alarms = sum(row["alarm"] == "1" for row in rows)
    assert len(rows) == labelled["test/windows"]
    assert alarms == labelled["test/tp"] + labelled["test/fp"]
    truth = capture.frames.label[: len(rows) * 100].reshape(-1, 100).max(axis=1) == 1
    hits = sum(row["alarm"] == "1" for row, attacked in zip(rows, truth, strict=True) if attacked)
    assert hits == labelled["test/tp"]
    scores = [float(row["score"]) for row in rows]
    higher = [
        (a > b) + (a == b) / 2
        for a, hit in zip(scores, truth, strict=True)
        for b, other in zip(scores, truth, strict=True)
        if hit and not other
    ]
    assert labelled["test/auroc"] == pytest.approx(sum(higher) / len(higher), abs=1e-6)


def test_prediction_writes_a_file_or_one_object(home: Tutelage) -> None:
    capture = simulate_capture("estate", seed=6, seconds=2)
    write_candump(capture.frames, home.folder / "drive.log")
    kept = home.done("predict", "@last", "drive.log", "--output", "rows.csv")
    assert kept.out == "" and "rows.csv" in kept.err
    shown = home.done("predict", "@last", "drive.log", "--json")
    assert shown.err == ""
    table = shown.json["tables"][0]
    written = csv.reader(io.StringIO((home.folder / "rows.csv").read_text()))
    assert [["drive", *map(str, row)] for row in table["rows"]] == list(written)[1:]


def test_the_audit_counts_small_steps_back_in_time(tutelage: Tutelage) -> None:
    capture = simulate_capture("estate", seed=6, seconds=2)
    path = tutelage.folder / "drive.csv"
    write_csv(capture.frames, path)
    lines = path.read_text().splitlines()
    time = float(lines[499].partition(",")[0])
    lines[500] = f"{time - 0.0003:.6f},{lines[500].partition(',')[2]}"
    path.write_text("\n".join(lines) + "\n")
    found = tutelage.done("audit", "can", "data.root=drive.csv", "--json").json
    assert any("time steps back 1 times, at most 0.30 ms" in said for said in found["findings"])
    table = found["tables"][0]
    row = dict(zip(table["columns"], table["rows"][0], strict=True))
    assert (row["backward steps"], row["frames"]) == (1, len(capture.frames))
