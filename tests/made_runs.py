"""Real runs in a real store, made without training, for tests that look at runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tutelage.core.config import RunConfig
from tutelage.core.overrides import build_config
from tutelage.core.records import Artifact, AuditStamp, Fingerprints, Parent, Table, now
from tutelage.core.store import METRICS, Run, RunStore
from tutelage.tasks.can.config import CANConfig

KNOWN, UNKNOWN = "test_01_known", "test_02_unknown"
SCORES: Mapping[str, float] = {
    f"{KNOWN}/accuracy": 0.99,
    f"{KNOWN}/f1": 0.975,
    f"{KNOWN}/auroc": 0.999,
    f"{KNOWN}/false_alarms_per_hour": 1234.5,
    f"{KNOWN}/windows": 120,
    f"{KNOWN}/tp": 40,
    f"{KNOWN}/fp": 1,
    f"{KNOWN}/fn": 1,
    f"{KNOWN}/tn": 78,
    f"{KNOWN}/DoS/f1": 1.0,
    f"{KNOWN}/DoS/windows": 60,
    f"{KNOWN}/attack-free/windows": 60,
    f"{UNKNOWN}/accuracy": 0.5,
    f"{UNKNOWN}/windows": 10,
}
RULE: Mapping[str, float] = {f"{KNOWN}/f1": 0.6, f"{KNOWN}/tp": 30, f"{KNOWN}/DoS/f1": 0.7}


def can_config(*overrides: str) -> CANConfig:
    """The CAN task's configuration with some settings."""
    return build_config(CANConfig, [], overrides)


def prints(run: str = "fingerprint-of-the-run") -> Fingerprints:
    """Fingerprints of a run that was never computed."""
    return Fingerprints(run=run, config="of-config", data="of-the-data", source="of-source")


def make_run(
    store: RunStore, *overrides: str, parent: Run | None = None, fingerprint: str = "one"
) -> Run:
    """A run of status `created`."""
    parents = (Parent(run=parent.id, role="initial weights"),) if parent else ()
    config: RunConfig = can_config(*overrides)
    return store.create(config, prints(fingerprint), parents)


def finish_run(
    store: RunStore,
    *overrides: str,
    parent: Run | None = None,
    scores: Mapping[str, float] = SCORES,
    fingerprint: str = "one",
) -> Run:
    """A finished run with scores, a baseline, weights, an audit and a metrics file."""
    run = make_run(store, *overrides, parent=parent, fingerprint=fingerprint)
    weights = run.path / "model.safetensors"
    weights.write_bytes(b"weights")
    write_curve(run.path / METRICS)
    run.update(
        status="finished",
        finished=now(),
        metrics=scores,
        baselines={"unseen-id": RULE, "two-gap": {}},
        seconds={"prepare": 1.25, "fit": 60.0, "total": 61.25},
        artifacts={"model.safetensors": Artifact(path="model.safetensors", digest="d1g357")},
        audit=AuditStamp(verdict="warnings", findings=("two captures repeat",)),
        warnings=("two captures repeat",),
        tables=(Table(title="Of the task", columns=("what", "n"), rows=(("thing", 7),)),),
    )
    return run


def write_curve(path: Path) -> None:
    """A metrics file as training writes it, one value of it not finite."""
    lines = ["epoch,step,metric,value,seconds"]
    lines += [f"0,{step},train/loss,{1 / step},0.5" for step in range(1, 20)]
    lines += ["0,20,train/loss,nan,0.6", "0,21,train/loss,0.04,0.6", "0,22,train/loss,0.03,0.6"]
    lines += ["0,22,val/f1,0.5,0.7"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
