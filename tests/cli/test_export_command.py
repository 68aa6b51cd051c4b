"""`tutelage export` says what it wrote, for a person and for a script."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from made_runs import finish_run
from tutelage import api
from tutelage.cli import export
from tutelage.core.errors import ConfigError
from tutelage.core.store import RunStore

pytestmark = pytest.mark.system
pytest.importorskip("onnxscript")
SMALL = ("model.layers=1", "model.hidden=4", "model.heads=2", "training.max_epochs=1")


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    export.register(app)
    return app


def test_the_command_prints_file_size_inputs_and_parity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, app: typer.Typer
) -> None:
    monkeypatch.setenv("TUTELAGE_HOME", str(tmp_path))
    run = api.train("can", *SMALL, "data.simulated_seconds=5", "training.accelerator=cpu")
    said = CliRunner().invoke(app, ["@last", "--format", "onnx"])
    assert said.exit_code == 0, said.output
    file = run.path / "model.onnx"
    for words in (str(file), f"{file.stat().st_size:,} bytes", "edge_attr", "onnxruntime"):
        assert words in said.stdout
    other = tmp_path / "other.onnx"
    printed = CliRunner().invoke(app, [run.id, "--out", str(other), "--json"])
    summary = json.loads(printed.stdout)
    assert summary == {"path": str(other)} | json.loads((tmp_path / "other.onnx.json").read_text())
    assert summary["run"] == run.id and summary["parity"]["largest_difference"] <= 1e-5


def test_a_run_of_combiners_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, app: typer.Typer
) -> None:
    monkeypatch.setenv("TUTELAGE_HOME", str(tmp_path))
    expert = finish_run(RunStore.default())
    settings = ("mode=fusion", "model=mean", f"mode.experts=[{expert.id}, {expert.id}]")
    fused = finish_run(RunStore.default(), *settings, parent=expert)
    refused = CliRunner().invoke(app, [fused.id])
    assert isinstance(refused.exception, ConfigError)
    assert expert.id in str(refused.exception)
