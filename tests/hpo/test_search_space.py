"""A search space means what it says, and is refused before anything runs where it can't be."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from made_trials import BRANCHES

from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, UnknownNameError
from tutelage.core.overrides import build_config
from tutelage.hpo.parameters import Int, IntLogUniform, LogUniform, Uniform
from tutelage.hpo.space import (
    SearchSpace,
    check_space,
    parse_space,
    read_space,
    require_reached,
)
from tutelage.task import Task, load_task

CAN = load_task("can")
RATE = {"type": "loguniform", "min": 1e-4, "max": 1e-2}


def base(task: Task[RunConfig] = CAN, **settings: object) -> RunConfig:
    return build_config(task.config_type, [settings])


def checked(parameters: Mapping[str, object], *typed: str, **settings: object) -> SearchSpace:
    return check_space(
        parse_space("mine.yaml", {"parameters": parameters}), CAN, base(**settings), typed
    )


def test_yaml_json_and_python_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "summary: two\nparameters:\n  training.learning_rate: {type: loguniform, min: 1e-4, "
        "max: 1e-2}\n  model.layers: {values: [1, 2]}\n"
    )
    read = read_space(str(tmp_path / "a.yaml"), CAN)
    (tmp_path / "a.json").write_text(json.dumps(read.as_json()))
    assert dict(read_space(str(tmp_path / "a.json"), CAN).parameters) == dict(read.parameters)
    assert read.parameters["training.learning_rate"] == LogUniform(min=1e-4, max=1e-2)


def test_bounds_are_numbers_and_not_their_logarithms() -> None:
    drawn = [LogUniform(min=1e-4, max=1e-2).at(place) for place in (0.0, 0.5, 1.0)]
    assert drawn == pytest.approx([1e-4, 1e-3, 1e-2])
    assert checked({"training.learning_rate": RATE}).parameters[
        "training.learning_rate"
    ].probes == (
        1e-4,
        1e-2,
    )
    with pytest.raises(ConfigError, match=r"learning_rate: min=-9 is not above 0.*not their log"):
        checked({"training.learning_rate": RATE | {"min": -9, "max": -4}})


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (RATE | {"type": "logunifrom"}, "Did you mean 'loguniform'"),
        (RATE | {"low": 1}, "unknown key 'low'"),
        ({"type": "loguniform", "min": 1}, "max is missing"),
        (RATE | {"max": 1e-5}, "must be less than max"),
        ({"type": "uniform", "min": 0, "max": 0.5, "step": 0.2}, "steps end at 0.4 and 0.6"),
        ({"values": [1, 2, 1]}, "the value 1 stands twice"),
        ({"values": []}, "give 1 or more, not 0"),
        ({"min": 0}, "is of no kind"),
        (3, "says nothing of its values"),
    ],
)
def test_a_parameter_that_can_not_be_is_refused_by_name(how: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        checked({"training.weight_decay": how})
    assert "training.weight_decay" in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_a_misspelt_parameter_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'learning_rate'"):
        checked({"training.learning_rat": RATE})


def test_a_value_that_the_task_refuses_is_found_at_either_end_or_between() -> None:
    with pytest.raises(ConfigError, match=r"model.dropout=1.5 is refused"):
        checked({"model.dropout": {"type": "uniform", "min": 0, "max": 1.5}})
    with pytest.raises(ConfigError, match="-1 is refused"):
        checked({"training.learning_rate": {"values": [1e-3, -1]}})
    with pytest.raises(ConfigError, match="valid integer"):  # both ends are whole numbers
        checked({"model.layers": {"type": "uniform", "min": 1, "max": 3}})
    with pytest.raises(ConfigError, match="can't train the model 'vgae'"):
        checked({"model.name": {"values": ["gat", "vgae"]}})


def test_a_value_that_the_task_takes_for_another_is_refused() -> None:
    with pytest.raises(ConfigError, match="training.precision=32 did not reach the run.*'32'"):
        checked({"training.precision": {"values": [32, "bf16"]}})
    assert checked({"training.precision": {"values": ["32", "bf16"]}})


def test_values_that_only_together_are_refused_are_found() -> None:
    ner = load_task("ner")
    space = parse_space(
        "two", {"parameters": {"model.head": {"values": ["softmax", "crf"]},
                               "model.loss": {"values": ["cross_entropy", "focal"]}}}
    )  # fmt: skip
    with pytest.raises(ConfigError, match="'crf'.*'focal' is refused.*a CRF has its own loss"):
        check_space(space, ner, base(ner))


@pytest.mark.parametrize(
    ("parameter", "typed"),
    [
        ("model.layers", "model.layers=2"),
        ("model.name", "model=gat"),
        ("model.layers", "model={name: gat, layers: 2}"),
    ],
)
def test_a_parameter_that_was_typed_too_is_refused(parameter: str, typed: str) -> None:
    values = ["gat"] if parameter == "model.name" else [1, 2]
    if typed.startswith("model={"):
        typed = "model.layers=2"
    with pytest.raises(ConfigError, match=f"{parameter} is searched, but {parameter} was set"):
        checked({parameter: {"values": values}}, typed)
    assert checked({parameter: {"values": values}}, "training.max_epochs=2")


@pytest.mark.parametrize("name", ["run.policy", "execution.name", "task", "training.seed"])
def test_what_a_study_sets_itself_can_not_be_searched(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} can't be searched"):
        checked({name: {"values": [1, 2]}})


def test_a_condition_on_a_setting_is_decided_by_the_run() -> None:
    parameters = {
        "training.learning_rate": RATE,
        "model.dropout": {"values": [0.1, 0.2], "when": {"model.name": "gat"}},
        "model.latent": {"values": [4, 8], "when": {"model.name": ["vgae"]}},
    }
    assert list(checked(parameters).parameters) == ["training.learning_rate", "model.dropout"]
    vgae = checked(parameters, model="vgae", mode="autoencoder")
    assert list(vgae.parameters) == ["training.learning_rate", "model.latent"]


def test_a_space_of_which_nothing_applies_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing of it is of model=gat"):
        checked({"model.latent": {"values": [4, 8], "when": {"model.name": "vgae"}}})


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ({"model.nam": "gat"}, "Did you mean 'model.name'"),
        ({"model.loss": "hinge"}, "which model.loss never is"),
        ({"training.learning_rate": 0.1}, "a range of numbers"),
        ({"model.loss": []}, "model.hidden hangs on no value of model.loss"),
        ({"model.layers": []}, "model.hidden hangs on no value of model.layers"),
    ],
)
def test_a_condition_that_nothing_meets_is_refused(when: Mapping[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        checked(
            {
                "training.learning_rate": RATE,
                "model.loss": {"values": ["cross_entropy", "focal"]},
                "model.hidden": {"values": [4, 8], "when": when},
            }
        )


def test_conditions_in_a_circle_are_refused() -> None:
    with pytest.raises(ConfigError, match="go round in a circle"):
        checked(
            {
                "model.hidden": {"values": [4, 8], "when": {"model.layers": 1}},
                "model.layers": {"values": [1, 2], "when": {"model.hidden": 4}},
            }
        )


def test_a_conditional_parameter_has_a_value_only_where_its_condition_is_met() -> None:
    points = [BRANCHES.at([0.5, kind, 0.99]) for kind in (0.0, 0.4, 0.9)]
    assert [set(point) for point in points] == [
        {"rate", "kind"},
        {"rate", "kind", "depth"},
        {"rate", "kind"},
    ]
    assert points[1]["depth"] == 9
    assert BRANCHES.values(points[2])["kind"] == [16, 32]


def test_a_model_that_is_searched_brings_its_own_settings() -> None:
    ner = load_task("ner")
    parameters = {
        "model.layers": {"values": [2], "when": {"model.name": "transformer"}},
        "model.name": {"values": ["bilstm", "transformer"]},
    }
    run = base(ner, model={"name": "bilstm", "byte_channels": 8})
    space = check_space(parse_space("models", {"parameters": parameters}), ner, run)
    assert list(space.parameters) == ["model.name", "model.layers"]
    config = space.config(ner, run, {"model.name": "transformer", "model.layers": 2})
    assert config.model.model_dump()["byte_channels"] == 64, (
        "one model's settings are not another's"
    )


def test_a_grid_has_every_combination_once() -> None:
    grid = SearchSpace("g", {n: p for n, p in BRANCHES.parameters.items() if n != "rate"}).grid()
    points = list(grid)
    assert len(points) == 5 + 2
    assert {point.get("depth") for point in points} == {1, 3, 5, 7, 9, None}
    with pytest.raises(ConfigError, match="rate has no end of values"):
        next(BRANCHES.grid())


def test_every_value_of_a_range_of_whole_numbers_is_reached() -> None:
    places = [i / 1000 for i in range(1001)]
    assert {Int(min=1, max=7, step=3).at(p) for p in places} == {1, 4, 7}
    assert {IntLogUniform(min=1, max=5).at(p) for p in places} == {1, 2, 3, 4, 5}
    steps = Uniform(min=0, max=0.3, step=0.1)
    assert {steps.at(p) for p in places} == {0.0, 0.1, 0.2, 0.3} == set(steps.grid or ())


def test_places_and_values_of_numbers_are_each_others_inverse() -> None:
    for number in (Uniform(min=-2, max=3), LogUniform(min=1e-3, max=10)):
        assert [number.place(number.at(p)) for p in (0.1, 0.5, 0.9)] == pytest.approx(
            [0.1, 0.5, 0.9]
        )
    for whole in (Int(min=2, max=20, step=3), IntLogUniform(min=1, max=60)):
        for value in whole.grid or ():
            assert whole.at(whole.place(float(str(value)))) == value


def test_an_unknown_space_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'default'"):
        read_space("defualt", CAN)
    with pytest.raises(ConfigError, match="no such file"):
        read_space("nowhere.yaml", CAN)


@pytest.mark.parametrize("name", ["can", "multimodal", "ner", "neural"])
def test_each_parameter_of_a_tasks_own_space_changes_what_its_runs_are(name: str) -> None:
    task = load_task(name)
    run = base(task)
    space = check_space(read_space("default", task), task, run)
    assert 4 <= len(space.parameters) <= 7
    for parameter, how in space.parameters.items():
        low, high = (space.config(task, run, {parameter: how.at(p)}) for p in (0.0, 1.0))
        dumped = low.model_dump(mode="json"), high.model_dump(mode="json")
        assert dumped[0] != dumped[1]
        for place, config in zip((0.0, 1.0), dumped, strict=True):
            require_reached(space.values({parameter: how.at(place)}), config, name)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model": {"layers": 3}}, "it has none"),
        ({"model": {"layers": 3, "hidden": 16}}, "it has 16"),
    ],
)
def test_a_value_that_was_dropped_on_the_way_is_an_error(
    config: Mapping[str, object], said: str
) -> None:
    values = {"model.layers": 3, "model.hidden": 8}
    require_reached(values, {"model": {"layers": 3, "hidden": 8}}, "run")
    with pytest.raises(ConfigError, match=f"model.hidden=8 did not reach the run: {said}"):
        require_reached(values, config, "run")


def test_settings_that_the_space_has_are_tried_first() -> None:
    rate = {"type": "loguniform", "min": 1e-4, "max": 1e-2}
    space = checked({"training.learning_rate": rate, "model.layers": {"values": [2, 3]}})
    assert space.first == {"training.learning_rate": 3e-3, "model.layers": 3}
    other = {"type": "int", "min": 2, "max": 8, "step": 2}
    assert checked({"training.learning_rate": rate, "model.layers": other}).first == {}


@pytest.mark.parametrize("name", ["can", "multimodal", "ner", "neural"])
def test_a_tasks_own_space_has_its_own_settings(name: str) -> None:
    task = load_task(name)
    space = check_space(read_space("default", task), task, base(task))
    assert space.first.keys() == space.parameters.keys()
