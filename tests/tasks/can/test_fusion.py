"""Fusing CAN detectors: states, self-contained models, the same scores wherever they are asked."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_captures import can_config, write_drive

from tutelage import api
from tutelage.core.errors import ConfigError, DataError
from tutelage.core.overrides import build_config
from tutelage.core.store import Run, RunStore
from tutelage.tasks.can import CANTask
from tutelage.tasks.can.config import CANConfig
from tutelage.tasks.can.datamodule import CANGraphDataModule
from tutelage.tasks.can.fusion.config import COMBINERS, FusionConfig
from tutelage.tasks.can.fusion.extractor import FusionDataExtractor, NamedExpert
from tutelage.tasks.can.fusion.held_out import held_out_states, keep_held_out
from tutelage.tasks.can.fusion.module import DQNModule, FusionModule, make_combiner
from tutelage.tasks.can.modules import BaseCANGraphModule, GATModule
from tutelage.tasks.can.window_verdicts import model_scores
from tutelage.training.fusion.expert import Expert, restore_experts
from tutelage.training.launch import launch
from tutelage.training.restore import restore_module

pytestmark = pytest.mark.system

FAST = ("training.max_epochs=1", "training.accelerator=cpu")
FUSE = ("mode=fusion", "mode.folds=2", "mode.passes=1", *FAST)
MODELS = ["mean", "logistic", "mlp", "gated", "bandit", "dqn", "best"]
SMALL = ("model.layers=1", "model.hidden=4", "model.heads=2")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drives of a car, one with a name for testing."""
    folder = tmp_path_factory.mktemp("fused") / "captures"
    for number, attack in enumerate(("dos", "fuzzing", "replay", None)):
        write_drive(folder / "train_01" / f"{attack}-{number}.csv", number, attack, seconds=10)
    write_drive(folder / "test_01" / "fuzzing.csv", 9, "fuzzing", seconds=5)
    return folder


@pytest.fixture(scope="module")
def home(root: Path) -> Path:
    """A home with a finished GAT and a finished VGAE."""
    folder = root.parent / "home"
    launch_can(folder, root, *SMALL, *FAST)
    launch_can(folder, root, *SMALL, *FAST, "mode=autoencoder", "model=vgae")
    return folder


def launch_can(home: Path, root: Path, *settings: str) -> Run:
    config = build_config(CANConfig, [], (f"data.root={root}", *settings))
    return launch(CANTask(), config, RunStore(home)).run


def detectors(home: Path) -> list[Run]:
    """The finished VGAE, then the GAT."""
    runs = [run for run in RunStore(home).runs() if run.record.model in ("gat", "vgae")]
    return [runs[1], runs[0]]


def experts(home: Path) -> str:
    return f"mode.experts=[{','.join(run.id for run in detectors(home))}]"


def fuse(home: Path, root: Path, *settings: str) -> Run:
    return launch_can(home, root, *FUSE, experts(home), *settings)


@pytest.fixture(scope="module")
def data(home: Path, root: Path) -> CANGraphDataModule:
    found = CANGraphDataModule(can_config(f"data.root={root}"), RunStore(home).cache("can"))
    found.setup("fit")
    return found


@pytest.mark.parametrize("model", MODELS)
def test_a_fusion_is_scored_beside_experts_rivals_and_rules(
    home: Path, root: Path, model: str
) -> None:
    run = fuse(home, root, f"model={model}")
    record = run.record
    others = {f"fusion_{name}" for name in MODELS if name != model}
    assert set(record.baselines) == others | {
        *("expert_vgae", "expert_gat"),
        *("unseen_id_count", "two_gap", "payload", "always_alarm"),
    }
    assert all(scores.keys() & record.metrics.keys() for scores in record.baselines.values())
    again = api.evaluate(run, home=home)
    assert again.evaluation.metrics == record.metrics
    assert again.evaluation.baselines == record.baselines
    kind = DQNModule if model == "dqn" else FusionModule
    assert type(restore_module(CANTask(), run)) is kind
    titles = " ".join(table.title for table in record.tables)
    assert "cross-fitted" in titles and ("What the DQN chose" in titles) == (model == "dqn")


