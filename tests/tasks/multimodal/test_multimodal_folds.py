"""Folds of pairs: what belongs together is on one side, and each fold is scored by itself."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from made_pairs import SMALL, make_folder, write_rows

from tutelage import api
from tutelage.core.errors import ConfigError, DataError
from tutelage.core.folds import HELD_OUT, Split, read_split, write_split
from tutelage.core.overrides import build_config
from tutelage.core.store import Run
from tutelage.task import fold_split
from tutelage.tasks.multimodal import MultimodalTask
from tutelage.tasks.multimodal.config import MultimodalConfig
from tutelage.tasks.multimodal.datamodule import DataHandler

FAST = (*SMALL, "training.max_epochs=1", "training.accelerator=cpu")
FOLDS = 3


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """144 drawings, two of each caption."""
    return make_folder(tmp_path_factory.mktemp("data") / "drawings")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def split_file(root: Path, home: Path) -> Path:
    """Three folds of alike categories."""
    path = home / "split.json"
    write_split(fold_split(MultimodalTask(), config(root), home, "stratified", FOLDS), path)
    return path


def config(root: Path, *more: str) -> MultimodalConfig:
    return build_config(MultimodalConfig, [], (f"data.root={root}", *FAST, *more))


def in_fold(root: Path, split: Path, fold: object) -> tuple[str, ...]:
    return (f"data.root={root}", *FAST, f"data.split_file={split}", f"data.fold={fold}")


def prepared(root: Path, home: Path, *more: str) -> DataHandler:
    data = DataHandler(config(root, *more), home)
    data.setup("fit")
    return data


@pytest.fixture(scope="module")
def runs(root: Path, home: Path, split_file: Path) -> list[Run]:
    """A run of each fold."""
    return [
        api.train("multimodal", *in_fold(root, split_file, fold), home=home)
        for fold in range(FOLDS)
    ]


def test_captions_and_looks_are_on_one_side_and_no_test_picture_is_in_a_fold(
    root: Path, home: Path, split_file: Path
) -> None:
    own = prepared(root, home)
    held: list[int] = []
    means, shapes = set(), []
    for fold in range(FOLDS):
        data = prepared(root, home, *in_fold(root, split_file, fold)[-2:])
        assert list(data.test_loaders()) == [HELD_OUT]
        assert np.array_equal(data.test_rows, data.validation_rows)
        assert not np.isin(data.ids[data.train_rows], data.ids[data.test_rows]).any()
        assert not np.isin(data.looks[data.train_rows], data.looks[data.test_rows]).any()
        assert not np.isin(own.test_rows, [*data.train_rows, *data.test_rows]).any()
        shapes.append(Counter(data.pairs.categories[row] for row in data.test_rows))
        held += data.test_rows.tolist()
        means.add(data.learned.mean)
    assert sorted(held) == sorted([*own.train_rows, *own.validation_rows])
    assert len(means) == FOLDS
    for shape in ("circle", "square", "triangle"):
        counts = [found[shape] for found in shapes]
        assert max(counts) - min(counts) <= 2


def test_all_trains_on_what_trains_or_validates(root: Path, home: Path) -> None:
    own, whole = prepared(root, home), prepared(root, home, "data.fold=all")
    assert np.array_equal(whole.train_rows, np.sort([*own.train_rows, *own.validation_rows]))
    assert not len(whole.validation_rows) and np.array_equal(whole.test_rows, own.test_rows)
    run = api.train("multimodal", f"data.root={root}", *FAST, "data.fold=all", home=home)
    assert "test/recall@10" in run.metrics


def test_predictions_of_all_folds_tell_of_each_pair_once_as_predict_does(
    root: Path, home: Path, split_file: Path, runs: list[Run]
) -> None:
    units, split = Counter[tuple[str, str]](), read_split(split_file)
    for fold, run in enumerate(runs):
        assert all(name.startswith("held_out/") for name in run.metrics)
        rows = parquet.read_table(run.path / "out_of_fold.parquet").to_pylist()
        assert {row["fold_unit"] for row in rows} == split.held_out(fold)
        units.update((row["fold_unit"], row["kind"]) for row in rows)
        (table,) = api.predict(run, root, home=home)
        said = {row[:3]: row[3:] for row in table.rows}
        for row in rows:
            kept = [row[name] for name in table.columns[3:]]
            assert kept == pytest.approx(said[row["kind"], row["name"], row["caption"]], abs=1e-5)
    assert units == {(unit, kind): 1 for unit in split.units for kind in ("image", "text")}


def test_a_fold_evaluated_again_has_its_own_scores(home: Path, runs: list[Run]) -> None:
    again = api.evaluate(runs[1], home=home).evaluation.metrics
    assert again == pytest.approx(dict(runs[1].metrics), abs=1e-5)


def test_curriculum_stages_and_a_teacher_work_in_a_fold(
    root: Path, home: Path, split_file: Path, runs: list[Run]
) -> None:
    folded = in_fold(root, split_file, 2)
    for more in (
        ("mode=curriculum", "mode.stages=2", "training.max_epochs=2"),
        ("mode=distillation", f"mode.teacher={runs[2].id}"),
        ("mode=autoencoder", "training.max_epochs=2"),
        ("training.stages=[{epochs: 1, freeze: [text]}, {epochs: 1}]", "training.max_epochs=2"),
    ):
        run = api.train("multimodal", *folded, *more, home=home)
        assert "held_out/recall@10" in run.metrics
        assert all(parent.same_data for parent in run.record.parents)
    stranger = ("mode=distillation", f"mode.teacher={runs[0].id}")
    record = api.train("multimodal", *folded, *stranger, home=home).record
    assert record.audit is not None and "may overlap these tests" in record.audit.findings[-1]
    experts = f"mode.experts=[{runs[0].id}, {runs[1].id}]"
    with pytest.raises(ConfigError, match="fusion .*no folds"):
        fused = (folded[0], *folded[-2:], "mode=fusion", "model=mean", experts)
        api.train("multimodal", *fused, home=home)


def test_a_split_that_tears_a_title_or_is_of_other_pictures_is_refused(
    root: Path, home: Path, split_file: Path, tmp_path: Path
) -> None:
    split = read_split(split_file)
    assert split.groups is not None
    pair = [n for n, group in enumerate(split.groups) if group == split.groups[0]]
    dealt = list(split.fold_of[0])
    dealt[pair[1]] = (dealt[pair[0]] + 1) % FOLDS
    torn = Split.model_validate(split.model_dump() | {"groups": None, "fold_of": (tuple(dealt),)})
    write_split(torn, tmp_path / "torn.json")
    with pytest.raises(DataError, match="on both sides of the fold"):
        prepared(root, home, *in_fold(root, tmp_path / "torn.json", dealt[pair[0]])[-2:])
    other = make_folder(tmp_path / "other", copies=1)
    names = sorted(path.name for path in other.glob("*.png"))
    write_rows(other / "captions.csv", [["image", "caption"], *([n, f"new {n}"] for n in names)])
    with pytest.raises(DataError, match="dealt from other data"):
        prepared(other, home, *in_fold(other, split_file, 0)[-2:])
