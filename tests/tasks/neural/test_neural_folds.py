"""Images, trials and stretches of time are dealt into folds; no stimulus is on both sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from made_sessions import image_arrays, movie_arrays, write

from tutelage import api
from tutelage.core.errors import DataError
from tutelage.core.folds import Split, write_split
from tutelage.core.overrides import build_config
from tutelage.core.store import METRICS, Run
from tutelage.task import fold_split
from tutelage.tasks.neural import NeuralTask
from tutelage.tasks.neural.config import NeuralConfig
from tutelage.tasks.neural.data.datamodule import MultiDatasetDM
from tutelage.tasks.neural.data.folds import unit_name
from tutelage.tasks.neural.data.split import LEFT_OUT, TEST, TRAIN, VALIDATION, stimulus_digests

TASK = NeuralTask()
HISTORY = "model.frontend={name: temporal, lags: 4}"
IMAGE_MODEL = ("model.convnet.channels=[4]", "model.convnet.kernels=[3]", "model.convnet.pools=[2]")


def config(root: Path, *overrides: str) -> NeuralConfig:
    return build_config(NeuralConfig, [], (f"data.root={root}", *overrides))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sessions of which the second shows twenty images of the first again."""
    folder = tmp_path_factory.mktemp("images")
    first, second = image_arrays(0, images=60, repeats=10), image_arrays(1, images=60)
    second["images"][:20] = first["images"][30:50]
    write(folder, "a", first)
    write(folder, "b", second)
    return folder


@pytest.fixture(scope="module")
def movies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("movies")
    for seed in range(2):
        write(folder, f"s{seed}", movie_arrays(seed, trials=20))
    return folder


def ready(root: Path, cache: Path, *overrides: str) -> MultiDatasetDM:
    data = MultiDatasetDM(config(root, *overrides), cache)
    data.setup("fit")
    data.batch_size = 8
    return data


def dealt(root: Path, folder: Path, *overrides: str, folds: int = 4) -> tuple[Split, Path]:
    split = fold_split(TASK, config(root, *overrides), folder, "stratified", folds, seed=2)
    write_split(split, folder / "split.json")
    return split, folder / "split.json"


def fold(file: Path, number: int | str) -> tuple[str, str]:
    return f"data.split_file={file}", f"data.fold={number}"


def units_of(data: MultiDatasetDM, part: int) -> set[str]:
    """What is shown in the rows of a part, over all sessions; a unit is an image or a trial."""
    found = set()
    for session, parts in zip(data.sessions, data.parts, strict=True):
        shown = np.array(stimulus_digests(session), np.uint64)[session.trial]
        found |= set(map(unit_name, np.unique(shown[parts == part]).tolist()))
    return found


@pytest.mark.parametrize("what", ["images", "movies"])
def test_each_fold_holds_out_exactly_its_units_in_every_session(
    request: pytest.FixtureRequest, tmp_path: Path, what: str
) -> None:
    root = request.getfixturevalue(what)
    settings = () if what == "images" else (HISTORY,)
    own = ready(root, tmp_path, *settings)
    split, file = dealt(root, tmp_path, *settings)
    assert set(split.units) == units_of(own, TRAIN) | units_of(own, VALIDATION)
    trained = []
    for number in range(4):
        data = ready(root, tmp_path, *settings, *fold(file, number))
        held = split.held_out(number)
        assert units_of(data, VALIDATION) == held
        assert units_of(data, TRAIN) == set(split.units) - held
        assert not units_of(data, TEST) and set(data.test_loaders()) == {"held_out"}
        assert set(data.predicted_units()) == held
        trained.append(frozenset(units_of(data, TRAIN)))
        rows = [np.flatnonzero(p == TRAIN) for p in data.parts]
        rates = [s.responses[r].sum(0) / s.valid[r].sum(0)
                 for s, r in zip(data.sessions, rows, strict=True)]  # fmt: skip
        learned = [card.mean_rates for card in data.learned.sessions.values()]
        np.testing.assert_allclose(np.concatenate(rates), np.concatenate(learned), rtol=1e-5)
    assert len(set(trained)) == 4


