"""Folds of captures: pieces of time, an embargo apart, learned from and scored by themselves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from made_captures import can_config, capture, noise, write_drive

from tutelage.core.errors import DataError
from tutelage.core.folds import HELD_OUT, Split, read_split, write_split
from tutelage.task import fold_split
from tutelage.tasks.can import CANTask
from tutelage.tasks.can.config import CANConfig
from tutelage.tasks.can.datamodule import CANGraphDataModule
from tutelage.tasks.can.division import Division
from tutelage.tasks.can.evaluation import evaluate
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.modules import GATModule
from tutelage.tasks.can.pool import PIECES, Pool, read_pool
from tutelage.tasks.can.simulator import write_csv
from tutelage.tasks.can.splits import pool_captures, window_times

TRAIN, TEST = "train_02_with_attacks", "test_01_known_vehicle_known_attack"
EMBARGO = "data.embargo_seconds=0.2"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An attack-free capture, one that validates, two with attacks, and one that tests."""
    folder = tmp_path_factory.mktemp("captures")
    write_drive(folder / "train_01_attack_free" / "attack-free.csv", 1, None)
    write_drive(folder / "val_01" / "attack-free.csv", 6, None)
    write_drive(folder / TRAIN / "DoS.csv", 2, "dos")
    write_drive(folder / TRAIN / "fuzzing.csv", 3, "fuzzing")
    write_drive(folder / TEST / "DoS.csv", 4, "dos")
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def split_file(root: Path, cache: Path) -> Path:
    """Three folds of them."""
    config = can_config(f"data.root={root}", EMBARGO)
    path = cache / "split.json"
    write_split(fold_split(CANTask(), config, cache, "stratified", 3), path)
    return path


def settings(root: Path, split: Path, fold: object, *more: str) -> CANConfig:
    return can_config(
        f"data.root={root}", EMBARGO, f"data.split_file={split}", f"data.fold={fold}", *more
    )


def prepared(config: CANConfig, cache: Path) -> CANGraphDataModule:
    data = CANGraphDataModule(config, cache)
    data.batch_size = 16
    data.setup("fit")
    return data


def changed(split: Split, **update: object) -> Split:
    """A split as a person might edit it, with a digest that fits."""
    return Split.model_validate(split.model_dump() | update)


def pool_of(captures: Sequence[tuple[str, Frames]], *overrides: str) -> Pool:
    data = can_config(*overrides).data
    every = [capture("train", name, frames) for name, frames in captures]
    test = capture("test_01", "other", noise(2.0, seed=99))
    return Pool.of(Division(pool_captures([*every, test], data), 0.0, ()), data)


@pytest.mark.parametrize("stride", [40, 100, 130])
@pytest.mark.parametrize("seconds", [1.0, 9.0, 31.0, 200.0])
def test_each_window_of_the_pool_is_in_one_piece(stride: int, seconds: float) -> None:
    frames = noise(seconds)
    pool = pool_of([("drive", frames)], f"data.stride={stride}")
    count = len(window_times(frames, 100, stride)[0])
    times_in = sum(piece.mask(count).astype(int) for piece in pool.pieces)
    assert (times_in == 1).all()
    assert 1 <= len(pool.pieces) <= PIECES
    assert sum(piece.size for piece in pool.pieces) == count
    lengths = [piece.size for piece in pool.pieces]
    assert max(lengths) - min(lengths) <= 3


def test_a_piece_says_its_vehicle_and_the_attack_that_is_in_it() -> None:
    attacked = noise(40.0, attacked=slice(12_000, 13_000))
    pool = pool_of([("DoS-kia-soul", attacked)])
    kinds = [piece.stratum for piece in pool.pieces]
    assert kinds == ["kia soul attack-free"] * 2 + ["kia soul DoS-kia-soul"] + [
        "kia soul attack-free"
    ]


def test_the_name_of_a_piece_tells_its_content_and_no_window() -> None:
    def ids(seed: int, *more: str) -> list[str]:
        data = can_config(*more).data
        frames = noise(45.0, seed)
        made = capture("train", "drive", frames, digest=f"content {seed}")
        test = capture("test_01", "other", noise(2.0, seed=99))
        pool = Pool.of(Division(pool_captures([made, test], data), 0.0, ()), data)
        return [piece.id for piece in pool.pieces]

    assert len(ids(0)) == 4 and ids(0)[0].startswith("train/drive#1@")
    assert ids(0) == ids(0, "data.window=64", "data.stride=32")
    assert not set(ids(0)) & set(ids(1))