def test_three_experts_are_told_apart_and_weighed_in_fifths(home: Path, root: Path) -> None:
    other = launch_can(home, root, *SMALL, *FAST, "training.seed=1", "run.name=third")
    vgae, gat = detectors(home)
    named = f"mode.experts=[{gat.id},{vgae.id},{other.id}]"
    run = launch_can(home, root, *FUSE, named, "model=dqn")
    assert {"expert_gat_1", "expert_vgae", "expert_gat_2"} <= set(run.baselines)
    chosen = next(t for t in run.record.tables if t.title.startswith("What the DQN chose"))
    assert chosen.columns[:3] == ("gat_1", "vgae", "gat_2") and len(chosen.rows) == 21
    assert {round(5 * row[0], 4) for row in chosen.rows} == {0, 1, 2, 3, 4, 5}  # type: ignore[operator]
    assert sum(row[3] for row in chosen.rows) == pytest.approx(1)  # type: ignore[misc]


def test_an_expert_alone_scores_as_its_own_run_did(home: Path, root: Path) -> None:
    fused = fuse(home, root, "model=mean").record
    for run in detectors(home):
        mine = {k: v for k, v in run.metrics.items() if "@" not in k}
        there = fused.baselines[f"expert_{run.record.model}"]
        assert mine == {k: v for k, v in there.items() if "@" not in k}


def test_a_fusion_needs_neither_its_experts_nor_its_cache_nor_its_home(
    home: Path, root: Path, tmp_path: Path
) -> None:
    run = fuse(home, root, "model=logistic")
    shutil.copytree(run.path, tmp_path / run.id)
    moved = Run(tmp_path / run.id)
    other = tmp_path / "home"
    assert api.evaluate(moved, home=other).evaluation.metrics == run.metrics
    (table,) = api.predict(moved, root / "test_01" / "fuzzing.csv", home=other)
    assert len(table.rows) == run.metrics["test_01/windows"]
    alarms = sum(row[-1] for row in table.rows)  # type: ignore[misc]
    assert alarms == run.metrics["test_01/tp"] + run.metrics["test_01/fp"]


def test_the_command_line_and_python_give_the_same_scores(home: Path, root: Path) -> None:
    named = experts(home)
    run = fuse(home, root, "model=gated")
    same = api.train("can", *FUSE, named, "model=gated", f"data.root={root}", home=home)
    assert same.id == run.id
    from typer.testing import CliRunner

    from tutelage.cli.app import app

    typed = ["train", "can", *FUSE, named, "model=gated", f"data.root={root}"]
    result = CliRunner().invoke(
        app, [*typed, "run.policy=force_new", "--json"], env={"TUTELAGE_HOME": str(home)}
    )
    printed = json.loads(result.stdout)
    assert printed["run"] != run.id
    assert printed["metrics"] == run.metrics and printed["baselines"] == run.baselines


def test_held_out_states_are_of_windows_that_no_expert_trained_on(
    home: Path, data: CANGraphDataModule, tmp_path: Path
) -> None:
    found = restore_experts(CANTask(), detectors(home))
    states = held_out_states(data, found, tmp_path)
    assert len(states) == len(data.validation_windows)
    assert states.label.equal(data.store.y[data.validation_windows].long())
    assert not set(data.validation_windows.tolist()) & set(data.train_windows.tolist())
    train = data.train_windows.numpy()
    windows, capture = data.validation_windows.numpy(), data.store.capture.numpy()
    number = 0
    for row in range(1, len(windows)):
        between = ((train > windows[row - 1]) & (train < windows[row])).any()
        number += bool(between or capture[windows[row]] != capture[windows[row - 1]])
        assert states.stretch[row] == number