def test_all_trains_on_what_would_train_or_validate_and_the_tests_stay(
    images: Path, tmp_path: Path
) -> None:
    own = ready(images, tmp_path)
    split, file = dealt(images, tmp_path)
    data = ready(images, tmp_path, *fold(file, "all"))
    assert units_of(data, TRAIN) == set(split.units) and not units_of(data, VALIDATION)
    for mine, theirs in zip(data.parts, own.parts, strict=True):
        np.testing.assert_array_equal(mine == TEST, theirs == TEST)


def test_stretches_of_one_long_trial_are_held_out_behind_an_embargo(tmp_path: Path) -> None:
    arrays = movie_arrays(0, trials=30) | {"trial": np.zeros(600, np.int64)}
    root = write(tmp_path / "data", "long", arrays)
    stretches = ("data.split.block_seconds=4", "data.split.embargo_seconds=0.3", HISTORY)
    split, file = dealt(root, tmp_path, *stretches, folds=3)
    for number in range(3):
        data = ready(root, tmp_path, *stretches, *fold(file, number))
        part = data.parts[0]
        assert set(data.predicted_units()) == split.held_out(number)
        for border in np.flatnonzero(np.diff(part == VALIDATION)) + 1:
            around = part[max(0, border - 3) : border + 3]
            assert TRAIN not in around and LEFT_OUT in around  # 0.3 s are three frames


def test_a_session_that_a_fold_leaves_nothing_of_is_said(images: Path, tmp_path: Path) -> None:
    split = fold_split(TASK, config(images), tmp_path, folds=2)
    only = fold_split(TASK, config(images, "data.only=['WE_000001']"), tmp_path, folds=2)
    shared = set(only.units)
    places = tuple(int(unit in shared) for unit in split.units)
    write_split(split.model_copy(update={"fold_of": (places,)}), tmp_path / "split.json")
    with pytest.raises(DataError, match="session .*: nothing of it trains in this fold"):
        ready(images, tmp_path, *fold(tmp_path / "split.json", 1))


# ---- runs


def made(home: Path, root: Path, *overrides: str) -> Run:
    quick = ("training.max_epochs=2", "training.accelerator=cpu", "training.batch_size=16")
    scored = ("evaluation.bootstrap=0", "evaluation.drawn_sessions=0")
    settings = (f"data.root={root}", *IMAGE_MODEL, *quick, *scored, *overrides)
    return api.train("neural", *settings, home=home)


def test_a_run_on_a_fold_keeps_what_it_expects_of_each_held_out_row(
    images: Path, tmp_path: Path
) -> None:
    split, file = dealt(images, tmp_path)
    run = made(tmp_path, images, *fold(file, 1), "evaluation.baselines=false")
    assert {name.split("/")[0] for name in run.metrics} == {"held_out"}
    rows = pq.read_table(run.path / "out_of_fold.parquet")
    tables = rows["table"].to_pylist()
    assert set(rows["fold_unit"].to_pylist()) == split.held_out(1)
    assert set(tables) == {name.split("/")[1].removeprefix("session ")
                                  for name in run.metrics if "/session " in name}  # fmt: skip
    first = rows.filter([table == tables[0] for table in tables])
    frames = first["frame"].to_pylist()
    assert frames == sorted(frames) and first.columns[3].null_count == 0
    again = api.evaluate(run, home=tmp_path)
    assert again.evaluation.metrics == pytest.approx(dict(run.metrics))
    assert again.audit.verdict == "clean"


def test_a_run_on_all_is_tested_beside_all_baselines(images: Path, tmp_path: Path) -> None:
    run = made(tmp_path, images, "data.fold=all")
    assert run.record.best_epoch == 2 and "test/corr" in run.metrics
    assert "gabor_ridge" in run.baselines
    assert "val/" not in (run.path / METRICS).read_text()
