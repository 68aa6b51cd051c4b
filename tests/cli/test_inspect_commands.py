"""`tutelage tasks | modes | models | data | config | doctor` tell what there is and what is set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from made_runs import can_config
from tutelage.cli import checks, inspect
from tutelage.cli.config_options import options
from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, UnknownNameError
from tutelage.core.installing import install_command
from tutelage.core.overrides import build_config
from tutelage.core.store import RunStore
from tutelage.tasks.can.config import CANConfig
from tutelage.tasks.multimodal.config import MultimodalConfig
from tutelage.tasks.ner.config import NERConfig
from tutelage.tasks.neural.config import NeuralConfig
from tutelage.training.modes import MODES

Command = Callable[..., Result]


@pytest.fixture
def tutelage() -> Command:
    app = typer.Typer()
    inspect.register(app)

    def call(*arguments: str) -> Result:
        result = CliRunner().invoke(app, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


def test_tasks_and_models_are_listed(tutelage: Command) -> None:
    assert json.loads(tutelage("tasks", "--json").stdout)["tasks"]["can"]["models"] == [
        *("gat", "vgae", "mean", "logistic", "mlp", "gated", "bandit", "dqn", "best"),
    ]
    assert "gat, vgae" in tutelage("tasks").stdout
    assert "pip install" not in tutelage("tasks").stdout
    models = json.loads(tutelage("models", "--json").stdout)["models"]
    assert models["can"]["vgae"]["modes"] == ["autoencoder"]
    assert "variational graph autoencoder" in tutelage("models", "can").stdout


def test_the_modes_listed_are_those_that_can_train(tutelage: Command) -> None:
    listed = json.loads(tutelage("modes", "can", "--json").stdout)["modes"]
    assert sorted(listed) == list(MODES)
    assert listed["autoencoder"]["models"] == {"can": ["vgae"]}
    assert all(mode["summary"] for mode in listed.values())
    assert "autoencoder" in tutelage("modes").stdout


def test_an_unknown_task_is_refused_with_the_nearest(tutelage: Command) -> None:
    for command in ("config", "modes", "models", "data"):
        with pytest.raises(UnknownNameError, match="unknown task 'cam'\n.*'can'"):
            tutelage(command, "cam")


def test_data_tells_what_ships_and_what_can_be_mapped(tutelage: Command) -> None:
    told = json.loads(tutelage("data", "can", "--json").stdout)["data"]["can"]
    assert "simulated" in told["embedded"]
    assert "data.columns.timestamp" in [option["path"] for option in told["options"]]
    assert "data.columns.timestamp" in tutelage("data").stdout


@pytest.mark.parametrize("config_type", [CANConfig, MultimodalConfig, NERConfig, NeuralConfig])
def test_every_option_is_listed_once(config_type: type[RunConfig]) -> None:
    listed = options(config_type)
    assert len({(o.path, o.when) for o in listed}) == len(listed)


@pytest.mark.parametrize(
    ("config_type", "choice", "name", "setting"),
    [
        (MultimodalConfig, "model.text", "transformers", "model.text.length=32"),
        (NeuralConfig, "model.frontend", "conv", "model.frontend.lags=5"),
    ],
)
def test_a_choice_inside_a_choice_is_typed_as_it_is_listed(
    config_type: type[RunConfig], choice: str, name: str, setting: str
) -> None:
    assert choice in {o.path for o in options(config_type)}
    long = build_config(config_type, [], [f"{choice}.name={name}", setting])
    assert build_config(config_type, [], [f"{choice}={name}", setting]) == long
    again = build_config(config_type, [long.model_dump(mode="json")], [f"{choice}={name}"])
    assert again == long


def test_every_option_that_is_listed_can_be_typed() -> None:
    listed = options(CANConfig)
    assert not {"mode.name", "model.name", "task"} & {o.path for o in listed}
    for option in listed:
        choice = [option.when] if option.when else []
        needed = [
            f"{o.path}={'[one, other]' if o.values.startswith('list') else 'given'}"
            for o in listed
            if o.required and o.when == option.when
        ]
        typed = [] if option.required else [f"{option.path}={json.dumps(option.default)}"]
        build_config(CANConfig, [], [*choice, *needed, *typed])


def test_every_field_of_the_configuration_is_listed() -> None:
    def leaves(settings: dict[str, object], prefix: str = "") -> set[str]:
        found: set[str] = set()
        for key, value in settings.items():
            path = f"{prefix}{key}"
            found |= leaves(value, f"{path}.") if isinstance(value, dict) else {path}
        return found

    config = can_config("mode=autoencoder", "model=vgae").model_dump(mode="json")
    names = {"schema_version", "task", "mode.name", "model.name", "execution.name"}
    wanted = leaves(config) - names
    assert wanted <= {option.path for option in options(CANConfig)}


def test_a_setting_of_names_and_their_values_says_of_what_kind_both_are() -> None:
    (rename,) = (option for option in options(NERConfig) if option.path == "data.rename")
    assert (rename.default, rename.values) == ({}, "{text: text}")


@pytest.mark.parametrize(
    ("path", "default", "values"),
    [
        ("training.max_epochs", 8, "whole number ≥ 1"),
        ("training.batch_size", 64, "whole number ≥ 1 | auto"),
        ("training.early_stopping.patience", None, "whole number ≥ 1 | null"),
        ("training.precision", "32", "64 | 32 | bf16 | 16"),
        ("training.compile", False, "true | false"),
        ("training.loggers", [], "list of tensorboard | wandb"),
        ("training.averaging.decay", 0.999, "number > 0, < 1"),
        ("data.root", None, "path | null"),
        ("model", "gat", "gat | vgae | mean | logistic | mlp | gated | bandit | dqn | best"),
        ("mode", "normal", "normal | autoencoder | curriculum | distillation | fusion"),
        ("mode.teacher", None, "text"),
    ],
)
def test_an_option_tells_default_and_allowed_values(
    path: str, default: object, values: str
) -> None:
    (option,) = (o for o in options(CANConfig) if o.path == path)
    assert (option.default, option.values) == (default, values) and option.help


def test_config_explains_every_setting_by_section(tutelage: Command) -> None:
    shown = tutelage("config", "can").stdout
    for words in ("model (model=vgae)", "training.early_stopping.patience", "Presets", "student"):
        assert words in shown
    told = json.loads(tutelage("config", "can", "--json").stdout)
    assert told["task"] == "can" and "student" in told["presets"]
    assert {"hpo.trials", "hpo.sampler.name"} <= {option["path"] for option in told["hpo"]}
    assert "training.learning_rate" in told["spaces"]["default"]["parameters"]
    assert " can " in tutelage("config").stdout


def test_settings_resolve_to_a_configuration_that_can_be_used(
    tutelage: Command, tmp_path: Path
) -> None:
    printed = tutelage("config", "can", "training.seed=4", "model.heads=2").stdout
    content = yaml.safe_load(printed)
    assert build_config(CANConfig, [content]) == can_config("training.seed=4", "model.heads=2")
    file = tmp_path / "mine.yaml"
    file.write_text(printed)
    told = json.loads(tutelage("config", "can", "--config", str(file), "--json").stdout)
    assert told == content
    preset = yaml.safe_load(tutelage("config", "can", "--preset", "vgae-student").stdout)
    assert preset["model"]["name"] == "vgae"
    assert yaml.safe_load(tutelage("config", "can", "--resolved").stdout)["task"] == "can"
    with pytest.raises(ConfigError, match="'max_epochs'"):
        tutelage("config", "can", "training.max_epoch=3")


def test_the_doctor_finds_this_environment_sound(
    tutelage: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUTELAGE_HOME", str(tmp_path / "not" / "yet"))
    result = tutelage("doctor", "--json")
    told = json.loads(result.stdout)
    states = {check["name"]: check["state"] for check in told["checks"]}
    assert result.exit_code == 0 and told["ok"] is True
    assert states["torch"] == states["run store"] == states["Python"] == "ok"
    assert {"extra can", "memory", "disk", "CPU cores"} <= set(states)
    assert not (tmp_path / "not").exists()
    assert "can be written" in tutelage("doctor").stdout


def test_the_doctor_fails_where_the_store_can_not_be_written(
    tutelage: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TUTELAGE_HOME", str(tmp_path / "file"))
    result = tutelage("doctor", "--json")
    assert result.exit_code == 1 and json.loads(result.stdout)["ok"] is False
    assert "can't be written" in tutelage("doctor").stdout


def test_the_doctor_names_what_is_missing_and_how_to_get_it() -> None:
    found = {
        check.name: check
        for check in checks.check_requirements(
            [
                "numpy>=1",
                "torch>=99",
                "no-such-package>=2",
                'no-such-extra-package>=1; extra == "radar"',
                'no-such-other-package; extra == "radar"',
                'torch>=99; extra == "radar"',
                'numpy>=1; extra == "plain"',
                'tutelage[radar]; extra == "all"',
            ]
        )
    }
    assert found["numpy"].state == found["extra plain"].state == "ok"
    assert found["torch"].state == "bad" and "wanted >=99" in found["torch"].found
    assert found["no-such-package"].state == "bad"
    assert found["no-such-package"].hint == "pip install 'no-such-package>=2'"
    assert found["extra radar"].state == "missing"
    absent = "not installed: no-such-extra-package, no-such-other-package"
    assert found["extra radar"].found.endswith(absent)
    assert "wanted >=99" in found["extra radar"].found
    assert found["extra radar"].hint == install_command("radar")
    assert "extra all" not in found


def test_the_doctor_looks_at_the_folder_above_a_store_that_is_not_there(tmp_path: Path) -> None:
    writable, disk = checks.check_home(RunStore(tmp_path / "a" / "b").home)
    assert writable.state == "ok" and str(tmp_path) in disk.found


@pytest.mark.parametrize("version", ["2.6.2", "2.6.3"])
def test_the_doctor_refuses_malicious_releases(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / f"pytorch_lightning-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: pytorch-lightning\nVersion: {version}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (check,) = checks.check_malicious()
    assert check.state == "bad" and version in check.found and "secrets" in check.hint
