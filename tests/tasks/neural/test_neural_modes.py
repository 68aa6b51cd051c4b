"""Every mode trains small recordings from data to record; a core passes from run to run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
import torch
from made_sessions import movie_arrays, write
from neural_chunks import card, chunk
from psutil import Process
from safetensors.torch import load_file

from tutelage.core.errors import CheckpointError, ConfigError, RunFailedError
from tutelage.core.overrides import build_config
from tutelage.core.store import LOG, METRICS, WEIGHTS, Run, RunStore
from tutelage.report.curves import read_history
from tutelage.tasks.neural import NeuralTask
from tutelage.tasks.neural.config import NeuralConfig
from tutelage.tasks.neural.modules import NeuralModule
from tutelage.training.launch import launch
from tutelage.training.restore import restore_module, take_over

pytestmark = pytest.mark.system

SMALL = (
    "data.simulated_sessions=2",
    "data.simulated_seconds=72",
    "data.simulated_units=4",
    "model.frontend={name: conv, lags: 4, channels: 4, kernel: 7, stride: 2}",
    "model.convnet.channels=[4]",
    "model.convnet.kernels=[3]",
    "model.convnet.pools=[2]",
    "training.accelerator=cpu",
    "training.max_epochs=2",
    "training.batch_size=8",
    "evaluation.baselines=false",
    "evaluation.bootstrap=0",
)
ALONE = "data.only=[anna_01]"
OTHER = "data.only=[bert_01]"


def train(home: Path, *overrides: str) -> Run:
    config = build_config(NeuralConfig, [], (*SMALL, *overrides))
    return launch(NeuralTask(), config, RunStore(home)).run


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("neural-modes")


@pytest.fixture(scope="module")
def donor(home: Path) -> Run:
    return train(home, ALONE)


def core_of(run: Run) -> dict[str, torch.Tensor]:
    return {k: v for k, v in load_file(run.path / WEIGHTS).items() if ".core." in k}


def test_a_frozen_core_is_its_donors_to_the_bit_and_the_donor_is_a_parent(
    home: Path, donor: Run
) -> None:
    run = train(home, OTHER, f"model.core_from={donor.id}", "model.freeze_core=true")
    mine, theirs = core_of(run), core_of(donor)
    assert mine.keys() == theirs.keys() and len(mine) > 5
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert [(p.run, p.role) for p in run.record.parents] == [(donor.id, "core")]
    assert f"core of run {donor.id} taken over: {len(mine)} tensors" in (run.path / LOG).read_text(
        encoding="utf-8"
    )


def test_a_finished_run_holds_all_that_its_model_needs(tmp_path: Path) -> None:
    write(tmp_path / "data", "raw", movie_arrays(trials=20))
    (tmp_path / "data" / "one.yaml").write_text("id: one\nanimal: eve\nfile: raw.npz\n")
    root = f"data.root={tmp_path / 'data' / 'one.yaml'}"
    run = train(tmp_path / "home", root, "training.max_epochs=1")
    shutil.rmtree(tmp_path / "data")
    run.path.rename(tmp_path / "moved")
    module = restore_module(NeuralTask(), Run(tmp_path / "moved"))
    assert isinstance(module, NeuralModule)
    stretch = chunk(card("one", 3, behaviour=2, side=8), 2, module.network.core.context, 4)
    assert module.rates(stretch).shape == (2, 4, 3)


def test_a_core_that_is_not_frozen_goes_on_learning(home: Path, donor: Run) -> None:
    run = train(home, OTHER, "model.core_from=" + donor.id)
    mine, theirs = core_of(run), core_of(donor)
    moved = [name for name in mine if not torch.equal(mine[name], theirs[name])]
    assert any(name.endswith("weight") for name in moved)


def test_a_core_of_another_shape_is_refused_and_no_run_is_left(home: Path, donor: Run) -> None:
    before = len(RunStore(home).readable())
    with pytest.raises(CheckpointError, match="differs: .*weight"):
        train(home, OTHER, f"model.core_from={donor.id}", "model.convnet.channels=[5]")
    assert len(RunStore(home).readable()) == before


def test_a_part_that_the_other_run_has_nothing_of_is_refused(
    home: Path, donor: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = restore_module(NeuralTask(), donor)
    strange = torch.nn.Linear(2, 2)
    module.register_module("strange", strange)
    monkeypatch.setattr(NeuralModule, "transferable", property(lambda self: {"core": strange}))
    with pytest.raises(CheckpointError, match="none of its .* tensors is of a core"):
        take_over(donor, module, "core")
    with pytest.raises(ConfigError, match="can't take over a head"):
        take_over(donor, module, "head")


def test_a_run_that_continues_keeps_trained_biases(tmp_path: Path, donor: Run) -> None:
    own = tmp_path / "own"
    shutil.copytree(donor.path, own / donor.path.name)
    run = train(own, ALONE, "run.policy=continue_from_previous", "training.learning_rate=1e-9")
    first, then = load_file(donor.path / WEIGHTS), load_file(run.path / WEIGHTS)
    name = "network.heads.anna_01.bias"
    torch.testing.assert_close(then[name], first[name], rtol=0, atol=1e-5)


def test_stimuli_alone_pretrain_a_core_and_responses_go_on(home: Path) -> None:
    run = train(home, ALONE, "mode=autoencoder", "training.max_epochs=4")
    assert run.status == "finished"
    losses = [value for _, value in read_history(run.path / METRICS)["epoch/loss"]]
    assert losses[1] < losses[0]  # next-frame errors fall
    assert not any("decoder" in name for name in load_file(run.path / WEIGHTS))


def test_hidden_patches_pretrain_too(home: Path) -> None:
    run = train(home, ALONE, "mode=autoencoder", "model.pretraining.name=masked")
    assert run.status == "finished"


def test_a_curriculum_shows_high_contrast_first(home: Path) -> None:
    run = train(
        home, ALONE, "mode=curriculum", "mode.measure=low_contrast", "mode.draw=weighted",
        "mode.stages=2",
    )  # fmt: skip
    assert run.status == "finished"


def test_a_guide_says_which_stretches_are_hard(home: Path, donor: Run) -> None:
    run = train(home, ALONE, "mode=curriculum", f"mode.guide={donor.id}", "mode.stages=2")
    assert [p.role for p in run.record.parents] == ["guide"]


def test_a_small_core_learns_from_a_larger_ones_rates(home: Path, donor: Run) -> None:
    run = train(
        home, ALONE, "mode=distillation", f"mode.teacher={donor.id}", "model.convnet.channels=[2]",
        "mode.feature_weight=0.1",
    )  # fmt: skip
    names = read_history(run.path / METRICS)
    assert names["epoch/soft_loss"][-1][1] < names["epoch/soft_loss"][0][1]


def test_a_teacher_of_other_units_is_refused(home: Path, donor: Run) -> None:
    with pytest.raises(ConfigError, match="session bert_01 is missing"):
        train(home, OTHER, "mode=distillation", f"mode.teacher={donor.id}")


def test_a_teacher_that_needs_more_history_is_refused_with_the_way_out(
    home: Path, donor: Run
) -> None:
    short = ("mode=distillation", f"mode.teacher={donor.id}", "model.frontend.lags=2")
    with pytest.raises(ConfigError, match="least_context=3"):
        train(home, ALONE, *short)
    run = train(home, ALONE, *short, "model.least_context=3")
    assert run.status == "finished"


def test_rates_have_no_temperature(home: Path, donor: Run) -> None:
    with pytest.raises(ConfigError, match="rates have no temperature"):
        train(home, ALONE, "mode=distillation", f"mode.teacher={donor.id}", "mode.temperature=2")


TOGETHER = (
    ALONE, "training.max_epochs=4", "training.gradient_clip=null", "training.log_every_n_steps=1",
    "training.checkpoints.every_n_steps=1", "data.sampler=contrast", "data.contrast_warmup_steps=4",
)  # fmt: skip
TWO = ("training.batch_size=4", "training.devices=2")


@pytest.fixture(scope="module")
def pair(home: Path) -> Run:
    """A run of two processes."""
    return train(home, *TOGETHER, *TWO)


def test_two_processes_give_the_losses_of_one(home: Path, pair: Run) -> None:
    one = train(home, *TOGETHER, "training.batch_size=8")
    losses = [read_history(run.path / METRICS) for run in (one, pair)]
    steps = len(losses[0]["train/loss"]) // 4
    for name, count in (("train/loss", steps), ("val/loss", 1), ("val/corr", 1), ("val/bps", 1)):
        alone, together = ([value for _, value in each[name][:count]] for each in losses)
        assert alone == pytest.approx(together, abs=1e-5)


@contextmanager
def one_of_two_killed(folder: Path, step: int) -> Iterator[None]:
    """Kill a training process of this one as soon as there is a checkpoint of that step."""
    over = Event()

    def watch() -> None:
        while not any(folder.glob(f"*/checkpoints/step-*{step}.json")):
            if over.wait(0.002):
                return
        ranks = [p for p in Process().children() if "tutelage.training.rank" in p.cmdline()]
        ranks[-1].kill()

    watcher = Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def test_two_processes_of_which_one_was_killed_resume_to_the_same_bits(
    tmp_path: Path, pair: Run
) -> None:
    with (
        one_of_two_killed(tmp_path, step=3),
        pytest.raises(RunFailedError, match="killed by SIGKILL"),
    ):
        train(tmp_path, *TOGETHER, *TWO)
    resumed = train(tmp_path, *TOGETHER, *TWO, "run.policy=resume_if_incomplete")
    assert "resum" in (resumed.path / LOG).read_text(encoding="utf-8")
    whole, other = (load_file(run.path / WEIGHTS) for run in (pair, resumed))
    assert whole.keys() == other.keys()
    assert all(torch.equal(whole[name], other[name]) for name in whole)
    assert read_history(resumed.path / METRICS) == read_history(pair.path / METRICS)


def test_a_fusion_weighs_experts_for_each_unit(home: Path, donor: Run) -> None:
    other = train(home, ALONE, "model.convnet.channels=[3]", "training.seed=1")
    drop = [text for text in SMALL if not text.startswith("model.")]
    settings = (
        "model=keyed",
        "mode=fusion",
        f"mode.experts=[{donor.id},{other.id}]",
        "mode.folds=2",
    )
    config = build_config(NeuralConfig, [], (*drop, ALONE, *settings))
    fused = launch(NeuralTask(), config, RunStore(home)).run
    assert [p.role for p in fused.record.parents] == ["expert", "expert"]
    assert "test/corr" in fused.record.metrics
    worse = min(run.record.metrics["test/corr"] for run in (donor, other))
    assert fused.record.metrics["test/corr"] > worse - 0.02