def test_pieces_of_two_captures_that_share_traffic_are_of_one_group() -> None:
    one, two = noise(120.0, 1), noise(120.0, 2)
    two.payload[3_000:5_500] = one.payload[43_000:45_500]
    two.arbitration_id[3_000:5_500] = one.arbitration_id[43_000:45_500]
    pool = pool_of([("one", one), ("two", two), ("three", noise(60.0, 3))])
    together = [p.id.split("@")[0] for p in pool.pieces if p.group != p.id]
    assert together == ["train/two#1"]
    named = {p.id: p for p in pool.pieces}
    (group,) = {p.group for p in pool.pieces if p.group != p.id}
    assert named[group].id.startswith("train/one#8@")


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_a_fold_trains_outside_the_embargo_of_what_it_holds_out(
    root: Path, cache: Path, split_file: Path, fold: int
) -> None:
    data = prepared(settings(root, split_file, fold), cache)
    assert list(data.tests) == [HELD_OUT]
    assert data.train_windows.numel() and data.validation_windows.numel()
    scored = sum(len(test.windows) for test in data.tests[HELD_OUT])
    assert scored == len(data.validation_windows)
    store = data.store
    for number in store.capture.unique():
        mine = store.capture == number
        train = data.train_windows[mine[data.train_windows]]
        held = data.validation_windows[mine[data.validation_windows]]
        if not len(train) or not len(held):
            continue
        after = store.start_time[train][:, None] - store.end_time[held]
        before = store.start_time[held] - store.end_time[train][:, None]
        assert torch.maximum(after, before).min() > 0.2
    contents = store.content_digests()
    assert not np.isin(contents[data.train_windows], contents[data.validation_windows]).any()


def test_folds_hold_out_different_windows_and_together_all_of_them(
    root: Path, cache: Path, split_file: Path
) -> None:
    held: list[tuple[str, int]] = []
    trained, profiles, scalers = set(), set(), set()
    for fold in range(3):
        config = settings(root, split_file, fold)
        data = prepared(config, cache)
        for test in data.tests[HELD_OUT]:
            held += [(test.capture.label, window) for window in test.windows.tolist()]
        trained.add(tuple(data.train_windows.tolist()))
        profiles.add(json.dumps(data.learned.profile.to_json()))
        module = GATModule(config.model, config.training, len(data.learned.profile))  # type: ignore[arg-type]
        data.fit_module(module)
        scalers.add(json.dumps([part.tolist() for part in module.input.buffers()]))
        assert set(CANTask().predicted_units(data)) == read_split(split_file).held_out(fold)
    pool = read_pool(can_config(f"data.root={root}", EMBARGO).data, cache)
    assert len(held) == len(set(held)) == sum(piece.size for piece in pool.pieces)
    assert len(trained) == len(profiles) == len(scalers) == 3
    assert {label.split("/")[0] for label, _ in held} == {"train_01_attack_free", "val_01", TRAIN}


def test_no_test_capture_is_opened_in_a_fold(root: Path, cache: Path, split_file: Path) -> None:
    parsed = cache / "captures"
    assert parsed.is_dir()
    before = {path.name: path for path in parsed.iterdir()}
    for path in before.values():
        path.unlink()
    prepared(settings(root, split_file, 0), cache)
    assert len(list(parsed.iterdir())) == len(before) - 1 == 4
    prepared(settings(root, split_file, "all"), cache)
    assert {path.name for path in parsed.iterdir()} == set(before)


def test_ids_that_only_the_held_out_pieces_have_are_unknown(tmp_path: Path) -> None:
    folder, cache = tmp_path / "data", tmp_path / "cache"
    strange = noise(10.0, 5)
    strange.arbitration_id[:] += 0x200
    for name, frames in (("one", noise(10.0, 1)), ("two", noise(10.0, 2)), ("three", strange)):
        (folder / "train_01").mkdir(parents=True, exist_ok=True)
        write_csv(frames, folder / "train_01" / f"{name}.csv")
    config = can_config(f"data.root={folder}")
    split = fold_split(CANTask(), config, cache, "kfold", 3)
    assert len(split.units) == 3
    write_split(split, tmp_path / "split.json")
    seen = []
    for fold in range(3):
        more = (f"data.split_file={tmp_path / 'split.json'}", f"data.fold={fold}")
        data = prepared(can_config(f"data.root={folder}", *more), cache)
        assert data.audit.verdict == "clean"
        (name,) = (test.capture.name for test in data.tests[HELD_OUT])
        seen.append((name, any(i >= 0x300 for i in data.learned.profile.ids.tolist())))
    assert dict(seen) == {"one": True, "two": True, "three": False}


