"""Real seeds of the files of runs and studies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def _run(folder: Path) -> Any:
    """A finished run that nobody trained."""
    from tutelage.core.config import RunConfig
    from tutelage.core.records import (
        Artifact,
        AuditStamp,
        Figure,
        Fingerprints,
        Line,
        Panel,
        Parent,
        Table,
        now,
    )
    from tutelage.core.store import RunStore
    from tutelage.tasks.can.config import CANConfig

    config: RunConfig = CANConfig()
    prints = Fingerprints(run="one", config="c", data="d", source="s", parents=("p",))
    parents = (Parent(run="20260101-000000-000-can-gat-normal-ab12", role="teacher"),)
    run = RunStore(folder / "made").create(config, prints, parents)
    run.update(
        status="finished",
        finished=now(),
        metrics={"test/f1": 0.5},
        baselines={"rule": {"test/f1": 0.4}},
        tables=(Table(title="t", columns=("a", "b"), rows=(("x", 1.5), ("y", None))),),
        figures=(
            Figure(
                title="f", panels=(Panel(title="p", lines=(Line(name="l", values=(1.0, None)),)),)
            ),
        ),
        artifacts={"notes": Artifact(path="capture.txt", digest="0")},
        audit=AuditStamp(verdict="clean"),
        seconds={"total": 1.0},
        warnings=("w",),
    )
    return run


def run_config(folder: Path) -> list[bytes]:
    return [(_run(folder).path / "config.json").read_bytes()]


def record(folder: Path) -> list[bytes]:
    from tutelage.core.files import digest_file

    (folder / "capture.txt").write_bytes(b"x")
    text = (_run(folder).path / "record.json").read_text()
    return [
        text.replace('"digest": "0"', f'"digest": "{digest_file(folder / "capture.txt")}"').encode()
    ]


def inputs(folder: Path) -> list[bytes]:
    (folder / "a.csv").write_bytes(b"x")
    made = {
        "schema_version": 1,
        "data": {"a.csv": "0", "b/c.csv": "1"},
        "package": {"task.py": "2"},
        "elsewhere": {str(folder / "a.csv"): "3"},
    }
    return [json.dumps(made).encode()]


def metrics(folder: Path) -> list[bytes]:
    rows = "0,10,train/loss,0.5,1.0\n0,20,val/loss,0.4,2.0\n0,20,learning_rate,0.001,2.0\n"
    return [f"epoch,step,metric,value,seconds\n{rows}{rows.replace('0,', '1,', 1)}".encode()]


def manifest(folder: Path) -> list[bytes]:
    from tutelage.core.records import Environment

    made = {
        "run": "r",
        "task": "can",
        "model": "gat",
        "mode": "normal",
        "source": {"run": "x"},
        "asked": {"formats": ["onnx"]},
        "settings": {},
        "lineage": [{"run": "a", "child": "b", "role": "teacher", "fingerprint": None}],
        "hashes": {"data": "d"},
        "environment": Environment.here().model_dump(mode="json"),
        "metrics": {"f1": 0.5},
        "gates": [{"what": "size", "limit": 1.0, "value": None, "passed": False}],
        "passed": False,
        "exports": [{"path": "model.onnx", "digest": "0", "format": "onnx", "bytes": 3}],
    }
    return [json.dumps(made).encode()]


def result(folder: Path) -> list[bytes]:
    made = {
        "run": "/x/run",
        "origin": "new",
        "kind": "DataError",
        "cause": None,
        "problem": "p",
        "where": None,
        "hint": "h",
    }
    return [json.dumps(made).encode(), json.dumps(made | {"kind": "UnknownNameError"}).encode()]


def study_record(folder: Path) -> list[bytes]:
    made = {
        "id": "s",
        "task": "can",
        "status": "finished",
        "created": "2026-01-01T00:00:00Z",
        "fingerprint": "f",
        "study_name": "n",
        "hpo": {"trials": 2},
        "base": {},
        "space": {"parameters": {}},
        "data": "d",
        "metric": "f1",
        "direction": "maximize",
        "chosen": 0,
        "refits": [{"seed": 0, "run": "r", "metrics": {"f1": 1}}],
    }
    return [json.dumps(made).encode()]


def study_trials(folder: Path) -> list[bytes]:
    trial = {
        "number": 0,
        "status": "complete",
        "params": {"x": 1},
        "value": 0.5,
        "started": "2026-01-01T00:00:00Z",
        "folds": [{"fold": 0, "run": "r", "value": 0.5, "best_epoch": 1, "seconds": 1.0}],
        "failures": [{"fold": 0, "kind": "oom", "said": "x"}],
    }
    return [json.dumps({"schema_version": 1, "trials": [trial]}).encode()]


def journal(folder: Path) -> list[bytes]:
    from optuna.distributions import FloatDistribution

    from tutelage.hpo.ledger import FOLDS, Ledger, open_storage

    place = folder / "journal"
    place.mkdir()
    ledger = Ledger(open_storage("journal", place), "study", "maximize")
    number = ledger.begin({"host": "h", "pid": 1})
    ledger.ask(number, {"x": 0.25}, {"x": 0.25}, {"x": FloatDistribution(0.0, 1.0)})
    ledger.report(number, 1, 0.5)
    ledger.note(number, FOLDS, [{"fold": 0, "run": "r", "value": 0.5}])
    ledger.tell(number, "complete", 0.75)
    return [(place / "study.journal").read_bytes()]
