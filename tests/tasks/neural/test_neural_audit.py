"""The audit sees stimuli on both sides of a split, drifts, and weak units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_sessions import Arrays, image_arrays, movie_arrays, session_of, write

from tutelage.core.overrides import build_config
from tutelage.task import Audit
from tutelage.tasks.neural import NeuralTask
from tutelage.tasks.neural.audit import drift
from tutelage.tasks.neural.config import NeuralConfig, Split
from tutelage.tasks.neural.data.split import split_sessions


def _audit(tmp_path: Path, *arrays: Arrays, settings: tuple[str, ...] = ()) -> Audit:
    for number, each in enumerate(arrays):
        write(tmp_path / "data", f"file{number}", each)
    config = build_config(NeuralConfig, [], (f"data.root={tmp_path / 'data'}", *settings))
    return NeuralTask().audit(config, tmp_path / "cache")


def test_a_split_by_content_is_not_leaking_though_images_repeat(tmp_path: Path) -> None:
    found = _audit(tmp_path, image_arrays(0, images=150, repeats=60))
    assert found.stamp.verdict == "warnings"
    assert "60 stimuli are shown again" in found.stamp.findings[0]
    row = dict(zip(found.tables[0].columns, found.tables[0].rows[0], strict=True))
    assert (row["rows"], row["stimuli"], row["kind"]) == (210, 150, "images")


@pytest.mark.parametrize("how", ["by rows", "by the file"])
def test_a_split_that_parts_repeats_is_leaking(tmp_path: Path, how: str) -> None:
    arrays = image_arrays(0, images=150, repeats=60)
    settings: tuple[str, ...] = ("data.split.by=block", "data.split.block_frames=1")
    if how == "by the file":
        names = np.array(["train", "validation", "test"])
        arrays["part"] = names[np.searchsorted([120, 150], np.arange(210), side="right")]
        settings = ()
    found = _audit(tmp_path, arrays, settings=settings)
    assert found.stamp.verdict == "leaking"
    assert any("stimuli that test also train" in finding for finding in found.stamp.findings)


def test_a_stimulus_that_trains_in_one_session_and_tests_in_another_is_leaking(
    tmp_path: Path,
) -> None:
    first, second = image_arrays(0, images=60), image_arrays(1, images=60)
    second["images"] = first["images"]
    kept = _audit(tmp_path / "content", first, second)
    assert kept.stamp.verdict != "leaking"
    names = np.array(["train"] * 40 + ["validation"] * 5 + ["test"] * 15)
    first["part"], second["part"] = names, names[::-1]
    assert _audit(tmp_path / "file", first, second).stamp.verdict == "leaking"


def test_a_drift_is_told_and_noise_is_not(tmp_path: Path) -> None:
    arrays = image_arrays(0, images=600)
    noise = np.random.default_rng(0).normal(size=(600, 3))
    slow = np.sin(np.arange(600) / 60)[:, None]
    drifting = arrays | {"responses": (10 + 3 * slow + noise).astype(np.float32)}
    steady = arrays | {"responses": (10 + noise).astype(np.float32)}
    for each, least, most in ((drifting, 0.8, 1.0), (steady, -0.1, 0.09)):
        session = session_of(each)
        assert least <= drift(session, split_sessions([session], Split())[0]) <= most
    findings = _audit(tmp_path, drifting).stamp.findings
    assert any("without any stimulus" in finding for finding in findings)


def test_weak_units_and_missing_responses_are_told(tmp_path: Path) -> None:
    arrays = movie_arrays(trials=40)
    arrays["responses"] = np.ones_like(arrays["responses"])
    arrays["responses"][:, 1] = 0
    arrays["responses"][::8, 1] = 1  # an eighth of some 160 test rows
    found = _audit(tmp_path / "weak", arrays)
    assert "session ada_s0: 1 units have under 50 test spikes" in found.stamp.findings
    missing = float(1 - arrays["valid"].mean())
    assert f"session ada_s0: {missing:.1%} of the responses are not valid" in found.stamp.findings
    strong = arrays | {"responses": np.ones_like(arrays["responses"]), "valid": arrays["valid"] | 1}
    assert not _audit(tmp_path / "strong", strong).stamp.findings
