"""Where MLflow's store is, what may be named as one, and names that MLflow accepts."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_task import tiny

from made_runs import can_config, make_run
from tutelage.core.errors import ConfigError, StoreError
from tutelage.core.store import RunStore
from tutelage.tracking import setup_mlflow_tracking_env, tracking_uri
from tutelage.tracking.curves import Mark, beyond, mark_after, read_curves
from tutelage.tracking.environment import require, shown
from tutelage.tracking.names import metric_name, short
from tutelage.tracking.parameters import in_common, parameters


def test_the_store_is_what_is_named_else_the_environments_else_the_runs_own(tmp_path: Path) -> None:
    there = {"MLFLOW_TRACKING_URI": "http://tracker:5000"}
    assert tracking_uri("https://mine", tmp_path, there) == "https://mine"
    assert tracking_uri(None, tmp_path, there) == "http://tracker:5000"
    assert tracking_uri(None, tmp_path, {}) == f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(ConfigError, match="plain files"):
        tracking_uri(None, tmp_path, {"MLFLOW_TRACKING_URI": "file:///runs"})


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("./mlruns", "plain files"),
        ("file:///home/me/mlruns", "plain files"),
        ("databricks", "plain files"),
        ("sqlite:///mlflow.db", "four slashes"),
        ("http://me:secret@tracker", "a password would stand in config.json"),
    ],
)
def test_what_no_run_can_be_kept_in_is_refused_with_what_can(uri: str, said: str) -> None:
    with pytest.raises(ConfigError, match="tracking.uri=") as refused:
        tiny("tracking=mlflow", f"tracking.uri={uri}")
    assert said in str(refused.value)


def test_mlflow_sends_no_usage_data_and_gives_up_soon_unless_a_person_says_otherwise() -> None:
    found = setup_mlflow_tracking_env("http://t", {"A": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "99"})
    assert found["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert found["MLFLOW_TRACKING_URI"] == "http://t"
    assert (found["A"], found["MLFLOW_HTTP_REQUEST_TIMEOUT"]) == ("1", "99")


def test_a_password_is_not_shown() -> None:
    assert shown("postgresql://me:secret@db:5432/x") == "postgresql://db:5432/x"
    assert shown("http://tracker:5000") == "http://tracker:5000"


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(ConfigError, match=r"'tutelage\[mlflow\]'"):
        require("no_such_tracker")


@pytest.mark.parametrize(
    ("name", "legal"),
    [
        ("test_01/attack-free/f1", "test_01/attack-free/f1"),
        ("test/recall@10", "test/recall_at_10"),
        ("always 0/x", "always 0/x"),
    ],
)
def test_names_stay_what_they_are_where_mlflow_takes_them(name: str, legal: str) -> None:
    assert metric_name(name) == legal


def test_names_that_have_to_change_stay_different_and_mlflow_takes_them() -> None:
    from mlflow.utils.validation import _validate_metric_name

    names = ["a(b)", "a[b]", "/a/b", "a//b", "../a", ".", "m" * 300, "m" * 299 + "n", "µ%", "x?"]
    legal = [metric_name(name) for name in names]
    assert len(set(legal)) == len(names)
    for name in legal:
        _validate_metric_name(name)
        assert len(name) <= 250


def test_the_moment_is_left_out_of_what_people_see() -> None:
    assert short("20261122-113630-914-tiny-classifier-3105") == "tiny-classifier-3105"
    assert short("20261122-113630-tiny-search-3105") == "tiny-search-3105"


def test_parameters_are_the_models_and_those_that_are_not_the_default(tmp_path: Path) -> None:
    run = make_run(RunStore(tmp_path), "training.learning_rate=0.01", "model.heads=2")
    found = parameters(run)
    assert found["training.learning_rate"] == "0.01" and found["model.heads"] == "2"
    assert found["model.hidden"] == str(can_config().model.model_dump()["hidden"])
    others = {key for key in found if not key.startswith("model.")}
    assert others == {"training.learning_rate"}


def test_of_a_mode_that_needs_a_run_only_what_differs_is_shown_too(tmp_path: Path) -> None:
    run = make_run(RunStore(tmp_path), "mode=distillation", "mode.teacher=20260101-a")
    others = {key.partition(".")[0] for key in parameters(run)}
    assert others == {"model", "mode"}


def test_folds_share_what_is_not_their_own() -> None:
    one, two = {"a": "1", "b": "2", "data.fold": "0"}, {"a": "1", "b": "3", "data.fold": "0"}
    assert in_common([one, two]) == {"a": "1"}


def rows(*lines: str) -> str:
    return "\n".join(["epoch,step,metric,value,seconds", *lines])


def test_a_resumed_runs_clock_goes_on_and_a_row_that_is_being_written_waits(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    assert read_curves(path, 1000) == ()
    path.write_text(rows("0,1,a,0.5,2", "0,2,a,nan,3", "0,3,a,0.25,1", "0,3,b,0.1"))
    points = read_curves(path, 1000)
    assert [(p.name, p.step, p.moment) for p in points] == [
        ("a", 1, 3000),
        ("a", 2, 4000),
        ("a", 3, 5000),
    ]
    path.write_text(rows("0,x,a,0.5,2", ""))
    with pytest.raises(StoreError, match="metrics can't be read"):
        read_curves(path, 0)


def test_points_are_sent_once_wherever_a_batch_ends(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(rows("0,1,a,1,1", "0,2,a,2,2", "0,2,b,3,2", "0,2,c,4,2", "0,3,a,5,3", ""))
    points = read_curves(path, 0)
    for size in (1, 2, 3, 4, 5):
        mark, sent = Mark(), []
        while batch := beyond(points, mark)[:size]:
            sent += batch
            mark = mark_after(mark, batch)
        assert sent == list(points)
