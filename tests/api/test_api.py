"""The Python interface does what the command line does: train, find, evaluate, predict, audit."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
import tiny_task  # noqa: E402
from tiny_task import crash_at  # noqa: E402

from tutelage import api  # noqa: E402
from tutelage.core.errors import (  # noqa: E402
    CheckpointError,
    ConfigError,
    RunFailedError,
    StoreError,
    UnknownNameError,
)
from tutelage.core.store import CONFIG, RunStore  # noqa: E402
from tutelage.training.launch import launch  # noqa: E402

FAST = "training.accelerator=cpu"


@pytest.fixture(autouse=True)
def tiny_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny task, offered by a package as any plug-in is."""
    info = tmp_path / "site" / "tiny_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tutelage.tasks]\ntiny = tiny_task:TinyTask\n")
    monkeypatch.syspath_prepend(tmp_path / "site")


def test_settings_may_be_typed_or_given_as_python_values(tmp_path: Path) -> None:
    typed = api.train("tiny", FAST, "training.max_epochs=1", "model.hidden=4", home=tmp_path)
    given = api.train(
        "tiny",
        home=tmp_path,
        training={"max_epochs": 1, "accelerator": "cpu"},
        model={"name": "classifier", "hidden": 4},
    )
    assert given.id == typed.id  # the same configuration: reused
    assert given.settings["training"]["max_epochs"] == 1  # type: ignore[index]


def test_a_mode_and_model_may_be_given_by_name(tmp_path: Path) -> None:
    run = api.train("tiny", FAST, home=tmp_path, mode="autoencoder", model="reconstructor")
    assert (run.record.mode, run.record.model) == ("autoencoder", "reconstructor")


def test_layers_win_in_order_file_then_settings_then_overrides(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("training: {max_epochs: 7, seed: 7, log_every_n_steps: 7}\n")
    settings = {"training": {"max_epochs": 6, "seed": 6}}
    _, config = api.configure("tiny", ["training.max_epochs=5"], config=file, settings=settings)
    training = config.training
    assert (training.max_epochs, training.seed, training.log_every_n_steps) == (5, 6, 7)


def test_a_runs_configuration_alone_makes_it_again_bit_for_bit(tmp_path: Path) -> None:
    first = api.train("tiny", FAST, "training.seed=3", home=tmp_path)
    again = api.train(
        "tiny", "run.policy=force_new", config=first.path / "config.json", home=tmp_path
    )
    assert again.id != first.id
    assert tiny_task.same_bits(first, again)


def test_runs_live_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUTELAGE_HOME", str(tmp_path / "elsewhere"))
    run = api.train("tiny", FAST, "training.max_epochs=1")
    assert run.path.parent == tmp_path / "elsewhere"
    assert api.load_run("@last").id == run.id
    assert api.load_run(run.id[:-2]).id == run.id


def test_an_evaluation_repeats_the_runs_scores_to_the_last_digit(tmp_path: Path) -> None:
    run = api.train("tiny", FAST, home=tmp_path)
    result = api.evaluate(run, home=tmp_path)
    assert dict(result.evaluation.metrics) == run.metrics
    assert {name: dict(v) for name, v in result.evaluation.baselines.items()} == run.baselines
    kept = json.loads(result.path.read_text())
    assert kept["metrics"] == run.metrics
    assert kept["data"] == run.settings["data"]
    assert result.summary().items() <= kept.items()


def test_files_of_an_evaluation_are_kept_beside_its_scores_and_verified(tmp_path: Path) -> None:
    run = api.train("tiny", FAST, home=tmp_path)
    expected = str(run.metrics["test/accuracy"])
    assert (run.path / "hits.txt").read_text() == expected
    result = api.evaluate(run, home=tmp_path)
    assert (result.path.with_suffix("") / "hits.txt").read_text() == expected
    run.verify_artifacts()
    (run.path / "hits.txt").write_text("1.0")
    with pytest.raises(CheckpointError, match="hits.txt"):
        run.verify_artifacts()


@pytest.mark.parametrize("precision", ["64", "bf16"])
@pytest.mark.parametrize("average", ["none", "ema", "swa"])
def test_an_evaluation_repeats_scores_whatever_the_training(
    tmp_path: Path, precision: str, average: str
) -> None:
    settings = (f"training.precision={precision}", f"training.averaging.name={average}")
    run = api.train("tiny", FAST, *settings, home=tmp_path)
    assert dict(api.evaluate(run.id, home=tmp_path).evaluation.metrics) == run.metrics


def test_an_evaluation_may_name_other_data_and_nothing_else(tmp_path: Path) -> None:
    run = api.train("tiny", FAST, home=tmp_path)
    other = api.evaluate(run, "data.tests=17", home=tmp_path)
    assert dict(other.evaluation.metrics) != run.metrics
    assert run.metrics == api.load_run(run.id, tmp_path).metrics  # the record stays
    with pytest.raises(ConfigError, match="can't change a finished run"):
        api.evaluate(run, "training.seed=1", home=tmp_path)
    with pytest.raises(ConfigError, match="Only data.… settings may change"):
        api.evaluate(run, "evaluation.k=2", home=tmp_path)  # a task without that section


@pytest.mark.parametrize("wrong", [{"max_epochs": 0}, {"max_epoch": 1}], ids=["value", "name"])
def test_wrong_settings_of_a_run_are_refused_by_their_file_and_those_typed_are_not(
    tmp_path: Path, wrong: dict[str, object]
) -> None:
    run = api.train("tiny", FAST, home=tmp_path)
    with pytest.raises(ConfigError, match="^data.tests='x'"):
        api.evaluate(run, "data.tests=x", home=tmp_path)
    file = run.path / CONFIG
    training = run.settings["training"]
    assert isinstance(training, dict)
    file.write_text(json.dumps(run.settings | {"training": training | wrong}))
    with pytest.raises(ConfigError, match=rf"^{re.escape(str(file))}: .*training\.max_epoch"):
        api.evaluate(run.id, home=tmp_path)


def test_predictions_have_a_row_for_each_sample(tmp_path: Path) -> None:
    run = api.train("tiny", FAST, home=tmp_path)
    (table,) = api.predict(run, tmp_path, home=tmp_path)
    assert len(table.rows) == 40
    assert all(isinstance(row[0], float) and 0 <= row[0] <= 1 for row in table.rows)
    assert api.load_run("@last", tmp_path).predict(tmp_path) == (table,)


def test_a_loaded_run_has_its_trained_model_ready_to_be_asked(tmp_path: Path) -> None:
    run = api.train("tiny", FAST, home=tmp_path)
    model = api.load_run(run.id, tmp_path).model
    assert not model.training
    saved = load_file(run.path / "model.safetensors")
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())