def test_folds_hold_out_whole_captures_or_whole_vehicles_where_asked(tmp_path: Path) -> None:
    drives = [("DoS-kia", 1), ("rpm-kia", 2), ("DoS-sonata", 3), ("rpm-sonata", 4)]
    captures = [(name, noise(40.0, seed)) for name, seed in drives]
    groups = {
        by: {
            frozenset(p.capture for p in pool.pieces if p.group == group)
            for group in {p.group for p in pool.pieces}
        }
        for by in ("capture", "vehicle")
        for pool in [pool_of(captures, f"data.fold_by={by}")]
    }
    assert groups["capture"] == {frozenset([f"train/{name}"]) for name, _ in drives}
    assert groups["vehicle"] == {
        frozenset(f"train/{name}" for name, _ in drives if name.endswith(vehicle))
        for vehicle in ("kia", "sonata")
    }
    with pytest.raises(DataError, match="train/drive tells no vehicle"):
        pool_of([*captures, ("drive", noise(40.0, 5))], "data.fold_by=vehicle")


def test_a_fold_by_vehicle_knows_no_id_of_the_one_held_out(tmp_path: Path) -> None:
    folder, cache = tmp_path / "data", tmp_path / "cache"
    for seed, vehicle in enumerate(("hatchback", "pickup")):
        path = folder / "train_01" / f"attack-free-{vehicle}.csv"
        write_drive(path, seed, None, vehicle)
    by = (f"data.root={folder}", EMBARGO, "data.fold_by=vehicle")
    split = fold_split(CANTask(), can_config(*by), cache, folds=2)
    write_split(split, tmp_path / "split.json")
    more = (f"data.split_file={tmp_path / 'split.json'}", "data.fold=0")
    data = prepared(can_config(*by, *more), cache)
    (held,) = data.tests[HELD_OUT]
    unknown = set(held.capture.frames.arbitration_id.tolist())
    assert not unknown <= set(data.learned.profile.ids.tolist())
    assert len(data.learned.vehicles) == 1 and len(data.learned.trained_on) == 1


