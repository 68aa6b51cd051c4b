"""What can't be done with a run is refused before PyTorch is imported, which takes seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from made_runs import finish_run, prints
from tutelage.core.overrides import build_config
from tutelage.core.store import RunStore
from tutelage.tasks.neural.config import NeuralConfig

ASK = """
import sys
import tutelage
from tutelage.core.errors import RequestError
try:
    {call}
except RequestError as error:
    print(error, "torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("task", "call", "said"),
    [
        ("neural", "tutelage.watch('@last', 'nofile.log')", "has no models that judge streams"),
        ("neural", "tutelage.export('@last')", "can't be exported"),
        ("can", "tutelage.export('@last', format='hf')", "are none that transformers has"),
        ("can", "tutelage.watch('@last', 'nofile.log')", "nofile.log: no such file"),
        ("can", "tutelage.watch('@last', '-', engine='tensorrt')", "unknown engine 'tensorrt'"),
    ],
)
def test_what_can_not_be_done_is_refused_without_pytorch(
    task: str, call: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUTELAGE_HOME", str(tmp_path))
    store = RunStore(tmp_path)
    if task == "can":
        finish_run(store)
    else:
        store.create(build_config(NeuralConfig, [], ()), prints(), ())
    program = [sys.executable, "-c", ASK.format(call=call)]
    told = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert said in told and told.rstrip().endswith("False"), told
