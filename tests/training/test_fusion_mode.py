"""Mode fusion: experts that stay as they are, one combiner trained, all compared, exact resume."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_fusion import combiner_of, experts, launched, named
from tiny_task import TinyTask, crash_at, same_bits, tiny, weights
from tiny_task import train as train_tiny

from tutelage.core.errors import ConfigError, DataError, RunFailedError, StoreError
from tutelage.core.store import Run, RunStore
from tutelage.task import ModelEntry
from tutelage.training.launch import launch

KINDS = ["mean", "logistic", "mlp", "gated", "bandit", "dqn"]
FUSE = (
    "training.accelerator=cpu",
    "mode=fusion",
    "model=combiner",
    "mode.folds=3",
    "mode.passes=2",
    "training.max_epochs=2",
)
LONG = "data.tests=90"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run, Run]:
    """A store with a classifier and a reconstructor."""
    home = tmp_path_factory.mktemp("store")
    return (home, *experts(home, LONG))


@pytest.mark.parametrize("kind", KINDS)
def test_every_combiner_is_trained_and_stands_beside_the_others(
    trained: tuple[Path, Run, Run], kind: str
) -> None:
    home, *runs = trained
    run = launched(home, *FUSE, LONG, named(*runs), f"model.kind={kind}").run
    record = run.record
    assert record.status == "finished" and 0 < record.metrics["test/accuracy"] <= 1
    assert set(record.baselines) == set(KINDS) - {kind}
    assert [(p.run, p.role) for p in record.parents] == [(r.id, "expert") for r in runs]
    comparison, spread = record.tables
    assert {row[0] for row in comparison.rows} == {
        *KINDS,
        "expert_classifier",
        "expert_reconstructor",
    }
    assert "never by a test" in comparison.note and "held-out samples" in comparison.note
    assert [row[0] for row in spread.rows] == ["gated", "bandit", "dqn"]
    ranked = [row[1] for row in comparison.rows]
    assert ranked == sorted(ranked, reverse=True)


@pytest.mark.parametrize("more", [(), ("training.averaging.name=ema",), ("training.precision=64",)])
def test_the_experts_stay_as_they_are(
    trained: tuple[Path, Run, Run], more: tuple[str, ...]
) -> None:
    home, *runs = trained
    fused = weights(launched(home, *FUSE, LONG, named(*runs), "model.kind=mlp", *more).run)
    for number, run in enumerate(runs):
        for name, value in weights(run).items():
            assert fused[f"experts.{number}.{name}"].equal(value), name


@pytest.mark.parametrize(("kind", "crash"), [("mlp", 9), ("dqn", 3), ("dqn", 9)])
def test_a_fusion_resumes_to_the_same_bits(
    trained: tuple[Path, Run, Run], tmp_path: Path, kind: str, crash: int
) -> None:
    home, *runs = trained
    settings = (*FUSE, LONG, named(*runs), f"model.kind={kind}", "training.max_epochs=3")
    settings += ("training.checkpoints.every_n_steps=2", "run.policy=resume_if_incomplete")
    settings += (f"training.batch_size={16 + crash}",)  # a run of its own for each case
    with pytest.raises(RunFailedError, match="struck"):
        launched(home, *settings, on_step=crash_at(crash, RuntimeError("lightning struck")))
    resumed = launched(home, *settings)
    assert resumed.origin == "resumed"
    whole = launched(home, *settings[:-2], settings[-1], "run.policy=force_new")
    assert whole.origin == "new" and same_bits(resumed.run, whole.run)
    assert resumed.run.record.tables == whole.run.record.tables


def test_each_setting_of_the_mode_acts(trained: tuple[Path, Run, Run]) -> None:
    home, one, other = trained

    def fused(*changes: str, order: tuple[Run, ...] = (one, other)) -> Run:
        return launched(home, *FUSE, LONG, named(*order), *changes).run

    plain = fused()
    steps = [
        run.path.joinpath("metrics.csv").read_text() for run in (plain, fused("mode.passes=5"))
    ]
    assert steps[0].splitlines()[-1].split(",")[1] != steps[1].splitlines()[-1].split(",")[1]
    folds = fused("mode.folds=5")
    assert not all(combiner_of(plain)[n].equal(v) for n, v in combiner_of(folds).items())
    turned = fused(order=(other, one))
    assert turned.id != plain.id
    assert turned.record.tables[1].columns[1:3] == ("reconstructor", "classifier")
    assert plain.record.tables[1].columns[1:3] == ("classifier", "reconstructor")


def test_the_batch_size_is_measured_where_something_is_trained(
    trained: tuple[Path, Run, Run],
) -> None:
    home, *runs = trained
    sizing = ("training.batch_size=auto", "training.batch_sizing.max_size=16")
    measured = launched(home, *FUSE, LONG, named(*runs), *sizing, "model.kind=dqn").run
    assert (measured.path / "batch_size.json").exists()
    mean = launched(home, *FUSE, LONG, named(*runs), *sizing, "model.kind=mean").run
    assert not (mean.path / "batch_size.json").exists()


def test_the_combiner_that_is_kept_is_the_best_of_fold_0(trained: tuple[Path, Run, Run]) -> None:
    home, *runs = trained
    run = launched(
        home, *FUSE, LONG, named(*runs), "model.kind=mlp", "training.max_epochs=4",
        "training.learning_rate=2", "training.scheduler.name=constant",
        "training.checkpoints.keep_last=9",
    ).run  # fmt: skip
    losses = [
        float(line.split(",")[3])
        for line in (run.path / "metrics.csv").read_text().splitlines()
        if ",val/loss," in line
    ]
    best = losses.index(min(losses))
    from tutelage.training.checkpoints import TutelageCheckpointIO

    saved = sorted((run.path / "checkpoints").glob("step-*.safetensors"))
    state = TutelageCheckpointIO().load_checkpoint(saved[best])["state_dict"]
    kept = {n: v for n, v in combiner_of(run).items() if ".net." in n}
    assert kept and all(torch.equal(state[name], value) for name, value in kept.items())  # type: ignore[index]


def test_wrong_experts_are_refused_before_any_work(
    trained: tuple[Path, Run, Run], tmp_path: Path
) -> None:
    home, one, other = trained
    before = len(RunStore(home).runs())
    unknown = f"mode.experts=[{one.id},nobody]"
    cases = [
        ((named(one), LONG), ConfigError, "give 2 or more, not 1"),
        ((unknown, LONG), StoreError, "no run 'nobody'"),
        ((named(one, one), LONG), ConfigError, "named twice"),
        ((named(one, other), "data.samples=50", LONG), ConfigError, "trained on other data"),
        ((named(one, other), "data.tests=91"), ConfigError, "trained on other data"),
    ]
    for settings, kind, said in cases:
        with pytest.raises(kind, match=said) as caught:
            launched(home, *FUSE, *settings)
        assert caught.value.exit_code == 2
    assert len(RunStore(home).runs()) == before
    with pytest.raises(RunFailedError):
        launched(home, LONG, "training.seed=9", on_step=crash_at(1, KeyboardInterrupt()))
    (unfinished,) = [r for r in RunStore(home).runs() if r.status == "interrupted"]
    with pytest.raises(StoreError, match="interrupted"):
        launched(home, *FUSE, LONG, named(one, unfinished))
    launched(home, "data.samples=50", LONG, "model.hidden=7")
    begun = launched(home, LONG, "model.hidden=7", "run.policy=continue_from_previous").run
    with pytest.raises(ConfigError, match="trained on other data"):
        launched(home, *FUSE, LONG, named(one, begun))
    fused = launched(home, *FUSE, LONG, named(one, other)).run
    with pytest.raises(ConfigError, match="itself a fusion"):
        launched(home, *FUSE, LONG, named(one, fused))


def test_too_few_stretches_with_an_attack_are_refused_with_a_way_out(
    trained: tuple[Path, Run, Run],
) -> None:
    home, *runs = trained
    with pytest.raises(DataError, match="need both classes") as caught:
        launched(home, *FUSE, LONG, named(*runs), "mode.folds=60")
    assert "mode.folds=" in str(caught.value) and caught.value.exit_code == 2


def test_a_task_that_can_not_fuse_says_so(tmp_path: Path) -> None:
    class Promising(TinyTask):
        models = TinyTask.models | {"classifier": ModelEntry("", ("normal", "fusion"))}

    runs = [train_tiny(tmp_path, f"training.seed={seed}").run for seed in (0, 1)]
    with pytest.raises(ConfigError, match="has no fusion"):
        launch(Promising(), tiny("mode=fusion", named(*runs)), RunStore(tmp_path))
