"""Real recordings are read as they are, where they are on this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tutelage.core.overrides import build_config
from tutelage.tasks.neural import NeuralTask
from tutelage.tasks.neural.config import NeuralConfig, NeuralData, Split
from tutelage.tasks.neural.data.split import TEST, TRAIN, split_sessions, stimulus_digests
from tutelage.tasks.neural.evaluation.fields import spike_triggered
from tutelage.tasks.neural.sessions.read import read_sessions


@pytest.fixture
def v4(shared_data: Path) -> Path:
    folder = shared_data / "neural" / "v4_cowley2023"
    if not folder.is_dir():
        pytest.skip("these recordings are not on this machine")
    return folder


@pytest.fixture
def rgc(shared_data: Path) -> Path:
    file = shared_data / "neural" / "rgc_ran2020.npz"
    if not file.is_file():
        pytest.skip("these recordings are not on this machine")
    return file


def test_macaque_sessions_are_read_and_split_by_image(v4: Path, tmp_path: Path) -> None:
    sessions = read_sessions(NeuralData(root=v4), tmp_path / "cache")
    assert len(sessions) == 8
    assert {session.animal for session in sessions} == {"PE", "WE"}
    assert sum(session.units for session in sessions) == 394
    assert all(session.static and session.rate_hz == 10 for session in sessions)
    parts = split_sessions(sessions, Split())
    for session, part in zip(sessions, parts, strict=True):
        shown = np.array(stimulus_digests(session), np.uint64)
        assert not set(shown[part == TRAIN]) & set(shown[part == TEST])
        assert (part == TRAIN).mean() == pytest.approx(0.7, abs=0.02)
    (repeating,) = [s for s in sessions if len(set(stimulus_digests(s))) < len(s)]
    assert repeating.id == "WE_190925"


def test_the_audit_tells_of_the_repeats_and_drifts_of_the_macaque_sessions(
    v4: Path, tmp_path: Path
) -> None:
    config = build_config(NeuralConfig, [], (f"data.root={v4}",))
    found = NeuralTask().audit(config, tmp_path / "cache")
    assert found.stamp.verdict == "warnings"
    told = " ".join(found.stamp.findings)
    assert "WE_190925: 300 stimuli are shown again" in told
    assert "without any stimulus" in told


@pytest.mark.parametrize("cell", ["C1_soma", "C3_soma"])
def test_ganglion_cells_answer_to_the_frame_before(rgc: Path, tmp_path: Path, cell: str) -> None:
    text = (
        f"id: {cell}\nanimal: mouse\nfile: {rgc}\narrays: {{stimulus: stim}}\n"
        f"frame_times: {cell}_spk_triggertime\nspike_times: {{{cell}: {cell}_spk_spiketime}}\n"
        "cut_to_shortest: true\n"
    )
    (tmp_path / "cell.yaml").write_text(text)
    session = read_sessions(NeuralData(root=tmp_path / "cell.yaml"), tmp_path / "cache")[0]
    assert session.rate_hz == pytest.approx(5, rel=0.02)
    rows = np.arange(len(session))
    field = spike_triggered(session, rows, lags=4)[0]
    shifted = np.roll(session.responses, 700, axis=0)
    chance = spike_triggered(
        type(session)(
            **{n: getattr(session, n) for n in session.__slots__} | {"responses": shifted}
        ),
        rows,
        lags=4,
    )[0]
    peaks = np.abs(field).max(axis=(1, 2))
    assert peaks.argmax() == 1  # 200 to 400 ms
    assert peaks[1] > 1.5 * np.abs(chance).max()
