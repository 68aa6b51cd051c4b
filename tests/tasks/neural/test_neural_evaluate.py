"""A model is scored unit by unit, by id, beside baselines, ceilings and the truth."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from made_sessions import Arrays, image_arrays, movie_arrays, write

from agreeing_blocks import assert_blocks_agree
from tutelage.core.errors import DataError
from tutelage.core.overrides import build_config
from tutelage.core.records import Evaluation
from tutelage.tasks.neural import NeuralTask
from tutelage.tasks.neural.config import NeuralConfig
from tutelage.tasks.neural.data.datamodule import MultiDatasetDM
from tutelage.tasks.neural.evaluation.evaluate import UNITS, evaluate
from tutelage.tasks.neural.evaluation.tables import prediction_tables
from tutelage.tasks.neural.modules import NeuralModule, build_module
from tutelage.tasks.neural.preprocessing import Preprocessing

SMALL = (
    "data.simulated_sessions=2",
    "data.simulated_seconds=60",
    "data.simulated_units=6",
    "model.frontend={name: temporal, lags: 6, channels: 2, basis: 3}",
    "model.convnet={channels: [4], kernels: [5], pools: [2]}",
    "evaluation.bootstrap=50",
)
MOVIES = ("model.frontend={name: temporal, lags: 4, channels: 2}", "model.modulator.name=film")
IMAGES = (
    "model.convnet={channels: [4], kernels: [3], pools: [1]}",
    "evaluation.bootstrap=0",
    "evaluation.drawn_sessions=0",
)


def _config(*settings: str) -> NeuralConfig:
    return build_config(NeuralConfig, [], settings)


def _data(
    config: NeuralConfig, cache: Path, learned: Preprocessing | None = None
) -> MultiDatasetDM:
    data = MultiDatasetDM(config, cache, learned)
    data.batch_size = 16
    data.setup("fit")
    return data


def _module(config: NeuralConfig, data: MultiDatasetDM) -> NeuralModule:
    torch.manual_seed(0)
    module = build_module(config.model, config.training, data.learned)
    data.fit_module(module)
    return module


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    config = _config(*SMALL)
    data = _data(config, tmp_path_factory.mktemp("cache"))
    return evaluate(_module(config, data), data)


def test_the_truth_is_above_the_baselines_and_these_above_chance(simulated: Evaluation) -> None:
    baselines = simulated.baselines
    truth, ln = baselines["true_rate"]["test/corr"], baselines["linear_nonlinear"]["test/corr"]
    assert truth > baselines["gabor_ridge"]["test/corr"] > 0.1
    assert truth > ln > 0.02
    assert "test/corr" not in baselines["mean_rate"]  # a constant has no correlation
    assert baselines["true_rate"]["test/bps"] > 0
    assert abs(baselines["mean_rate"]["test/bps"]) < 0.2
    assert baselines["true_rate"]["test/cc_norm"] == pytest.approx(1, abs=0.12)
    assert baselines["true_rate"]["test/feve"] == pytest.approx(1, abs=0.2)


def test_scores_are_there_for_all_for_sessions_and_for_kinds(simulated: Evaluation) -> None:
    metrics = simulated.metrics
    for name in ("corr", "bps", "corr_block_demeaned", "oracle", "cc_max", "bps_natural"):
        assert f"test/{name}" in metrics, name
        assert f"test/session anna_01/{name}" in metrics, name
    assert metrics["test/corr_low"] <= metrics["test/corr"] <= metrics["test/corr_high"]
    assert_blocks_agree(simulated, "test/corr")
    titles = [table.title for table in simulated.tables]
    fields = ["Receptive fields against the truth", "Receptive fields recovered"]
    assert titles == ["Model and baselines", "Sessions", *fields]
    drawn = [figure.title for figure in simulated.figures]
    assert any("Receptive fields" in title for title in drawn)
    assert any("Most exciting" in title for title in drawn)


def test_every_unit_stands_in_the_parquet_file(simulated: Evaluation) -> None:
    table = pq.read_table(BytesIO(simulated.files[UNITS]))
    rows = table.to_pylist()
    models = {row["predictor"] for row in rows}
    assert models == {"model", "mean_rate", "linear_nonlinear", "gabor_ridge", "true_rate"}
    assert len(rows) == 5 * 12
    mine = [row for row in rows if row["predictor"] == "true_rate"]
    sessions = {row["session"] for row in mine}
    means = [
        np.mean([row["corr"] for row in mine if row["session"] == session]) for session in sessions
    ]
    assert np.mean(means) == pytest.approx(simulated.baselines["true_rate"]["test/corr"])


# ---- by unit id


def _images(folder: Path, order: list[int] | None = None, extra: bool = False) -> Path:
    arrays: Arrays = image_arrays(0, images=120, units=4)
    flat = arrays["images"].reshape(120, -1).astype(np.float32)
    weights = np.random.default_rng(1).normal(size=(64, 4)) / 64
    arrays["responses"] = np.maximum(flat @ weights + 3, 0.1).astype(np.float32)
    arrays["unit_ids"] = np.array(list("abcd"))
    if order is not None:
        arrays["responses"] = arrays["responses"][:, order]
        arrays["unit_ids"] = arrays["unit_ids"][order]
    if extra:
        arrays["responses"] = np.concatenate([arrays["responses"], np.ones((120, 1))], axis=1)
        arrays["unit_ids"] = np.append(arrays["unit_ids"], "new")
    return write(folder, "one", arrays)


def _scores(module: NeuralModule, data: MultiDatasetDM) -> dict[str, float | None]:
    rows = pq.read_table(BytesIO(evaluate(module, data).files[UNITS])).to_pylist()
    return {row["unit"]: row["corr"] for row in rows if row["predictor"] == "model"}


def test_units_are_found_by_their_ids_whatever_their_places(tmp_path: Path) -> None:
    config = _config(f"data.root={_images(tmp_path / 'a')}", *IMAGES)
    data = _data(config, tmp_path / "cache")
    module = _module(config, data)
    learned, before = data.learned, _scores(module, data)
    assert set(before) == set("abcd")
    shuffled = _config(f"data.root={_images(tmp_path / 'b', [2, 0, 3, 1], extra=True)}", *IMAGES)
    other = _data(shuffled, tmp_path / "cache", learned)
    assert _scores(module, other) == pytest.approx(before)
    assert any("1 units left out" in finding for finding in other.audit.findings)
    fewer = _config(f"data.root={_images(tmp_path / 'c', [3, 1])}", *IMAGES)
    some = _data(fewer, tmp_path / "cache", learned)
    found = {unit: corr for unit, corr in _scores(module, some).items() if corr is not None}
    assert found == pytest.approx({unit: before[unit] for unit in "bd"})


@pytest.mark.parametrize("make", [image_arrays, movie_arrays])
def test_stimuli_alone_are_predicted_for_whole_and_never_scored_or_trained_on(
    tmp_path: Path, make: Callable[[], Arrays]
) -> None:
    arrays = make()
    write(tmp_path / "seen", "a", arrays)
    config = _config(f"data.root={tmp_path / 'seen'}", *(IMAGES if "images" in arrays else MOVIES))
    data = _data(config, tmp_path / "cache")
    module = _module(config, data)
    shown = {name: array for name, array in arrays.items() if name not in ("responses", "valid")}
    stimulus = "images" if "images" in arrays else "stimulus"
    write(tmp_path / "shown", "a", shown | {stimulus: arrays[stimulus][20:]} | _cut(shown, 20))
    new = config.model_copy(
        update={"data": config.data.model_copy(update={"root": tmp_path / "shown"})}
    )
    with pytest.raises(DataError, match="responses: not in the file"):
        _data(new, tmp_path / "cache")
    only = _data(new, tmp_path / "cache", data.learned)
    (table,) = prediction_tables(module, only)
    frames = len(arrays[stimulus]) - 20
    trials = 0 if "images" in arrays else frames // 20
    assert len(table.rows) == frames - trials * only.context
    assert table.columns == ("frame", *data.sessions[0].unit_ids)
    with pytest.raises(DataError, match="`tutelage predict` alone goes without"):
        evaluate(module, only)
    asked = MultiDatasetDM(config, tmp_path / "cache", data.learned)
    asked.setup("predict")
    (whole,) = prediction_tables(module, asked)
    every = len(arrays[stimulus])
    assert len(whole.rows) == every - every // 20 * only.context * (trials > 0)


def _cut(arrays: Arrays, rows: int) -> Arrays:
    """The arrays of a row a frame, without their first rows."""
    return {name: arrays[name][rows:] for name in ("trial", "behaviour") if name in arrays}


def test_sessions_without_a_readout_are_refused(tmp_path: Path) -> None:
    config = _config(f"data.root={_images(tmp_path / 'a')}", *IMAGES)
    learned = _data(config, tmp_path / "cache").learned
    arrays = image_arrays(7)
    other = _config(f"data.root={write(tmp_path / 'b', 'x', arrays)}", *IMAGES)
    with pytest.raises(DataError, match="the model has no readout for"):
        _data(other, tmp_path / "cache", learned)


def test_another_split_of_the_same_rows_is_called_leaking(tmp_path: Path) -> None:
    root = f"data.root={_images(tmp_path / 'a')}"
    first = _data(_config(root, *IMAGES), tmp_path / "cache")
    again = _data(_config(root, *IMAGES), tmp_path / "cache", first.learned)
    assert again.audit.verdict == "clean"
    moved = _data(_config(root, "data.split.seed=3", *IMAGES), tmp_path / "cache", first.learned)
    assert moved.audit.verdict == "leaking"


def test_continuing_needs_the_same_units_in_the_same_order(tmp_path: Path) -> None:
    first = _data(_config(f"data.root={_images(tmp_path / 'a')}", *IMAGES), tmp_path / "cache")
    other = _data(
        _config(f"data.root={_images(tmp_path / 'b', [1, 0, 2, 3])}", *IMAGES), tmp_path / "cache"
    )
    task = NeuralTask()
    assert task.continues(first.preprocessing, first.preprocessing) is None
    assert "units of session WE_000000 differ" in str(
        task.continues(first.preprocessing, other.preprocessing)
    )


def test_the_card_keeps_the_preprocessing_to_the_last_digit(tmp_path: Path) -> None:
    import json

    learned = _data(_config(*SMALL), tmp_path / "cache").learned
    assert Preprocessing.from_json(json.loads(json.dumps(learned.to_json()))) == learned