def test_a_state_is_made_of_what_experts_and_rules_say(
    home: Path, data: CANGraphDataModule, tmp_path: Path
) -> None:
    found = restore_experts(CANTask(), detectors(home))
    states = held_out_states(data, found, tmp_path)
    at = {name: column for column, name in enumerate(states.columns)}
    assert len(at) == states.width and states.columns[:2] == ("vgae.margin", "gat.margin")
    assert torch.isfinite(states.state).all()
    row = 0
    for held in data.held_out:
        count = len(held.windows)
        part = states.state[row : row + count]
        row += count
        for number, expert in enumerate(found):
            assert isinstance(expert.module, BaseCANGraphModule)
            score, alarm = model_scores(expert.module, held)
            kept = part[:, at[f"{expert.name}.score"]]
            assert np.allclose(kept, np.log1p(score), rtol=1e-5)
            assert (states.alarm[row - count : row, number].numpy() == alarm).all()
            assert ((part[:, number] > 0).numpy() == alarm).all()
        for name, rule in data.learned.rules.items():
            said = rule.windows(held.capture.frames, held.store.window, held.store.stride)
            chosen = said.score[held.windows.numpy()]
            assert np.allclose(part[:, at[name]], np.log1p(chosen), rtol=1e-5)
        p = np.expm1(part[:, at["gat.score"]].numpy().astype(float)).clip(1e-12, 1 - 1e-12)
        entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p))
        assert np.allclose(part[:, at["gat.entropy"]].expm1(), entropy, atol=1e-4)
        nodes = held.store.node_counts[held.windows].numpy()
        assert np.allclose(part[:, at["nodes"]].expm1(), nodes, rtol=1e-4)
        first = held.store.node_ptr[held.windows[0]], held.store.node_ptr[held.windows[0] + 1]
        unknown = (held.store.id_index[first[0] : first[1]] == 0).float().mean()
        assert float(part[0, at["unknown_ids"]].expm1()) == pytest.approx(float(unknown), abs=1e-5)


def test_windows_are_there_again_as_those_of_a_stranger_where_two_vehicles_train(
    home: Path, data: CANGraphDataModule, tmp_path: Path
) -> None:
    found = restore_experts(CANTask(), detectors(home))
    assert held_out_states(data, found, tmp_path / "cache").elsewhere == ()
    for number, vehicle in enumerate(("hatchback", "pickup")):
        for at, attack in enumerate(("dos", None)):
            path = tmp_path / "train_01" / f"{attack}-{vehicle}.csv"
            write_drive(path, 10 * number + at, attack, vehicle, seconds=10)
    config = can_config(f"data.root={tmp_path}")
    two = CANGraphDataModule(config, tmp_path / "cache")
    two.setup("fit")
    torch.manual_seed(0)
    module = GATModule(config.model, config.training, len(two.learned.profile)).eval()  # type: ignore[arg-type]
    two.fit_module(module)
    states = held_out_states(two, [Expert("gat", "", "", "", {}, {}, module)], tmp_path / "cache")
    (strange,) = states.elsewhere
    assert len(strange) == len(states) == len(two.validation_windows)
    assert strange.label.equal(states.label) and strange.stretch.equal(states.stretch)
    unknown, rule = (states.columns.index(name) for name in ("unknown_ids", "unseen_id_count"))
    quiet = states.label == 0
    assert states.state[quiet, unknown].max() == 0
    assert strange.state[quiet, unknown].expm1().mean() > 0.9
    assert strange.state[quiet, rule].min() > states.state[quiet, rule].max()
    assert not strange.state[:, 0].equal(states.state[:, 0])  # the GAT looks through other glasses
    assert strange.alarm.equal(strange.state[:, :1] > 0)


def test_the_cache_is_used_and_what_it_holds_decides(
    home: Path, data: CANGraphDataModule, tmp_path: Path
) -> None:
    found = restore_experts(CANTask(), detectors(home))
    first = held_out_states(data, found, tmp_path)
    broken = [replace(expert, module=expert.module.requires_grad_(False)) for expert in found]
    for expert in broken:
        for parameter in expert.module.parameters():
            parameter.zero_()
    assert held_out_states(data, broken, tmp_path).state.equal(first.state)
    others = [replace(expert, weights="others") for expert in broken]
    assert not held_out_states(data, others, tmp_path).state.equal(first.state)


