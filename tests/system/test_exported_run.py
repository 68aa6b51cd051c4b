"""`tutelage export` as a person types it, without PyTorch where the file is used, and refused."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from command import Shared, Tutelage, assert_refused

pytest.importorskip("onnxscript")
SCORE = """
import sys
from pathlib import Path
import numpy as np
from tutelage.tasks.can.onnx_scorer import OnnxScorer
scorer = OnnxScorer.open(Path(sys.argv[1]))
loop = np.zeros((2, 1), np.int16)
print(scorer.score(np.zeros((1, 27), np.float32), np.zeros(1, np.int32), loop,
                   np.zeros((1, 11), np.float32)))
assert "torch" not in sys.modules
"""


def test_a_run_is_exported_and_the_file_runs_without_pytorch(
    tutelage: Tutelage, shared: Shared
) -> None:
    tutelage.copy_from(shared.tutelage)
    said = tutelage.done("export", "@last", "--format", "onnx", "--out", "detector.onnx", "--json")
    file = tutelage.folder / "detector.onnx"
    assert said.json["path"] == str(file) and said.json["run"] == shared.run.name
    scored = subprocess.run(
        [sys.executable, "-c", SCORE, file], capture_output=True, text=True, check=False
    )
    assert scored.returncode == 0, scored.stderr
    assert 0 <= float(scored.stdout) <= 1


def test_exports_that_can_not_be_are_refused_in_one_message(
    tutelage: Tutelage, shared: Shared
) -> None:
    tutelage.copy_from(shared.tutelage)
    assert_refused(tutelage("export", "@last", "--format", "onxx"), "onxx", "Did you mean 'onnx'?")
    assert_refused(tutelage("export", "nothing"), "nothing")
    missing = tutelage("export", "@last", "--out", "no/such/folder/detector.onnx")
    assert_refused(missing, "no/such/folder")
    (run,) = tutelage.runs()
    (run / "model.safetensors").write_bytes(b"other weights")
    assert_refused(tutelage("export", "@last"), "model.safetensors", "was changed")
    assert not list(tutelage.folder.iterdir()) and not list(run.glob("*.onnx"))
    shutil.rmtree(run)
    assert_refused(tutelage("export", "@last"))
