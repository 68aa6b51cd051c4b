"""The data module splits, learns and deals out the same for any number of processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_sessions import image_arrays, movie_arrays, write

from tutelage.core.errors import ConfigError, DataError
from tutelage.core.overrides import build_config
from tutelage.tasks.neural.config import NeuralConfig
from tutelage.tasks.neural.data.datamodule import MultiDatasetDM
from tutelage.tasks.neural.data.split import TEST, TRAIN, VALIDATION
from tutelage.tasks.neural.evaluation.statistics import UnitStatistics

MODEL = "model.frontend={name: temporal, lags: 4}"


def _movies(tmp_path: Path, *settings: str, sessions: int = 3) -> MultiDatasetDM:
    for seed in range(sessions):
        write(tmp_path / "data", f"s{seed}", movie_arrays(seed, trials=20))
    typed = (f"data.root={tmp_path / 'data'}", "data.chunk_frames=6", MODEL, *settings)
    data = MultiDatasetDM(build_config(NeuralConfig, [], typed), tmp_path / "cache")
    data.batch_size = 8
    data.setup("fit")
    return data


def _seen(data: MultiDatasetDM, part: int) -> dict[str, set[int]]:
    frames: dict[str, set[int]] = {}
    loader = data.train_dataloader() if part == TRAIN else data.evaluation_loader(part)
    for batch in loader:
        for chunk in batch.parts:
            counts = chunk.valid.any(dim=2)
            rows = chunk.frames[:, None] + torch.arange(counts.shape[1])
            frames.setdefault(chunk.session, set()).update(rows[counts].tolist())
    return frames


def test_no_frame_is_of_two_parts_and_history_stays_in_its_trial(tmp_path: Path) -> None:
    data = _movies(tmp_path)
    parts = [_seen(data, part) for part in (TRAIN, VALIDATION, TEST)]
    for session in ("ada_s0", "bob_s1", "ada_s2"):
        train, held, test = (part[session] for part in parts)
        assert train and held and test
        assert not (train & held or train & test or held & test)
        assert all(frame % 20 >= 3 for frame in train | held | test)


@pytest.mark.parametrize("world", [2, 3, 7])
def test_validation_sums_are_the_same_for_any_number_of_processes(
    tmp_path: Path, world: int
) -> None:
    data = _movies(tmp_path)

    def sums(rank: int, processes: int) -> tuple[int, dict[str, UnitStatistics]]:
        data.rank, data.world_size = rank, processes
        found = {session.id: UnitStatistics(3) for session in data.sessions}
        loader = data.val_dataloader()
        for batch in loader:
            for chunk in batch.parts:
                rates = chunk.stimulus.float().mean(dim=(1, 3, 4))[:, -6:, None].expand(-1, -1, 3)
                found[chunk.session].update(rates, chunk.responses, chunk.valid)
        return len(loader), found

    count, alone = sums(0, 1)
    shares = [sums(rank, world) for rank in range(world)]
    assert {length for length, _ in shares} == {-(-count // world)}  # no rank waits for another
    for session, whole in alone.items():
        for name in whole._defaults:
            total = sum(getattr(share[session], name) for _, share in shares)
            torch.testing.assert_close(total, getattr(whole, name), rtol=0, atol=1e-9)


def test_processes_share_a_training_batch_and_an_idle_one_counts_nothing(tmp_path: Path) -> None:
    data = _movies(tmp_path, "data.batches=by_session")
    data.batch_size = 1
    whole = {name: sorted(rows) for name, rows in _seen(data, TRAIN).items()}
    data.world_size = 5
    shared: dict[str, list[int]] = {}
    lengths = set()
    for rank in range(5):
        data.rank = rank
        lengths.add(len(data.train_dataloader()))
        for name, rows in _seen(data, TRAIN).items():
            shared.setdefault(name, []).extend(rows)
    assert {name: sorted(rows) for name, rows in shared.items()} == whole  # each frame once
    assert len(lengths) == 1


def test_rates_and_scales_come_from_training_rows_alone(tmp_path: Path) -> None:
    data = _movies(tmp_path, sessions=1)
    card, session = data.learned.sessions["ada_s0"], data.sessions[0]
    rows = np.flatnonzero(data.parts[0] == TRAIN)
    expected = session.responses[rows].sum(0) / session.valid[rows].sum(0)
    np.testing.assert_allclose(card.mean_rates, expected, rtol=1e-6)
    pixels = session.stimulus[rows].astype(float)
    assert data.learned.stimulus_mean == pytest.approx(pixels.mean())
    assert data.learned.stimulus_std == pytest.approx(pixels.std())


def test_a_unit_silent_in_training_has_a_rate_above_zero(tmp_path: Path) -> None:
    arrays = movie_arrays(0, trials=20)
    first = _movies(tmp_path / "a", sessions=1)
    arrays["responses"][first.parts[0] == TRAIN, 1] = 0
    arrays["responses"][first.parts[0] == TEST, 1] = 1
    write(tmp_path / "b" / "data", "s", arrays)
    config = build_config(NeuralConfig, [], (f"data.root={tmp_path / 'b' / 'data'}", MODEL))
    data = MultiDatasetDM(config, tmp_path / "cache")
    data.setup("fit")
    assert data.learned.sessions["ada_s0"].mean_rates[1] > 0  # its logarithm is a bias


def test_images_and_movies_are_not_trained_together(tmp_path: Path) -> None:
    write(tmp_path / "data", "movie", movie_arrays())
    write(tmp_path / "data", "images", image_arrays())
    config = build_config(NeuralConfig, [], (f"data.root={tmp_path / 'data'}",))
    with pytest.raises(DataError, match="session WE_000000 shows images, others movies"):
        MultiDatasetDM(config, tmp_path / "cache").setup("fit")


def test_a_history_longer_than_the_trials_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"session ada_s0 has no stretch of more than \d+ frames"):
        _movies(tmp_path, "model.frontend.lags=30")


def test_the_most_demanding_batch_is_of_the_largest_session(tmp_path: Path) -> None:
    write(tmp_path / "data", "large", movie_arrays(9, trials=20, units=40))
    data = _movies(tmp_path)
    batch = data.batch_of_size(500)
    assert batch.parts[0].session == "bob_s9"
    assert batch.parts[0].stimulus.shape[0] == 500
    assert data.train_size == len(data.tables[TRAIN])