def test_operating_points_come_from_windows_that_no_combiner_was_fitted_on(
    home: Path, root: Path
) -> None:
    fresh = CANGraphDataModule(can_config(f"data.root={root}"), RunStore(home).cache("can"))
    fresh.setup("fit")
    whole = [w for held in fresh.held_out for w in held.windows.tolist()]
    keep_held_out(fresh, torch.tensor([0, 2, len(whole) - 1]))
    kept = [w for held in fresh.held_out for w in held.windows.tolist()]
    assert kept == [whole[0], whole[2], whole[-1]]


def test_each_setting_of_a_combiner_reaches_it() -> None:
    def made(config: FusionConfig) -> tuple[object, ...]:
        """Everything that a combiner is made with, beside its weights."""
        found = make_combiner(config, 6, 2)
        shapes = [tuple(value.shape) for value in found.state_dict().values()]
        dropout = [part.p for part in found.modules() if isinstance(part, torch.nn.Dropout)]
        names = ("exploration", "discount", "target_every")
        replay = getattr(found, "replay", None)
        return (
            type(found),
            shapes,
            dropout,
            [getattr(found, name, None) for name in names],
            replay and replay.capacity,
        )

    other = {"dropout": 0.7, "discount": 0.3, "miss_cost": 7.0}
    other |= {"epsilon_first": 0.4, "epsilon_final": 0.3}
    plain = [made(default) for default in COMBINERS]
    assert len({str(one[:3]) for one in plain}) == len(COMBINERS)
    for default, one in zip(COMBINERS, plain, strict=True):
        for field in set(type(default).model_fields) - {"name"}:
            value = other.get(field, getattr(default, field) + 3)
            changed = made(default.model_copy(update={field: value}))
            assert str(changed) != str(one), (default.name, field)


def test_only_the_runs_own_combiner_takes_its_settings(home: Path, root: Path) -> None:
    run = fuse(home, root, "model=mlp", "model.hidden=5")
    module = restore_module(CANTask(), run)
    assert isinstance(module, FusionModule)
    combiners = module.combiners()
    assert list(combiners) == MODELS
    assert len(combiners["mlp"].state_dict()["net.0.bias"]) == 5
    assert len(combiners["gated"].state_dict()["gate.0.bias"]) == 16


def test_any_detector_is_an_expert(home: Path, data: CANGraphDataModule) -> None:
    class Odd(BaseCANGraphModule):
        def scores(self, batch):  # type: ignore[no-untyped-def]
            return batch.ptr[1:].float()

        def step(self, batch):  # type: ignore[no-untyped-def]
            raise NotImplementedError

    config = can_config()
    odd = Odd(config.training, torch.nn.Linear(1, 1), threshold=20.0)
    extractor = FusionDataExtractor([NamedExpert("odd", ("a", "b"), odd)], data.learned.rules)
    held = data.held_out[0]
    found = extractor.states(held.capture, held.store, held.windows)
    assert (found.state[:, 0] == found.score[:, 0] - 20).all()
    assert (found.alarm[:, 0] == (found.score[:, 0] > 20)).all()


def test_runs_of_other_windows_are_refused_before_training(home: Path, root: Path) -> None:
    before = len(RunStore(home).runs())
    with pytest.raises(ConfigError, match="other settings of data"):
        fuse(home, root, "model=mean", "data.window=50")
    with pytest.raises(ConfigError, match="can't train the model 'gat'"):
        fuse(home, root)
    with pytest.raises(ConfigError, match="give 2 or more, not 1"):
        launch_can(home, root, *FUSE, "model=mean", f"mode.experts=[{detectors(home)[0].id}]")
    assert len(RunStore(home).runs()) == before


def test_captures_without_an_attack_teach_no_fusion(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "calm"
    for number in (1, 2):
        write_drive(folder / "train_01" / f"calm-{number}.csv", number, None, seconds=8)
    write_drive(folder / "test_01" / "dos.csv", 3, "dos", seconds=5)
    settings = (*SMALL, *FAST, "mode=autoencoder", "model=vgae")
    runs = [launch_can(tmp_path, folder, *settings, f"training.seed={s}") for s in (0, 1)]
    named = f"mode.experts=[{runs[0].id},{runs[1].id}]"
    with pytest.raises(DataError, match="is attacked: no fusion can be learned"):
        launch_can(tmp_path, folder, *FUSE, named, "model=mean")