def test_what_stands_in_a_test_capture_too_is_in_no_fold(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    test, rest = noise(12.0, 1), noise(30.0, 2)
    parts = ("arbitration_id", "dlc", "payload", "label")
    both = Frames(
        np.concatenate([test.timestamp, rest.timestamp + 40.0]),
        *(np.concatenate([getattr(test, name), getattr(rest, name)]) for name in parts),
    )
    for place, frames in (("train_01/both", both), ("test_01/test", test)):
        path = folder / f"{place}.csv"
        path.parent.mkdir(parents=True)
        write_csv(frames, path)
    pool = read_pool(can_config(f"data.root={folder}").data, tmp_path / "cache")
    first = min(start for piece in pool.pieces for start, _ in piece.runs)
    assert 59 <= first <= 61  # the 60 windows of the first twelve seconds stand in both
    assert any("also stands in" in finding for finding in pool.findings)


def test_all_trains_on_the_whole_pool_and_tests_what_tests(
    root: Path, cache: Path, split_file: Path
) -> None:
    for config in (
        settings(root, split_file, "all"),
        can_config(f"data.root={root}", EMBARGO, "data.fold=all"),
    ):
        data = prepared(config, cache)
        assert list(data.tests) == [TEST] and not len(data.validation_windows)
        pool = read_pool(config.data, cache)
        repeats = [f for f in data.audit.findings if "repeats" in f]
        assert len(data.train_windows) == sum(p.size for p in pool.pieces) or repeats
        assert "val_01/attack-free" in data.learned.trained_on.values()
        assert not data.learned.validated_on


def test_thresholds_are_chosen_on_what_trained_and_the_fold_is_scored(
    root: Path, cache: Path, split_file: Path
) -> None:
    config = settings(root, split_file, 1)
    data = prepared(config, cache)
    module = GATModule(config.model, config.training, len(data.learned.profile))  # type: ignore[arg-type]
    data.fit_module(module)
    found = evaluate(module, data)
    assert not data.held_out
    assert sum(len(one.windows) for one in data.trained) == len(data.train_windows)
    points = data.learned.operating
    assert points is not None and points.hours * 3600 < sum(
        float((s.end_time - s.start_time)[t.windows].sum()) for t in data.trained for s in [t.store]
    )
    assert {"held_out/f1", "held_out/event_recall", "held_out/recall@10"} <= set(found.metrics)
    assert all(key.startswith("held_out/") for key in found.metrics)
    assert {"held_out/f1"} <= set(found.baselines["always_alarm"])


def test_a_fold_is_scored_again_on_what_it_held_out(
    root: Path, cache: Path, split_file: Path
) -> None:
    config = settings(root, split_file, 0)
    data = prepared(config, cache)
    again = CANGraphDataModule(config, cache, data.learned)
    again.setup("test")
    assert list(again.tests) == [HELD_OUT]
    for one, other in zip(data.tests[HELD_OUT], again.tests[HELD_OUT], strict=True):
        assert one.capture.label == other.capture.label
        assert torch.equal(one.windows, other.windows)


def test_an_attack_is_counted_once_in_each_stretch_that_is_held_out(tmp_path: Path) -> None:
    folder, cache = tmp_path / "data", tmp_path / "cache"
    (folder / "train_01").mkdir(parents=True)
    attacked = noise(60.0, 1, attacked=slice(2_000, 28_000))
    write_csv(attacked, folder / "train_01" / "DoS.csv")
    write_csv(noise(60.0, 2), folder / "train_01" / "attack-free.csv")
    config = can_config(f"data.root={folder}", "data.test_fraction=0.01")
    split = fold_split(CANTask(), config, cache, "kfold", 2)
    pool = read_pool(config.data, cache)
    mine = [p.id for p in pool.pieces if p.capture == "train_01/DoS"]
    alternate = {unit: mine.index(unit) % 2 if unit in mine else 0 for unit in split.units}
    alternate[next(unit for unit in split.units if unit not in mine)] = 1
    dealt = tuple(alternate[unit] for unit in split.units)
    path = tmp_path / "split.json"
    write_split(changed(split, fold_of=(dealt,)), path)
    more = (f"data.split_file={path}", "data.fold=1", "data.test_fraction=0.01")
    config = can_config(f"data.root={folder}", *more)
    data = prepared(config, cache)
    module = GATModule(config.model, config.training, len(data.learned.profile))  # type: ignore[arg-type]
    found = evaluate(module, data)
    assert found.metrics["held_out/events"] == len(mine) // 2
    always = found.baselines["always_alarm"]
    assert always["held_out/event_recall"] == 1
    assert always["held_out/time_to_detection"] < 1


def without_one(split: Split) -> Split:
    return changed(split, units=split.units[1:], groups=(split.groups or split.units)[1:],
                   fold_of=tuple(fold[1:] for fold in split.fold_of))  # fmt: skip


def test_a_split_that_lacks_a_unit_or_knows_one_too_many_is_refused(
    root: Path, cache: Path, split_file: Path, tmp_path: Path
) -> None:
    split = read_split(split_file)
    wrong = tmp_path / "wrong.json"
    edits = {
        "does not know 1 units": without_one(split),
        "1 of its units are not there": changed(
            split,
            units=(*split.units, "train/other#1"),
            groups=(*(split.groups or ()), "train/other#1"),
            fold_of=tuple((*fold, 0) for fold in split.fold_of),
        ),
    }
    for said, edited in edits.items():
        write_split(edited, wrong)
        with pytest.raises(DataError, match=said) as refused:
            prepared(settings(root, wrong, 0), cache)
        assert "Deal" in str(refused.value)


def test_a_split_with_a_group_on_both_sides_is_refused(tmp_path: Path) -> None:
    folder, cache = tmp_path / "data", tmp_path / "cache"
    (folder / "train_01").mkdir(parents=True)
    one, two = noise(120.0, 1), noise(120.0, 2)
    two.payload[3_000:5_500] = one.payload[43_000:45_500]
    two.arbitration_id[3_000:5_500] = one.arbitration_id[43_000:45_500]
    write_csv(one, folder / "train_01" / "one.csv")
    write_csv(two, folder / "train_01" / "two.csv")
    config = can_config(f"data.root={folder}")
    split = fold_split(CANTask(), config, cache, "grouped", 2)
    assert split.groups is not None
    torn = next(n for n, group in enumerate(split.groups) if group != split.units[n])
    dealt = list(split.fold_of[0])
    dealt[torn] = 1 - dealt[torn]
    path = tmp_path / "split.json"
    write_split(changed(split, groups=None, fold_of=(tuple(dealt),)), path)
    more = (f"data.split_file={path}", "data.fold=0")
    with pytest.raises(DataError, match="on both sides of the fold"):
        prepared(can_config(f"data.root={folder}", *more), cache)


def test_a_split_of_other_captures_is_refused_and_of_other_windows_fits(
    root: Path, cache: Path, split_file: Path, tmp_path: Path
) -> None:
    write_drive(tmp_path / "train_01" / "one.csv", 11, None)
    write_drive(tmp_path / TRAIN / "DoS.csv", 12, "dos")
    with pytest.raises(DataError, match="dealt from other data"):
        prepared(settings(tmp_path, split_file, 0), cache)
    shorter = prepared(settings(root, split_file, 0, "data.window=50", "data.stride=50"), cache)
    assert set(CANTask().predicted_units(shorter)) == read_split(split_file).held_out(0)
