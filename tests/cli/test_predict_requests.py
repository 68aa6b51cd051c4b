"""What `tutelage predict` refuses before it loads a model."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from made_runs import finish_run
from tutelage.cli import predict
from tutelage.core.errors import RequestError
from tutelage.core.store import RunStore


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nofile.csv"], "nofile.csv: no such file or folder"),
        (["here.csv", "-o", "nowhere/out.csv"], "nowhere: there is no such folder to write in"),
        (["here.csv", "--query", "a red flag"], "runs of 'can' answer no --query"),
    ],
)
def test_what_can_not_be_done_is_refused_before_a_model_is_loaded(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUTELAGE_HOME", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    run = finish_run(RunStore(tmp_path / "runs"))
    (tmp_path / "here.csv").write_text("timestamp,arbitration_id,data_field\n")
    app = typer.Typer()
    predict.register(app)
    with pytest.raises(RequestError, match=said):
        CliRunner().invoke(app, [run.id, *arguments], catch_exceptions=False)
