"""`execution=azure`: specifications that Azure's own reader understands, with the exact command."""

from __future__ import annotations

import json
import math
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from typer.testing import CliRunner

from made_runs import finish_run
from tutelage import api
from tutelage.api.hpo import plan_tuning
from tutelage.cli.app import app
from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, RunFailedError
from tutelage.core.execution import AzureExecution
from tutelage.core.folds import read_split
from tutelage.core.store import RunStore
from tutelage.execution import build_training_command
from tutelage.execution.backends import open_backend
from tutelage.execution.backends.azure import load_job, write_command_spec
from tutelage.execution.result import Result, write_result
from tutelage.execution.scores import main, mean_score
from tutelage.hpo.azure_sweep import varied_by_azure, write_sweep_spec
from tutelage.hpo.space import parse_space

pytestmark = [
    pytest.mark.filterwarnings("ignore::marshmallow.warnings.RemovedInMarshmallow4Warning"),
    pytest.mark.filterwarnings("ignore::marshmallow.warnings.ChangedInMarshmallow4Warning"),
]
PLACE = (
    "execution=azure",
    "execution.compute=cpu-cluster",
    "execution.image=azureml:tutelage:3",
    "execution.workspace=my space",
    "execution.timeout=3600",
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def settings(*overrides: str) -> tuple[RunConfig, AzureExecution]:
    _, config = api.configure("ner", (*PLACE, *overrides))
    assert isinstance(config.execution, AzureExecution)
    return config, config.execution


def test_a_job_is_read_back_with_the_training_command_and_what_it_takes_along(
    tmp_path: Path,
) -> None:
    (tmp_path / "my data").mkdir()
    config, place = settings("data.root=my data", "training.max_epochs=3")
    spec = write_command_spec(config, place, RunStore(tmp_path / "home"), {"purpose": "final"})
    words = build_training_command(
        Path("${{inputs.config}}"),
        ("data.root=${{inputs.data_root}}",),
        task="ner",
        result=Path("${{outputs.home}}/result.json"),
        python="python",
    )
    read = load_job(spec.path)
    assert read.command == f"TUTELAGE_HOME=${{{{outputs.home}}}} {' '.join(words)}"
    assert (read.compute, read.environment) == ("cpu-cluster", "tutelage:3")
    assert read.limits.timeout == 3600 and read.tags == {"task": "ner", "purpose": "final"}
    assert read.inputs["data_root"].path == str(tmp_path / "my data")
    assert read.inputs["config"].path == "./config.json"
    there = json.loads((spec.path.parent / "config.json").read_text())
    assert there["training"]["max_epochs"] == 3 and "execution" not in there
    sent = f"az ml job create --file {spec.path} --workspace-name 'my space'"
    assert spec.send == sent
    again = write_command_spec(config, place, RunStore(tmp_path / "home"), {"purpose": "final"})
    assert again == spec


def test_runs_that_a_run_is_made_from_go_along(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "home")
    teacher, weights = (finish_run(store, fingerprint=one) for one in "ab")
    mode = ("mode=distillation", f"mode.teacher={teacher.id}")
    overrides = (*PLACE, *mode, f"run.initial_weights={weights.id}")
    _, config = api.configure("can", overrides)
    assert isinstance(config.execution, AzureExecution)
    spec = write_command_spec(config, config.execution, store, {})
    assert "mode.teacher=${{inputs.mode_teacher_0}}" in spec.command
    assert "run.initial_weights=${{inputs.run_initial_weights_0}}" in spec.command
    read = load_job(spec.path)
    assert read.inputs["mode_teacher_0"].path == str(teacher.path)
    assert read.inputs["run_initial_weights_0"].path == str(weights.path)


def test_variables_stay_out_of_a_file_that_others_read(tmp_path: Path) -> None:
    config, place = settings("execution.environment=[HF_TOKEN]")
    with pytest.raises(ConfigError, match="would show the variables' values"):
        write_command_spec(config, place, RunStore(tmp_path / "home"), {})
    assert not (tmp_path / "azure").exists()


def test_nobody_waits_for_a_job_that_azure_runs() -> None:
    with pytest.raises(ConfigError, match="which Azure runs without us"):
        open_backend(settings()[1])


SPACE = """
parameters:
  training.learning_rate: {type: loguniform, min: 0.0001, max: 0.01}
  training.batch_size: {type: choice, values: [8, 16]}
  training.weight_decay: {type: uniform, min: 0.0, max: 0.1}
  training.max_epochs: {type: int, min: 1, max: 5, step: 2}
"""


def test_a_study_is_a_sweep_whose_trials_train_every_fold(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(SPACE)
    study = ("hpo.folds=2", "hpo.trials=6", "hpo.workers=3", "hpo.space=space.yaml")
    plan = plan_tuning("ner", (*study, *PLACE), RunStore(tmp_path / "home"))
    assert isinstance(plan.base.execution, AzureExecution)
    spec = write_sweep_spec(plan, plan.base.execution)
    read = load_job(spec.path)
    first, second, told = read.trial.command.split(" && ")
    varied = "training.learning_rate=${{search_space.training__learning_rate}}"
    for fold, line in enumerate((first, second)):
        assert "python -m tutelage train ner --config ${{inputs.config}}" in line
        assert f"data.split_file=${{{{inputs.data_split_file}}}} data.fold={fold} {varied}" in line
    assert told.startswith("python -m tutelage.execution.scores held_out/")
    assert read.objective.goal == plan.direction == "maximize"
    assert read.objective.primary_metric == f"held_out/{plan.metric}"
    assert (read.limits.max_total_trials, read.limits.max_concurrent_trials) == (6, 3)
    space = read.search_space
    rate = space["training__learning_rate"]
    assert (rate.min_value, rate.max_value) == (math.log(0.0001), math.log(0.01))
    assert space["training__batch_size"].values == [8, 16]
    assert space["training__max_epochs"].values == [1, 3, 5]
    decay = space["training__weight_decay"]
    assert (decay.min_value, decay.max_value) == (0, 0.1)
    assert read_split(spec.path.parent / "split.json").folds == 2


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("{type: choice, values: ['a b', c]}", "can't pass 'a b'"),
        ("{type: choice, values: [[1], [2]]}", r"can't pass \[1\]"),
        ("{type: int, min: 1, max: 5000}", "takes no 5000 values"),
        ("{type: int, min: 1, max: 5, when: {training.batch_size: 8}}", "knows no conditions"),
    ],
)
def test_what_a_sweep_can_not_vary_is_refused(parameter: str, said: str) -> None:
    varied = yaml.safe_load(parameter)
    parameters = {"training.batch_size": {"values": [8]}, "other": varied}
    space = parse_space("mine", {"parameters": parameters})
    with pytest.raises(ConfigError, match=said):
        varied_by_azure("other", space.parameters["other"])


