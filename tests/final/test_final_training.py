"""The model to ship: its weights, its data, its policies, its gates, and what `final.json` says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_task
import typer
from typer.testing import CliRunner

from tutelage import api
from tutelage.api.final import execute_final_training as ship
from tutelage.cli import final
from tutelage.core.errors import ConfigError, RequestError, RunFailedError, StoreError
from tutelage.core.records import now
from tutelage.core.store import Run, RunStore
from tutelage.final.config import Gate, read_final_config
from tutelage.final.gates import failed, judge
from tutelage.final.manifest import FINAL, ExportedFile
from tutelage.hpo.results import STUDIES, Refit, StudyFolder, StudyRecord

FAST = ("training.accelerator=cpu", "training.max_epochs=4", "training.checkpoints.every_n_steps=2")


@pytest.fixture
def source(home: Path) -> Run:
    return api.train("tiny", *FAST, home=home)


def section(run: Run, name: str) -> dict[str, object]:
    found = run.settings[name]
    assert isinstance(found, dict)
    return found


def test_it_trains_on_all_data_up_to_the_best_epoch_on_the_schedule_of_all(
    source: Run, home: Path
) -> None:
    made = ship(source.id, home=home)
    assert section(made.run, "data")["fold"] == "all"
    training = section(made.run, "training")
    assert (training["max_epochs"], training["stop_epoch"]) == (4, source.record.best_epoch)
    assert made.run.record.tags == {"purpose": "final", "gate": "passed"}
    assert made.run.record.parents == () and not tiny_task.same_bits(made.run, source)


def test_the_manifest_tells_lineage_hashes_and_scores(source: Run, home: Path) -> None:
    made = ship(source.id, "final.source=best_selected", home=home)
    told = json.loads((made.run.path / FINAL).read_text())
    assert told["source"] == {"kind": "run", "run": source.id} and told["passed"] is True
    assert [(p["run"], p["role"]) for p in told["lineage"]] == [(source.id, "initial weights")]
    assert told["lineage"][0]["fingerprint"] == source.record.fingerprints.run
    record = made.run.record
    assert told["metrics"] == dict(record.metrics)
    assert told["hashes"]["weights"] == record.artifacts["model.safetensors"].digest
    assert told["hashes"]["data"] == record.fingerprints.data
    assert not api.verify(made.run).changed


def test_other_settings_may_be_given_and_on_split_it_trains_as_the_run_did(
    source: Run, home: Path
) -> None:
    made = ship(source.id, "final.on=split", "training.seed=8", home=home)
    same = api.train("tiny", *FAST, "training.seed=8", "run.policy=force_new", home=home)
    assert tiny_task.same_bits(made.run, same)
    assert section(made.run, "data")["fold"] is None


def test_the_same_request_is_reused_and_another_gate_judges_without_training(
    source: Run, home: Path
) -> None:
    first, again = (ship(source.id, home=home) for _ in range(2))
    assert (first.step, again.step) == ("train", "reuse") and again.run.id == first.run.id
    gated = ("final.gate.metric=test/accuracy", "final.gate.minimum=0.01")
    judged = ship(source.id, *gated, home=home)
    assert (judged.step, judged.run.id) == ("ship", first.run.id)
    assert [gate.passed for gate in judged.manifest.gates] == [True]


def test_force_new_trains_again_to_the_same_bits(source: Run, home: Path) -> None:
    first = ship(source.id, home=home)
    again = ship(source.id, "final.policy=force_new", home=home)
    assert again.step == "train" and again.run.id != first.run.id
    assert tiny_task.same_bits(first.run, again.run)


@pytest.fixture
def crashing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """Trainings of the tiny task end in the errors of the list, at the third step."""
    errors: list[BaseException] = []
    build = tiny_task.TinyTask.__init__

    def crashes(task: tiny_task.TinyTask, *arguments: object) -> None:
        build(task)
        if errors:
            task.on_step = tiny_task.crash_at(3, errors[0])

    monkeypatch.setattr(tiny_task.TinyTask, "__init__", crashes)
    yield errors


@pytest.mark.parametrize(
    ("policy", "step"), [("resume_if_incomplete", "resume"), ("reuse_if_exists", "train")]
)
def test_a_cut_final_training_is_never_taken_for_a_model(
    source: Run, home: Path, crashing: list[BaseException], policy: str, step: str
) -> None:
    crashing.append(KeyboardInterrupt())
    with pytest.raises(RunFailedError):
        ship(source.id, home=home)
    cut = RunStore(home).runs()[-1]
    assert not (cut.path / FINAL).exists()
    crashing.clear()
    made = ship(source.id, f"final.policy={policy}", home=home)
    assert made.step == step and (made.run.id == cut.id) is (step == "resume")
    whole = ship(source.id, "final.policy=force_new", home=home)
    assert tiny_task.same_bits(made.run, whole.run)


def test_it_continues_from_the_newest_model_that_passed(source: Run, home: Path) -> None:
    with pytest.raises(StoreError, match="was shipped yet"):
        ship(source.id, "final.policy=continue_from_previous", home=home)
    first = ship(source.id, home=home)
    gated = ("final.gate.metric=test/accuracy", "final.gate.minimum=1.01", "training.seed=3")
    assert not ship(source.id, *gated, home=home).manifest.passed
    second = ship(source.id, "final.policy=continue_from_previous", home=home)
    third = ship(source.id, "final.source=final_training", home=home)
    parents = [[p.run for p in made.run.record.parents] for made in (second, third)]
    assert parents == [[first.run.id], [second.run.id]]
    assert api.reproduce(second.run).identical


def test_weights_of_the_run_are_begun_with_if_asked(source: Run, home: Path) -> None:
    made = ship(source.id, "final.source=best_selected", home=home)
    assert [p.run for p in made.run.record.parents] == [source.id]
    fresh = ship(source.id, home=home)
    assert not tiny_task.same_bits(made.run, fresh.run)


def study_of(home: Path, *refits: Run, status: str = "finished") -> StudyFolder:
    folder = StudyFolder(home / STUDIES / "20261122-tiny-study")
    folder.path.mkdir(parents=True)
    record = StudyRecord(
        id=folder.id, task="tiny", status=status, created=now(), fingerprint="f", study_name="s",
        hpo={}, base={}, space={}, data="d", metric="accuracy", direction="maximize", chosen=4,
        refits=tuple(
            Refit(seed=seed, run=run.id, metrics=run.metrics)
            for seed, run in reversed(list(enumerate(refits)))
        ),
    )  # fmt: skip
    folder.write(record)
    return folder


def test_of_a_study_the_first_refit_is_shipped_whatever_its_score_on_the_tests(home: Path) -> None:
    fitted = ("data.fold=all", "training.stop_epoch=2")
    refits = [api.train("tiny", *FAST, *fitted, f"training.seed={s}", home=home) for s in (0, 1)]
    study = study_of(home, *refits)
    made = ship("20261122-tiny", home=home)
    assert (made.step, made.run.id) == ("ship", refits[0].id)
    assert made.manifest.source == {
        "kind": "study", "study": study.id, "trial": "4", "run": refits[0].id,
    }  # fmt: skip
    seeded = ship(str(study.path), "training.seed=7", home=home)
    assert seeded.step == "train" and section(seeded.run, "training")["stop_epoch"] == 2
    tags = seeded.run.record.tags
    assert (tags["purpose"], tags["study"], tags["trial"]) == ("final", study.id, "4")


@pytest.mark.parametrize(
    ("status", "said"), [("finished", "has no refit"), ("interrupted", "this study is interrupted")]
)
def test_a_study_that_is_not_done_is_refused(home: Path, status: str, said: str) -> None:
    study_of(home, status=status)
    with pytest.raises(StoreError, match=said):
        ship("20261122-tiny-study", home=home)


def test_what_can_not_be_is_refused_before_any_run_is_made(source: Run, home: Path) -> None:
    wrong = {
        "final.export=onnx": "can't be exported",
        "final.export=hf": "transformers",
        "final.combine=append": "can't combine",
        "final.gate.metric=test/acuracy final.gate.minimum=1": "unknown metric 'test/acuracy'",
        "final.gate.minimum=1": "metric needs minimum or maximum",
        "final.gate.latency_ms=1": "set export=onnx",
        "final.policy=continue_from_previous final.source=best_selected": "give one of them",
        "final.polici=force_new": "polici",
        "training.lerning_rate=1": "learning_rate",
    }
    for typed, said in wrong.items():
        with pytest.raises(RequestError, match=said):
            ship(source.id, *typed.split(), home=home)
    assert [run.id for run in RunStore(home).runs()] == [source.id]


def test_a_run_whose_best_epoch_is_unknown_says_what_to_do(source: Run, home: Path) -> None:
    source.update(best_epoch=None)
    with pytest.raises(ConfigError, match=r"best epoch isn't known(.|\n)*training\.stop_epoch"):
        ship(source.id, home=home)
    made = ship(source.id, "training.stop_epoch=3", home=home)
    assert section(made.run, "training")["stop_epoch"] == 3


def test_a_model_that_fails_its_gate_is_marked_and_the_command_exits_with_one(
    source: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUTELAGE_HOME", str(home))
    app = typer.Typer()
    final.register(app)
    gate = ["final.gate.metric=test/accuracy", "final.gate.minimum=1.01"]
    result = CliRunner().invoke(app, [source.id, *gate, "--json"])
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["passed"] is False and told["gates"][0]["passed"] is False
    run = RunStore(home).find(told["run"])
    assert run.record.tags["gate"] == "failed"
    assert any(w.startswith("gate: test/accuracy at least is") for w in run.record.warnings)
    assert CliRunner().invoke(app, [source.id, *gate]).exit_code == 1  # reused, and no better
    passed = CliRunner().invoke(app, [source.id, gate[0], "final.gate.minimum=0"])
    assert passed.exit_code == 0 and "passed" in passed.stdout
    assert run.record.tags["gate"] == "passed" and not run.record.warnings


def test_gates_hold_scores_files_and_latencies_to_their_limits(source: Run) -> None:
    files = [
        ExportedFile(path="m.onnx", digest="d", format="onnx", bytes=2_000_000, latency_p50_ms=3.0),
        ExportedFile(path="hf", digest="d", format="hf", bytes=500_000),
    ]
    gate = Gate(metric="test/loss", maximum=1e-9, latency_ms=3.5, megabytes=1)
    results = judge(source, gate, files)
    assert [(r.what, r.passed) for r in results] == [
        ("test/loss at most", False),
        ("latency p50 of onnx", True),
        ("size of onnx", False),
        ("size of hf", True),
    ]
    assert len(list(failed(results))) == 2
    (size,) = judge(source, Gate(megabytes=1), [])
    assert size.what == "size of weights" and size.passed


def test_settings_of_the_final_training_and_of_its_run_are_told_apart() -> None:
    settings, rest = read_final_config(["final.export=onnx", "data.root=x", "final.on=split"])
    assert settings.export == ("onnx",) and settings.on == "split" and rest == ("data.root=x",)
    both, _ = read_final_config(["final.export=[onnx,hf]"])
    assert both.export == ("onnx", "hf")
