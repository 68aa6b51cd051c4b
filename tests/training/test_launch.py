"""One door: new, reused, resumed and continued runs, and records that tell the truth."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
from tiny_task import (
    Batch,
    TinyConfig,
    TinyModule,
    TinyTask,
    crash_at,
    same_bits,
    tiny,
    train,
    weights,
)

from tutelage.core.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    RunFailedError,
    StoreError,
    TutelageError,
)
from tutelage.core.logs import read_log
from tutelage.core.migrations import migrate_config
from tutelage.core.overrides import build_config
from tutelage.core.revision import package_revision
from tutelage.core.store import LOG, RECORD, WEIGHTS, Run, RunStore
from tutelage.training.launch import launch

pytestmark = pytest.mark.system

FAST = ("training.accelerator=cpu",)
RESUME = "run.policy=resume_if_incomplete"


def only_run(home: Path) -> Run:
    (run,) = RunStore(home).runs()
    return run


def test_a_finished_run_is_reused(tmp_path: Path) -> None:
    first, second = train(tmp_path, *FAST), train(tmp_path, *FAST)
    assert (first.origin, second.origin) == ("new", "reused")
    assert second.run.id == first.run.id
    assert len(RunStore(tmp_path).runs()) == 1


def test_other_settings_or_data_make_another_run(tmp_path: Path) -> None:
    first = train(tmp_path, *FAST).run
    for other in ("training.learning_rate=0.01", "data.samples=60", "model.hidden=4"):
        assert train(tmp_path, *FAST, other).origin == "new"
    assert train(tmp_path, *FAST, "run.name=again").run.id == first.id  # a name computes nothing


def test_a_forced_run_is_new_and_has_the_same_bits(tmp_path: Path) -> None:
    first, second = train(tmp_path, *FAST), train(tmp_path, *FAST, "run.policy=force_new")
    assert second.origin == "new" and second.run.id != first.run.id
    assert same_bits(first.run, second.run)
    assert first.run.metrics == second.run.metrics


def test_the_seed_decides_the_first_weights_and_the_order_of_samples(tmp_path: Path) -> None:
    first: list[tuple[bytes, bytes]] = []

    def keep(module: TinyModule, batch: Batch) -> None:
        layer = module.network[0]
        first.append((layer.weight.detach().numpy().tobytes(), batch[0].numpy().tobytes()))

    for seed in (0, 0, 1):
        settings = ("training.max_steps=1", f"training.seed={seed}", "run.policy=force_new")
        train(tmp_path, *FAST, *settings, on_step=keep)
    assert first[0] == first[1]
    assert first[0][0] != first[2][0] and first[0][1] != first[2][1]


def test_another_seed_gives_other_bits(tmp_path: Path) -> None:
    first, second = train(tmp_path, *FAST), train(tmp_path, *FAST, "training.seed=1")
    assert not same_bits(first.run, second.run)


@pytest.mark.parametrize("crash", [1, 5, 12])
@pytest.mark.parametrize("error", [RuntimeError("lightning struck"), KeyboardInterrupt()])
def test_an_unfinished_run_is_finished_to_the_same_bits(
    tmp_path: Path, crash: int, error: BaseException
) -> None:
    settings = (*FAST, "training.checkpoints.every_n_steps=2", RESUME)
    whole = train(tmp_path / "whole", *settings).run
    with pytest.raises(RunFailedError):
        train(tmp_path, *settings, on_step=crash_at(crash, error))
    broken = only_run(tmp_path).id
    resumed = train(tmp_path, *settings)
    assert (resumed.origin, resumed.run.id) == ("resumed", broken)
    assert same_bits(resumed.run, whole)
    assert resumed.run.record.status == "finished" and resumed.run.record.error is None
    assert resumed.run.metrics == whole.metrics


@pytest.mark.parametrize("setting", ["training.precision=64", "training.precision=bf16"])
def test_other_arithmetic_resumes_to_the_same_bits(tmp_path: Path, setting: str) -> None:
    settings = (*FAST, setting, "training.checkpoints.every_n_steps=2", RESUME)
    whole = train(tmp_path / "whole", *settings).run
    with pytest.raises(RunFailedError):
        train(tmp_path, *settings, on_step=crash_at(7, RuntimeError("lightning struck")))
    assert same_bits(train(tmp_path, *settings).run, whole)


@pytest.mark.parametrize("crash", [5, 8, 10])
@pytest.mark.parametrize("more", ["training.averaging.name=ema", "training.scheduler.name=plateau"])
def test_a_run_counted_in_steps_resumes_to_the_same_bits(
    tmp_path: Path, crash: int, more: str
) -> None:
    counted = ("training.max_steps=22", "training.max_epochs=5", more)
    stop = ("training.early_stopping.patience=3", "training.early_stopping.min_delta=9")
    settings = (*FAST, *counted, *stop, "training.checkpoints.every_n_steps=2", RESUME)
    whole = train(tmp_path / "whole", *settings).run
    with pytest.raises(RunFailedError, match="struck"):
        train(tmp_path, *settings, on_step=crash_at(crash, RuntimeError("lightning struck")))
    resumed = train(tmp_path, *settings).run
    assert same_bits(resumed, whole)
    lines = [
        sum(entry.message.startswith("epoch ") for entry in read_log(run.path / LOG))
        for run in (resumed, whole)
    ]
    assert lines == [4, 4]


class BrokenEvaluation(TinyTask):
    def evaluate(self, *args: object) -> object:
        raise RuntimeError("no score")


def test_a_run_that_failed_after_training_is_finished_without_training_again(
    tmp_path: Path,
) -> None:
    config, store = tiny(*FAST, RESUME), RunStore(tmp_path)
    whole = train(tmp_path / "whole", *FAST).run
    with pytest.raises(RunFailedError, match="no score"):
        launch(BrokenEvaluation(), config, store)
    trained: list[int] = []
    resumed = train(tmp_path, *FAST, RESUME, on_step=lambda module, batch: trained.append(1))
    assert resumed.origin == "resumed" and not trained
    assert same_bits(resumed.run, whole)


def test_a_run_continues_from_the_weights_of_the_previous_one(tmp_path: Path) -> None:
    first = train(tmp_path, *FAST).run
    started: list[bool] = []

    def compare(module: TinyModule, batch: Batch) -> None:
        if module.trainer.global_step == 0:
            state, before = module.state_dict(), weights(first)
            names = [name for name in before if name.startswith("network")]
            # Lightning counts a batch in the running averages before none: these are untouched.
            started.append(all(bool((state[n] == before[n]).all()) for n in names))

    config = ("run.policy=continue_from_previous", "training.learning_rate=0.01")
    second = train(tmp_path, *FAST, *config, on_step=compare)
    assert started == [True]
    assert second.origin == "new"
    assert [(p.run, p.role) for p in second.run.record.parents] == [(first.id, "initial weights")]
    assert second.run.record.fingerprints.parents == (first.record.fingerprints.run,)
    third = train(tmp_path, *FAST, *config).run
    assert [p.run for p in third.record.parents] == [second.run.id]


def test_a_continued_run_takes_its_scaler_from_its_own_data_and_does_not_claim_to_be_clean(
    tmp_path: Path,
) -> None:
    first = train(tmp_path, *FAST).run
    more = ("data.samples=40", "run.policy=continue_from_previous")
    second = train(tmp_path, *FAST, *more).run
    alone = train(tmp_path / "alone", *FAST, "data.samples=40").run
    assert weights(second)["scale"].equal(weights(alone)["scale"])
    assert not weights(second)["scale"].equal(weights(first)["scale"])
    audit = second.record.audit
    assert audit is not None and audit.verdict == "warnings"
    assert first.id in audit.findings[0] and second.record.warnings == audit.findings


CONTINUE = (
    "run.policy=continue_from_previous",
    "training.learning_rate=0.01",
    "training.checkpoints.every_n_steps=2",
)


@pytest.mark.parametrize("crash", [1, 7])
def test_a_continued_run_that_was_cut_goes_on_as_it_said_to_the_same_bits(
    tmp_path: Path, crash: int
) -> None:
    for home in (tmp_path, tmp_path / "whole"):
        train(home, *FAST)
    whole = train(tmp_path / "whole", *FAST, *CONTINUE).run
    with pytest.raises(RunFailedError, match=r"same settings with run\.policy=continue_from_pre"):
        train(tmp_path, *FAST, *CONTINUE, on_step=crash_at(crash, KeyboardInterrupt()))
    broken = RunStore(tmp_path).runs()[-1]
    newer = train(tmp_path, *FAST, "training.seed=5").run
    resumed = train(tmp_path, *FAST, *CONTINUE)
    assert (resumed.origin, resumed.run.id) == ("resumed", broken.id)
    assert same_bits(resumed.run, whole)
    after = train(tmp_path, *FAST, *CONTINUE)
    assert after.origin == "new"
    assert [p.run for p in after.run.record.parents] == [newer.id]


def test_an_unfinished_run_of_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    train(tmp_path, *FAST)
    with pytest.raises(RunFailedError):
        train(tmp_path, *FAST, *CONTINUE, on_step=crash_at(3, KeyboardInterrupt()))
    newer = train(tmp_path, *FAST, "training.seed=5").run
    other = train(tmp_path, *FAST, *CONTINUE, "training.seed=6")
    assert other.origin == "new"
    assert [p.run for p in other.run.record.parents] == [newer.id]


@pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
def test_a_parent_that_was_changed_since_it_finished_is_not_continued(
    tmp_path: Path, name: str
) -> None:
    first = train(tmp_path, *FAST).run
    other = train(tmp_path / "other", *FAST, "training.seed=1").run
    for file in {WEIGHTS, "model.json"} if name == WEIGHTS else {name}:
        shutil.copy(other.path / file, first.path / file)
    with pytest.raises(CheckpointError, match="was changed after the run finished"):
        train(tmp_path, *FAST, "run.policy=continue_from_previous")
    assert [run.id for run in RunStore(tmp_path).runs()] == [first.id]


class OtherVocabulary(TinyTask):
    def continues(self, old: object, new: object) -> str | None:
        return "the vocabulary differs"


def test_weights_that_mean_something_else_are_not_continued_and_no_run_is_left(
    tmp_path: Path,
) -> None:
    first, store = train(tmp_path, *FAST).run, RunStore(tmp_path)
    with pytest.raises(ConfigError, match=f"run {first.id}: the vocabulary differs") as caught:
        launch(OtherVocabulary(), tiny(*FAST, "run.policy=continue_from_previous"), store)
    assert caught.value.exit_code == 2
    assert [run.id for run in store.runs()] == [first.id]


def test_with_nothing_to_continue_from_no_run_is_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no finished run of tiny normal classifier") as caught:
        train(tmp_path, *FAST, "run.policy=continue_from_previous")
    assert caught.value.exit_code == 2
    assert RunStore(tmp_path).runs() == []


def test_a_run_begins_with_the_weights_of_the_run_that_is_named(tmp_path: Path) -> None:
    named = train(tmp_path, *FAST).run
    train(tmp_path, *FAST, "training.seed=5")
    begun = (*FAST, "training.learning_rate=0.01", f"run.initial_weights={named.id[:-2]}")
    run = train(tmp_path, *begun).run
    assert [(p.run, p.role) for p in run.record.parents] == [(named.id, "initial weights")]
    assert run.settings["run"]["initial_weights"] == named.id
    assert train(tmp_path, *begun).origin == "reused"
    fresh = train(tmp_path, *FAST, "training.learning_rate=0.01").run
    assert fresh.record.fingerprints.run != run.record.fingerprints.run
    assert not same_bits(fresh, run)


def test_the_configuration_of_a_continued_run_names_what_it_began_with(tmp_path: Path) -> None:
    first = train(tmp_path, *FAST).run
    run = train(tmp_path, *FAST, *CONTINUE).run
    train(tmp_path, *FAST, "training.seed=5")
    assert run.settings["run"]["initial_weights"] == first.id
    settings = migrate_config(run.settings, run.path)
    layers = [settings, {"run": {"policy": "reuse_if_exists"}}]
    again = launch(TinyTask(), build_config(TinyConfig, layers), RunStore(tmp_path))
    assert (again.origin, again.run.id) == ("reused", run.id)


def test_weights_of_another_shape_are_not_begun_with_and_no_run_is_left(tmp_path: Path) -> None:
    first = train(tmp_path, *FAST, "model.hidden=4").run
    with pytest.raises(CheckpointError, match="classifier|shape"):
        train(tmp_path, *FAST, "model.hidden=5", f"run.initial_weights={first.id}")
    assert [run.id for run in RunStore(tmp_path).runs()] == [first.id]


def test_a_record_holds_what_it_was_made_with(tmp_path: Path) -> None:
    one, other = (train(tmp_path, *FAST, f"data.samples={n}").run.record for n in (60, 70))
    tuned = train(tmp_path, *FAST, "model.hidden=4").run.record
    assert one.hashes is not None and one.hashes == other.hashes
    assert tuned.hashes is not None and tuned.hashes.parameters != one.hashes.parameters
    assert one.hashes.environment == one.environment.digest
    assert one.environment.revision == package_revision()


def test_a_failed_run_says_so_and_its_log_holds_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="lightning struck") as caught:
        train(tmp_path, *FAST, on_step=crash_at(3, ValueError("lightning struck")))
    run = only_run(tmp_path)
    assert run.status == "failed"
    assert run.record.error == "ValueError: lightning struck"
    assert run.record.metrics == {} and not (run.path / WEIGHTS).exists()
    *_, last = read_log(run.path / LOG)
    assert (last.level, last.event, last.run) == ("error", "ValueError", run.id)
    assert "in on_step" in str(last.traceback) and "Traceback" not in last.message
    assert str(run.path / LOG) in str(caught.value)
    assert caught.value.exit_code == 1


def test_an_interrupted_run_says_so_and_how_to_go_on(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(RunFailedError, match="resume_if_incomplete"):
        train(tmp_path, *FAST, on_step=crash_at(3, KeyboardInterrupt()))
    assert only_run(tmp_path).record.status == "interrupted"
    assert only_run(tmp_path).record.finished is not None
    assert signal.getsignal(signal.SIGINT) == handler  # a second Ctrl-C still works


def test_one_who_starts_over_is_told_of_the_unfinished_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RunFailedError):
        train(tmp_path, *FAST, on_step=crash_at(3, KeyboardInterrupt()))
    unfinished = only_run(tmp_path).id
    assert train(tmp_path, *FAST, "training.seed=1").origin == "new"
    assert unfinished not in caplog.text
    assert train(tmp_path, *FAST).origin == "new"
    told = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert any(unfinished in line and "run.policy=resume_if_incomplete" in line for line in told)


def test_a_run_that_another_works_on_is_not_made_twice(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError):
        train(tmp_path, *FAST, on_step=crash_at(3, KeyboardInterrupt()))
    run = only_run(tmp_path)
    with run.hold(), pytest.raises(StoreError, match=f"another process works on this run {run.id}"):
        train(tmp_path, *FAST, RESUME)
    assert only_run(tmp_path).id == run.id
    assert train(tmp_path, *FAST, RESUME).run.id == run.id


def test_a_failed_run_is_not_reused(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError):
        train(tmp_path, *FAST, on_step=crash_at(3, ValueError("lightning struck")))
    assert train(tmp_path, *FAST).origin == "new"


@pytest.mark.parametrize(
    ("setting", "kind", "message"),
    [
        ("training.monitor=val/f2", ConfigError, "'val/f2' is no metric"),
        ("data.samples=0", DataError, "no samples"),
    ],
)
def test_a_refused_request_trains_nothing_and_leaves_no_finished_run(
    tmp_path: Path, setting: str, kind: type[TutelageError], message: str
) -> None:
    trained: list[int] = []
    with pytest.raises(kind, match=message) as caught:
        train(tmp_path, *FAST, setting, on_step=lambda module, batch: trained.append(1))
    assert caught.value.exit_code == 2
    assert not trained
    assert not [run for run in RunStore(tmp_path).runs() if run.status == "finished"]


def test_a_mode_that_can_not_train_the_model_is_refused_before_any_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mode 'normal' can't train the model 'reconstructor'"):
        train(tmp_path, *FAST, "model=reconstructor")
    assert not list(tmp_path.iterdir())


def test_a_finished_record_tells_what_happened(tmp_path: Path) -> None:
    record = train(tmp_path, *FAST).run.record
    assert record.status == "finished" and record.finished is not None
    assert set(record.metrics) == {"test/accuracy", "test/loss"}
    assert set(record.baselines) == {"always 0"}
    phases = {"prepare", "build", "size", "fit", "calibrate", "evaluate", "save", "total"}
    assert set(record.seconds) == phases
    weights = {"config.json", "inputs.json", "model.json", "model.safetensors"}
    assert set(record.artifacts) == weights | {"hits.txt"}
    assert record.audit is not None and record.audit.verdict == "clean"


def test_a_run_whose_folder_vanishes_is_no_run(tmp_path: Path) -> None:
    run = train(tmp_path, *FAST).run
    (run.path / RECORD).unlink()
    assert train(tmp_path, *FAST).origin == "new"