def test_a_run_whose_card_was_edited_or_weights_were_exchanged_is_refused(tmp_path: Path) -> None:
    run, other = (api.train("tiny", f"training.seed={i}", FAST, home=tmp_path) for i in (1, 2))
    card = run.path / "model.json"
    whole = card.read_text()
    edited = json.loads(whole)
    del edited["preprocessing"]["mean"]
    card.write_text(json.dumps(edited))
    uses = (lambda: api.evaluate(run, home=tmp_path), lambda: api.predict(run, "x", home=tmp_path))
    for use in uses:
        with pytest.raises(CheckpointError, match=rf"^{re.escape(str(card))}: was changed after"):
            use()
    for name in ("model.json", "model.safetensors"):  # which agree with each other
        shutil.copy(other.path / name, run.path / name)
    for use in uses:
        with pytest.raises(CheckpointError, match="was changed after"):
            use()


def test_a_run_whose_settings_were_edited_to_other_valid_ones_is_refused(tmp_path: Path) -> None:
    run = api.train("tiny", FAST, home=tmp_path)
    file = run.path / CONFIG
    file.write_text(file.read_text().replace('"tests": 40', '"tests": 17'))
    edited = re.escape(str(file))
    with pytest.raises(CheckpointError, match=rf"^{edited}: was changed after the run finished"):
        api.evaluate(run.id, home=tmp_path)
    with pytest.raises(CheckpointError, match=rf"^{edited}: was changed after the run finished"):
        api.predict(run.id, "x", home=tmp_path)


def test_an_unfinished_run_can_not_be_used(tmp_path: Path) -> None:
    task = tiny_task.TinyTask(crash_at(2, RuntimeError("lightning struck")))
    store = RunStore(tmp_path)
    with pytest.raises(RunFailedError):
        launch(task, tiny_task.tiny(FAST), store)
    (run,) = store.runs()
    for use in (lambda: api.evaluate(run.id, home=tmp_path), lambda: api.predict(run, tmp_path)):
        with pytest.raises(StoreError, match="this run is failed.*\n.*resume_if_incomplete"):
            use()


def test_wrong_requests_make_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with pytest.raises(UnknownNameError, match="unknown task"):
        api.train("tinny", home=home)
    with pytest.raises(ConfigError, match="max_epoch"):
        api.train("tiny", "training.max_epoch=1", home=home)
    with pytest.raises(ConfigError, match="can't train the model"):
        api.train("tiny", home=home, model="reconstructor")
    assert not home.exists()


def test_an_audit_needs_no_run(tmp_path: Path) -> None:
    assert api.audit("tiny", home=tmp_path).stamp.verdict == "clean"
    assert RunStore(tmp_path).runs() == []
