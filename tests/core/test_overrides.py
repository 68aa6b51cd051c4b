"""What a person types becomes a configuration, or one error that says path, value and choices."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_runs import can_config
from tutelage.core.config import AutoencoderMode
from tutelage.core.errors import ConfigError, StoreError
from tutelage.core.overrides import (
    build_config,
    merge,
    parse_override,
    parse_yaml,
    read_config_file,
)
from tutelage.tasks.can.config import CANConfig, VGAEConfig


def test_settings_reach_their_fields() -> None:
    config = can_config("training.max_epochs=5", "training.early_stopping.patience=2", "model=vgae")
    assert config.training.max_epochs == 5 and config.training.early_stopping.patience == 2
    assert isinstance(config.model, VGAEConfig)


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("training.learning_rate=1e-3", 1e-3),
        ("training.batch_size=auto", "auto"),
        ("training.max_steps=null", None),
        ("training.max_epochs=1_000", 1000),
        ("training.seed=010", 10),
        ("training.precision=16", "16"),
        ("training.compile=true", True),
        ("training.loggers=[tensorboard]", ("tensorboard",)),
        ("run.name=2024", "2024"),
        ("run.name=2024-05-01", "2024-05-01"),
        ("data.columns.label=no", "no"),
        ("data.columns.label==", "="),
        ("data.columns.label=#attack", "#attack"),
        ("data.columns.label=attack #1", "attack #1"),
        ("data.columns.label=&flag", "&flag"),
        ("data.columns.label='a: b'", "a: b"),
        ("data.columns.label=1", "1"),
    ],
)
def test_values_are_read_as_people_mean_them(typed: str, value: object) -> None:
    found: object = can_config(typed)
    for name in typed.partition("=")[0].split("."):
        found = getattr(found, name)
    assert found == value and type(found) is type(value)


def test_runs_in_a_list_need_no_quotes() -> None:
    assert parse_override("mode.experts=[@last, one,@last]")[1] == ["@last", "one", "@last"]
    assert parse_override("mode.experts=['@last, one']")[1] == ["@last, one"]
    with pytest.raises(ConfigError, match=r"give 2 or more, not 1"):
        can_config("mode=fusion", "model=mean", "mode.experts=[@last]")


@pytest.mark.parametrize("typed", ["data.root=2024", "data.root=./2024"])
def test_a_path_is_made_absolute(typed: str) -> None:
    assert can_config(typed).data.root == Path.cwd() / "2024"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("model=gta", ["unknown model 'gta'", "Did you mean 'gat'?", "gat, gated, logistic"]),
        ("model=5", ["unknown model '5'"]),
        ("mode=autoencoders", ["unknown mode 'autoencoders'", "'autoencoder'"]),
        ("training.max_epoch=3", ["unknown setting 'training.max_epoch'", "'max_epochs'"]),
        ("max_epochs=3", ["unknown setting 'max_epochs'", "Did you mean training.max_epochs?"]),
        ("trainin.max_epochs=3", ["unknown setting 'trainin'", "Did you mean 'training' or"]),
        ("training.checkpoints.keep=3", ["unknown setting 'training.checkpoints.keep'"]),
        ("training.checkpoints.keep=3", ["In training.checkpoints: ", "keep_best"]),
        ("model.hiden=3", ["unknown setting 'model.hiden'", "In model: Did you mean 'hidden'?"]),
        ("model.latent=3", ["unknown setting 'model.latent'", "It belongs to model=vgae."]),
        ("mode.threshold_quantile=0.9", ["It belongs to mode=autoencoder."]),
        ("training.max_epochs=many", ["training.max_epochs='many'", "whole number"]),
        ("training.max_epochs=0", ["training.max_epochs=0", "greater than or equal to 1"]),
        ("training.batch_size=0", ["training.batch_size=0", "greater than", ", or ", "'auto'"]),
        ("training.precision=8", ["training.precision='8'", "'64', '32', 'bf16' or '16'"]),
        ("training.scheduler=linear", ["group of settings", "training.scheduler.name=VALUE"]),
        ("training.loggers=wandb", ["training.loggers='wandb'", "a list, as in [a, b]"]),
        ("training.learning_rate=.inf", ["finite"]),
        ("data.root=[a]", ["data.root=['a']", "a path"]),
        ("data=null", ["data=None: this is a group of settings"]),
        ("run.policy=force", ["'force_new'"]),
        ("task=ner", ["of task=ner, not can", "as in: tutelage train ner"]),
        ("run.name='täst ☃'", ["run.name='täst ☃'", "use letters a to z, digits"]),
        ("epochs", ["'epochs' is not a setting", "section.field=value"]),
        ("data.root=", ["'data.root=' has no value", "Write data.root=null for nothing"]),
        ("run.name= ", ["has no value"]),
        ("=3", ["'=3' is not a setting"]),
        ("data.root=a: b: c", ["can't be read", "Quote it"]),
        ("data.root=!!python/name:os.system", ["can't be read"]),
    ],
)
def test_a_wrong_setting_is_one_error_with_path_and_choices(typed: str, said: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        can_config(typed)
    for words in said:
        assert words in str(caught.value)


def test_a_rule_is_told_in_words() -> None:
    with pytest.raises(ConfigError) as caught:
        can_config("run.name=täst ☃", "training.max_epochs=abc", "training.learning_rate=fast")
    assert not {"pattern", "parse", "^"} & set(str(caught.value).replace("^", " ^ ").split())
    assert "whole number, as" in str(caught.value) and "be a number, as" in str(caught.value)


def test_all_wrong_settings_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        can_config("training.max_epochs=0", "training.sed=1", "model=x")
    for words in ("training.max_epochs=0", "'training.sed'", "unknown model 'x'"):
        assert words in str(caught.value)


def test_the_last_of_two_settings_wins_and_a_section_comes_before_its_fields() -> None:
    config = can_config(
        "mode.threshold_quantile=0.9", "training.seed=1", "mode=autoencoder", "training.seed=2"
    )
    assert isinstance(config.mode, AutoencoderMode) and config.mode.threshold_quantile == 0.9
    assert config.training.seed == 2


def test_the_order_of_a_choice_and_its_settings_does_not_matter() -> None:
    config = build_config(CANConfig, [{"model": "gat"}], ["model.latent=4", "model=vgae"])
    assert isinstance(config.model, VGAEConfig) and config.model.latent == 4


def test_layers_lie_on_each_other_and_another_model_starts_afresh() -> None:
    base = {"model": {"name": "gat", "heads": 2}, "training": {"seed": 1, "max_epochs": 2}}
    over = {"model": "vgae", "training": {"seed": 3}}
    merged = merge(base, over)
    assert merged == {"model": {"name": "vgae"}, "training": {"seed": 3, "max_epochs": 2}}
    assert base["model"] == {"name": "gat", "heads": 2}
    assert merge(base, {"model": {"hidden": 8}})["model"] == {
        "name": "gat",
        "heads": 2,
        "hidden": 8,
    }


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'seed' stands twice"):
        parse_yaml("training:\n  seed: 1\n  seed: 2\n")


def test_yaml_makes_no_objects() -> None:
    with pytest.raises(ValueError, match="constructor"):
        parse_yaml("!!python/object/apply:os.getcwd []")


@given(st.one_of(st.integers(), st.floats(allow_nan=False), st.booleans()))
def test_numbers_written_by_python_are_read_back(value: object) -> None:
    text = str(value).lower().replace("inf", ".inf")
    assert parse_override(f"a.b={text}") == (("a", "b"), value)


@given(st.text(alphabet=st.characters(codec="ascii"), max_size=20))
def test_any_value_is_read_or_refused_clearly(text: str) -> None:
    try:
        parse_override(f"data.root={text}")
    except ConfigError as error:
        assert "can't be read" in str(error) or "has no value" in str(error)


@pytest.mark.parametrize("name", ["run.yaml", "run.json"])
def test_a_file_of_settings_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text('\ufeff{"training": {"seed": 3}}', encoding="utf-8")
    assert build_config(CANConfig, [read_config_file(path)]).training.seed == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"- a\n- b\n", "holds no settings"),
        (b"", "holds no settings"),
        (b"a: [", "as YAML or JSON"),
        (b"\xff\xfe\x00", "can't be read"),
    ],
)
def test_a_file_that_holds_no_settings_is_refused(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        read_config_file(path)
    with pytest.raises(ConfigError, match="no such file"):
        read_config_file(tmp_path / "none.yaml")


def test_a_written_configuration_re_creates_itself(tmp_path: Path) -> None:
    config = can_config("mode=autoencoder", "model=vgae", "data.root=x", "training.precision=64")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.model_dump(mode="json")))
    assert build_config(CANConfig, [read_config_file(path)]) == config


def test_a_file_of_an_older_schema_is_migrated_and_a_newer_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"schema_version": 1, "training": {"lr": 0.1, "epochs": 2}}))
    training = build_config(CANConfig, [read_config_file(path)]).training
    assert (training.learning_rate, training.max_epochs) == (0.1, 2)
    path.write_text(json.dumps({"schema_version": 99, "tutelage_version": "7.0"}))
    with pytest.raises(StoreError, match=r"Read it with tutelage 7\.0"):
        read_config_file(path)