def test_a_trial_tells_the_mean_of_its_folds_to_the_run_that_the_job_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RunStore(tmp_path / "home")
    results = []
    for fold, score in enumerate((0.5, 1.0)):
        run = finish_run(store, scores={"held_out/f1": score}, fingerprint=str(fold))
        results.append(tmp_path / f"result-{fold}.json")
        write_result(results[-1], Result().made(run, "new"))
    logged: dict[str, float] = {}
    tracker = SimpleNamespace(start_run=nullcontext, log_metric=logged.__setitem__)
    monkeypatch.setitem(sys.modules, "mlflow", tracker)  # the real one takes ten seconds
    monkeypatch.setattr("sys.argv", ["scores", "held_out/f1", *map(str, results)])
    main()
    assert logged == {"held_out/f1": 0.75}
    with pytest.raises(RunFailedError, match="has no 'held_out/auc'"):
        mean_score(results, "held_out/auc")
    with pytest.raises(RunFailedError, match="names no run"):
        mean_score([tmp_path / "absent.json"], "held_out/f1")


def test_the_commands_end_with_the_specification_and_how_to_send_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUTELAGE_HOME", str(tmp_path / "home"))
    trained = CliRunner().invoke(app, ["train", "ner", *PLACE])
    assert trained.exit_code == 0, trained.output
    (path,) = (tmp_path / "azure").glob("train-*/job.yaml")
    assert f"spec  {path}" in trained.stdout and "az ml job create --file" in trained.stdout
    assert "nothing was sent" in trained.output and not (tmp_path / "home").exists()
    searched = CliRunner().invoke(app, ["hpo", "ner", "hpo.folds=1", "--json", *PLACE])
    assert isinstance(searched.exception, ConfigError)
    assert "hpo.folds=3" in str(searched.exception.hint)


def test_the_model_to_ship_is_a_job_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTELAGE_HOME", str(tmp_path / "home"))
    run = finish_run(RunStore(tmp_path / "home"))
    done = CliRunner().invoke(app, ["final", run.id, "final.on=split", "--json", *PLACE])
    assert done.exit_code == 0, done.output
    read = load_job(json.loads(done.stdout)["spec"])
    assert read.tags["purpose"] == "final" and " train can --config " in read.command
