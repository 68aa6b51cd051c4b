"""The CAN data module learns from training windows alone and orders batches by seed and epoch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from made_captures import can_config, write_drive

from tutelage.core.errors import ConfigError, DataError
from tutelage.tasks.can.captures import captures_fingerprint, load_dataset
from tutelage.tasks.can.datamodule import CANGraphDataModule, create_dataloaders
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.graph_batch import GraphBatch
from tutelage.tasks.can.graphs import NODE_FEATURES
from tutelage.tasks.can.modules import GATModule, VGAEModule
from tutelage.tasks.can.overlap import LIMIT
from tutelage.tasks.can.preprocessing import Preprocessing
from tutelage.tasks.can.simulator import write_csv

TRAIN, TEST = "train_02_with_attacks", "test_01_known_vehicle_known_attack"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training captures and two test captures of simulated traffic."""
    folder = tmp_path_factory.mktemp("captures")
    write_drive(folder / "train_01_attack_free" / "attack-free.csv", 1, None)
    write_drive(folder / TRAIN / "DoS.csv", 2, "dos")
    write_drive(folder / TRAIN / "fuzzing.csv", 3, "fuzzing")
    write_drive(folder / TEST / "DoS.csv", 4, "dos")
    write_drive(folder / TEST / "replay.csv", 5, "replay", "pickup")
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def data(root: Path, cache: Path) -> CANGraphDataModule:
    """The module over `root`, set up."""
    module = CANGraphDataModule(can_config(f"data.root={root}"), cache)
    module.batch_size = 16
    module.setup("fit")
    return module


def gat(data: CANGraphDataModule, *overrides: str) -> GATModule:
    config = can_config(f"data.root={data.config.data.root}", *overrides)
    return GATModule(config.model, config.training, len(data.learned.profile))  # type: ignore[arg-type]


def windows_of(batches: Iterable[GraphBatch]) -> list[list[int]]:
    return [batch.window.tolist() for batch in batches]


def assert_equal_batches(one: GraphBatch, other: GraphBatch) -> None:
    for field in fields(one):
        assert torch.equal(getattr(one, field.name), getattr(other, field.name)), field.name


def test_training_validation_and_test_windows_are_apart(data: CANGraphDataModule) -> None:
    train, held = set(data.train_windows.tolist()), set(data.validation_windows.tolist())
    assert train and held and not train & held
    assert list(data.tests) == [TEST]
    assert [t.capture.name for t in data.tests[TEST]] == ["DoS", "replay"]
    assert all(len(t.windows) == len(t.store) for t in data.tests[TEST])
    contents = data.store.content_digests()
    tested = np.concatenate([t.store.content_digests() for t in data.tests[TEST]])
    assert not np.isin(contents[data.train_windows], tested).any()
    assert not np.isin(contents[data.train_windows], contents[data.validation_windows]).any()


def test_the_vocabulary_holds_the_ids_of_benign_training_frames_alone(
    data: CANGraphDataModule, root: Path
) -> None:
    captures = {c.label: c.frames for c in load_dataset(data.config.data, data.cache)}
    fuzzed = captures[f"{TRAIN}/fuzzing"]
    benign = set(fuzzed.arbitration_id[fuzzed.label == 0].tolist())
    for name in ("train_01_attack_free/attack-free", f"{TRAIN}/DoS"):
        frames = captures[name]
        benign |= set(frames.arbitration_id[frames.label == 0].tolist())
    known = set(data.learned.profile.ids.tolist())
    assert known and known <= benign
    injected = set(fuzzed.arbitration_id[fuzzed.label == 1].tolist()) - benign
    assert injected and not injected & known
    pickup = set(captures[f"{TEST}/replay"].arbitration_id.tolist())
    assert pickup - known


def test_what_is_learned_does_not_move_with_the_test_captures(
    root: Path, cache: Path, tmp_path: Path, data: CANGraphDataModule
) -> None:
    other = tmp_path / "captures"
    for path in root.glob("train*/*.csv"):
        target = other / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    write_drive(other / TEST / "gear.csv", 77, "gear_spoofing", "estate")
    changed = CANGraphDataModule(can_config(f"data.root={other}"), cache)
    changed.setup("fit")
    assert changed.preprocessing == data.preprocessing
    one, two = gat(data), gat(changed)
    data.fit_module(one)
    changed.fit_module(two)
    assert torch.equal(one.input.node_mean, two.input.node_mean)
    assert torch.equal(one.loss.class_weights, two.loss.class_weights)


def test_the_scaler_and_the_class_weights_come_from_training_windows(
    data: CANGraphDataModule,
) -> None:
    module = gat(data)
    data.fit_module(module)
    batch = data.store.batch(data.train_windows)
    scaled = module.input.scale_nodes(batch.x)
    within = ((batch.x - module.input.node_mean) / module.input.node_std).abs().amax(0) <= 10
    moving = within & (batch.x.std(0) > 1e-6)
    assert moving.sum() > len(NODE_FEATURES) // 2
    assert scaled.mean(0)[moving].abs().max() < 1e-3
    assert (scaled.std(0)[moving] - 1).abs().max() < 1e-3
    attacked = int((batch.y == 1).sum())
    total = len(batch.y)
    assert 0 < attacked < total
    expected = torch.tensor([total / (2 * (total - attacked)), total / (2 * attacked)])
    assert torch.allclose(module.loss.class_weights, expected)


def test_classes_weigh_the_same_when_that_is_asked(root: Path, cache: Path) -> None:
    equal = "model.class_weights=none"
    data = CANGraphDataModule(can_config(f"data.root={root}", equal), cache)
    data.setup("fit")
    module = gat(data, equal)
    data.fit_module(module)
    assert module.loss.class_weights.tolist() == [1.0, 1.0]


def test_the_order_is_a_function_of_seed_and_epoch(data: CANGraphDataModule) -> None:
    loader, again = data.train_dataloader(), data.train_dataloader()
    first, second = windows_of(loader), windows_of(loader)
    assert first != second
    assert [windows_of(again), windows_of(again)] == [first, second]
    for epoch in (first, second):
        assert sorted(sum(epoch, [])) == sorted(data.train_windows.tolist())


def test_another_seed_gives_another_order(root: Path, cache: Path) -> None:
    orders = []
    for seed in (0, 1):
        config = can_config(f"data.root={root}", f"training.seed={seed}")
        module = CANGraphDataModule(config, cache)
        module.setup("fit")
        orders.append(windows_of(module.train_dataloader()))
    assert orders[0] != orders[1]


def test_validation_and_test_batches_come_in_order_of_time(data: CANGraphDataModule) -> None:
    assert sum(windows_of(data.val_dataloader()), []) == data.validation_windows.tolist()
    test = data.tests[TEST][0]
    assert sum(windows_of(test.loader()), []) == test.windows.tolist()


def test_the_batch_of_a_size_is_the_worst_of_that_size(data: CANGraphDataModule) -> None:
    data.batch_size = 8
    costs = [len(b.x) + b.edge_index.shape[1] for _ in range(3) for b in data.train_dataloader()]
    assert data.cost_of_size(8) >= max(costs)
    assert data.cost_of_size(1) == int(
        (data.store.node_counts + data.store.edge_counts)[data.train_windows].max()
    )
    beyond = data.batch_of_size(data.train_size + 5)
    assert beyond.num_graphs == data.train_size + 5


def test_typical_batches_cost_a_graph_what_the_training_windows_do(
    data: CANGraphDataModule,
) -> None:
    costs = (data.store.node_counts + data.store.edge_counts)[data.train_windows]
    batches = [data.typical_batch_of_size(8, draw) for draw in range(3)]
    assert [batch.num_graphs for batch in batches] == [8] * 3
    mean = sum(len(b.x) + b.edge_index.shape[1] for b in batches) / 24
    assert abs(mean - float(costs.float().mean())) < 0.05 * mean
    assert mean < data.cost_of_size(8) / 8


def test_the_cache_gives_the_same_batches(data: CANGraphDataModule, root: Path) -> None:
    again = CANGraphDataModule(can_config(f"data.root={root}"), data.cache)
    again.setup("fit")
    again.batch_size = data.batch_size
    for one, other in zip(data.train_dataloader(), again.train_dataloader(), strict=True):
        assert_equal_batches(one, other)


def test_a_damaged_cache_file_is_built_again_and_named(root: Path, tmp_path: Path) -> None:
    config = can_config(f"data.root={root}")
    first = CANGraphDataModule(config, tmp_path)
    first.setup("fit")
    expected = next(iter(first.train_dataloader()))
    del first
    for path in (tmp_path / "graphs").iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    again = CANGraphDataModule(config, tmp_path)
    again.setup("fit")
    assert sum("rebuilt a damaged cache file" in said for said in again.audit.findings) == 5
    assert_equal_batches(next(iter(again.train_dataloader())), expected)


def test_a_finished_model_meets_every_capture_as_a_test(
    data: CANGraphDataModule, root: Path, tmp_path: Path
) -> None:
    learned = Preprocessing.from_json(data.preprocessing)
    drive = tmp_path / "drive.csv"
    write_drive(drive, 9, "dos", seconds=3)
    module = CANGraphDataModule(can_config(f"data.root={drive}"), tmp_path / "cache", learned)
    module.setup("test")
    assert module.preprocessing == data.preprocessing
    assert list(module.tests) == ["test"]
    assert module.audit.verdict == "clean"


def test_scores_on_a_capture_that_was_wholly_trained_on_prove_nothing(
    data: CANGraphDataModule, root: Path
) -> None:
    learned = Preprocessing.from_json(data.preprocessing)
    config = can_config(f"data.root={root / TRAIN / 'DoS.csv'}")
    module = CANGraphDataModule(config, data.cache, learned)
    module.setup("test")
    assert module.audit.verdict == "leaking"
    (said,) = module.audit.findings
    assert said == f"{TRAIN}/DoS was trained on: its scores prove nothing"


def test_scores_on_a_capture_that_validated_prove_nothing(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "captures"
    for name, source in (("train/a", "DoS"), ("val/b", "fuzzing")):
        (folder / name).parent.mkdir(parents=True)
        (folder / f"{name}.csv").write_bytes((root / TRAIN / f"{source}.csv").read_bytes())
    first = CANGraphDataModule(can_config(f"data.root={folder}"), tmp_path / "cache")
    first.setup("fit")
    assert first.learned.test_fraction and first.audit.verdict == "clean"
    learned = Preprocessing.from_json(first.preprocessing)
    config = can_config(f"data.root={folder / 'val' / 'b.csv'}")
    again = CANGraphDataModule(config, tmp_path / "cache", learned)
    again.setup("test")
    assert again.audit.verdict == "leaking"
    assert again.audit.findings == ("b was validated on: its scores prove nothing",)


def test_of_a_capture_split_by_time_only_what_was_kept_tests_again(
    root: Path, tmp_path: Path
) -> None:
    drive = root / TRAIN / "DoS.csv"
    first = CANGraphDataModule(can_config(f"data.root={drive}"), tmp_path)
    first.setup("fit")
    learned = Preprocessing.from_json(first.preprocessing)
    assert learned.test_fraction == 0.2
    config = can_config(f"data.root={drive}", "data.test_fraction=0.9")
    again = CANGraphDataModule(config, tmp_path, learned)
    again.setup("test")
    assert torch.equal(again.tests["test"][0].windows, first.tests["test"][0].windows)
    assert len(again.tests["test"][0].windows) < len(again.tests["test"][0].store) / 4
    assert again.audit.verdict == "clean"


def test_a_model_of_another_window_is_refused(data: CANGraphDataModule, root: Path) -> None:
    learned = Preprocessing.from_json(data.preprocessing)
    config = can_config(f"data.root={root}", "data.window=50", "data.stride=50")
    module = CANGraphDataModule(config, data.cache, learned)
    with pytest.raises(ConfigError, match=r"data\.window=50 is not the model's window of 100"):
        module.setup("test")


def test_an_autoencoder_sees_benign_windows_alone(data: CANGraphDataModule) -> None:
    attacked = int((data.store.y[data.train_windows] == 1).sum())
    before = data.train_size
    data.keep_normal()
    assert attacked and data.train_size == before - attacked
    for batch in (*data.train_dataloader(), *data.val_dataloader()):
        assert not batch.y.any()


def test_the_autoencoder_s_scaler_comes_from_benign_windows(data: CANGraphDataModule) -> None:
    config = can_config("mode=autoencoder", "model=vgae")
    module = VGAEModule(config.model, config.training, len(data.learned.profile))  # type: ignore[arg-type]
    data.keep_normal()
    data.fit_module(module)
    mean = data.store.batch(data.train_windows).x.double().mean(0).float()
    assert torch.allclose(module.input.node_mean, mean, atol=1e-6)


def copy_of(root: Path, folder: Path, **renamed: str) -> Path:
    """A copy of the captures, and some of them a second time in another split."""
    for path in root.glob("*/*.csv"):
        target = folder / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    for source, target in renamed.items():
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        (folder / target).write_bytes(next(folder.glob(f"*/{source}.csv")).read_bytes())
    return folder


def test_traffic_of_a_test_capture_is_left_out_of_training_under_another_clock(
    root: Path, tmp_path: Path
) -> None:
    folder = copy_of(root, tmp_path / "captures")
    lines = (folder / TEST / "DoS.csv").read_text().splitlines()
    shifted = [lines[0]]
    for line in lines[1:]:
        time, rest = line.split(",", 1)
        shifted.append(f"{float(time) + 1000:.6f},{rest}")
    (folder / TRAIN / "borrowed.csv").write_text("\n".join(shifted) + "\n")
    module = CANGraphDataModule(can_config(f"data.root={folder}"), tmp_path / "cache")
    module.setup("fit")
    assert f"{TRAIN}/borrowed" not in module.learned.trained_on.values()
    assert len(module.learned.trained_on) == 3
    (said,) = [text for text in module.audit.findings if "borrowed" in text]
    assert "100% of its traffic also stands in" in said and f"{TEST}/DoS" in said


def put(frames: Frames, path: Path) -> None:
    """Write frames, with their folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_csv(frames, path)


def test_only_the_stretch_that_also_stands_in_a_test_capture_is_left_out(tmp_path: Path) -> None:
    root = tmp_path / "captures"
    drive = write_drive(root / TRAIN / "drive.csv", 2, "dos", seconds=20)
    write_drive(root / TRAIN / "other.csv", 3, None)
    first = int(np.searchsorted(drive.timestamp, drive.timestamp[0] + 12))
    put(drive[first:][:6000], root / TEST / "part.csv")
    module = CANGraphDataModule(can_config(f"data.root={root}"), tmp_path / "cache")
    module.setup("fit")
    (said,) = [text for text in module.audit.findings if "also stands in" in text]
    found = re.fullmatch(
        rf"{TRAIN}/drive: (\d+) of its {len(drive) // 100} windows left out: "
        rf"(\d+)% of its traffic also stands in {TEST}/part",
        said,
    )
    assert found and int(found[2]) == pytest.approx(100 * 6000 / len(drive), abs=1)
    assert set(module.learned.trained_on.values()) == {f"{TRAIN}/drive", f"{TRAIN}/other"}
    used = torch.cat([module.train_windows, module.validation_windows])
    used = used[used < len(drive) // 100]  # the first capture's
    start, end = (getattr(module.store, name)[used].numpy() for name in ("start_time", "end_time"))
    shared = drive.timestamp[[first, first + 5999]]
    assert ((end < shared[0] - 1) | (start > shared[1] + 1)).all()
    assert (end < shared[0] - 1).any() and (start > shared[1] + 1).any()
    assert int(found[1]) <= 60 + 2 + 2 * len(drive) / 20 / 100 * 1.3


def test_a_short_test_capture_is_found_in_a_long_training_capture(tmp_path: Path) -> None:
    root = tmp_path / "captures"
    drive = write_drive(root / TRAIN / "drive.csv", 2, "dos", seconds=30)
    put(drive[10_000:10_500], root / TEST / "part.csv")
    assert LIMIT * len(drive) > 500
    module = CANGraphDataModule(can_config(f"data.root={root}"), tmp_path / "cache")
    module.setup("fit")
    assert any("of its traffic also stands in" in said for said in module.audit.findings)
    assert not set(range(100, 105)) & set(module.train_windows.tolist())


def test_captures_that_validate_hold_nothing_that_tests(tmp_path: Path) -> None:
    root = tmp_path / "captures"
    write_drive(root / TRAIN / "drive.csv", 2, "dos")
    held = write_drive(root / "val" / "held.csv", 3, "dos")
    put(held[len(held) // 2 :], root / TEST / "part.csv")
    module = CANGraphDataModule(can_config(f"data.root={root}"), tmp_path / "cache")
    module.setup("fit")
    assert any("val/held: " in said and "also stands" in said for said in module.audit.findings)
    assert 0 < len(module.validation_windows) < len(held) // 200
    put(held[:-1], root / TEST / "part.csv")
    again = CANGraphDataModule(can_config(f"data.root={root}"), tmp_path / "cache")
    with pytest.raises(DataError, match="nothing is left for validation"):
        again.setup("fit")


def test_of_two_captures_of_one_drive_the_longer_trains_alone_when_time_splits_them(
    tmp_path: Path,
) -> None:
    root = tmp_path / "captures"
    drive = write_drive(root / "drive.csv", 2, "dos")
    write_drive(root / "other.csv", 3, "dos")
    write_csv(drive[len(drive) // 2 :], root / "again.csv")
    module = CANGraphDataModule(can_config(f"data.root={root}"), tmp_path / "cache")
    module.setup("fit")
    assert set(module.learned.trained_on.values()) == {"drive", "other"}
    said = [text for text in module.audit.findings if "left out: it shares" in text]
    assert said == ["again left out: it shares 100% of its traffic with drive"]
    assert {t.capture.label for t in module.tests["test"]} == {"drive", "other"}


def test_only_the_shared_capture_of_two_with_one_label_is_left_out(
    root: Path, tmp_path: Path
) -> None:
    (tmp_path / "test").mkdir()
    drive = write_drive(tmp_path / "test" / "DoS.csv", 4, "dos")
    (tmp_path / "a").mkdir()
    write_csv(drive[100:], tmp_path / "a" / "drive.csv")
    write_drive(tmp_path / "b" / "drive.csv", 6, "dos")
    module = CANGraphDataModule(can_config(f"data.root={tmp_path}"), tmp_path / "cache")
    module.setup("fit")
    assert list(module.learned.trained_on.values()) == ["b/drive.csv"]
    assert module.train_size


def repeat_window(frames: Frames, source: Frames, target: int, origin: int) -> None:
    """Give a window the ids and payloads of another; its times stay."""
    there, here = slice(100 * origin, 100 * origin + 100), slice(100 * target, 100 * target + 100)
    for name in ("arbitration_id", "dlc", "payload", "label"):
        getattr(frames, name)[here] = getattr(source, name)[there]


def test_windows_whose_content_repeats_across_splits_are_left_out(tmp_path: Path) -> None:
    root = tmp_path / "captures"
    train = write_drive(root / TRAIN / "DoS.csv", 2, "dos")
    test = write_drive(root / TEST / "DoS.csv", 4, "dos")
    config = can_config(f"data.root={root}")
    before = CANGraphDataModule(config, tmp_path / "cache")
    before.setup("fit")
    kept, held = before.train_windows.tolist(), before.validation_windows.tolist()
    repeat_window(train, train, target=held[0], origin=kept[0])
    repeat_window(train, test, target=held[1], origin=20)
    repeat_window(train, test, target=kept[1], origin=21)
    write_csv(train, root / TRAIN / "DoS.csv")
    after = CANGraphDataModule(config, tmp_path / "cache")
    after.setup("fit")
    assert after.train_windows.tolist() == [k for k in kept if k != kept[1]]
    assert after.validation_windows.tolist() == held[2:]
    assert set(after.audit.findings) == {
        "2 windows left out: their content repeats in a test split",
        "1 windows left out: their content repeats in training",
    }


def test_data_whose_training_captures_all_test_are_refused(root: Path, tmp_path: Path) -> None:
    for split in (TRAIN, TEST):
        (tmp_path / split).mkdir()
    content = (root / TEST / "DoS.csv").read_text()
    (tmp_path / TEST / "DoS.csv").write_text(content)
    (tmp_path / TRAIN / "DoS.csv").write_text(content.replace("\n", "\n", 1) + "9.0,100,00,0\n")
    module = CANGraphDataModule(can_config(f"data.root={tmp_path}"), tmp_path / "cache")
    with pytest.raises(DataError, match="nothing is left for training: test captures hold"):
        module.setup("fit")


def test_a_capture_shorter_than_a_window_is_left_out_and_named(root: Path, tmp_path: Path) -> None:
    folder = copy_of(root, tmp_path / "captures")
    lines = (folder / TRAIN / "DoS.csv").read_text().splitlines()
    (folder / TRAIN / "brief.csv").write_text("\n".join(lines[:61]) + "\n")
    module = CANGraphDataModule(can_config(f"data.root={folder}"), tmp_path / "cache")
    module.setup("fit")
    assert f"{TRAIN}/brief left out: its 60 frames are fewer than a window" in module.audit.findings
    assert module.audit.verdict == "warnings"


@pytest.mark.parametrize(("attack", "word"), [(0, "benign"), (1, "attacked")])
def test_training_data_of_one_class_are_refused(
    root: Path, tmp_path: Path, attack: int, word: str
) -> None:
    lines = (root / TRAIN / "DoS.csv").read_text().splitlines()
    rows = [line.rpartition(",")[0] + f",{attack}" for line in lines[1:]]
    if attack:  # an id's baseline needs some benign frames; each window holds an attack
        rows = [row[:-1] + "0" if k % 50 else row for k, row in enumerate(rows)]
    (tmp_path / "drive.csv").write_text("\n".join([lines[0], *rows]) + "\n")
    data = CANGraphDataModule(can_config(f"data.root={tmp_path}"), tmp_path / "cache")
    data.setup("fit")
    with pytest.raises(DataError, match=f"training windows are {word}; nothing to tell apart"):
        data.fit_module(gat(data))


@pytest.mark.parametrize("names", [["drive"], ["drive", "tour"]])
def test_training_data_of_attacks_alone_are_refused_with_their_files(
    root: Path, tmp_path: Path, names: list[str]
) -> None:
    folder = tmp_path / "captures"
    for name, source in zip(names, ("DoS", "fuzzing"), strict=False):
        lines = (root / TRAIN / f"{source}.csv").read_text().splitlines()
        rows = [line.rpartition(",")[0] + ",1" for line in lines[1:]]
        (folder / f"{name}.csv").parent.mkdir(exist_ok=True)
        (folder / f"{name}.csv").write_text("\n".join([lines[0], *rows]) + "\n")
    data = CANGraphDataModule(can_config(f"data.root={folder}"), tmp_path / "cache")
    with pytest.raises(
        DataError, match="benign frames: of (\\d+) frames that train, \\1 are"
    ) as said:
        data.setup("fit")
    assert said.value.problem.endswith(f"labelled attacks, in {', '.join(names)}")
    assert said.value.where == str(folder / "drive.csv" if len(names) == 1 else folder)


def test_loaders_for_a_loop_of_one_s_own(root: Path, cache: Path) -> None:
    train, held, tests = create_dataloaders(can_config(f"data.root={root}"), cache)
    batch = next(iter(train))
    assert batch.num_graphs == 16
    assert set(batch.y.tolist()) <= {0, 1}
    assert list(tests) == [TEST]
    assert sum(len(b.y) for b in held) and sum(len(b.y) for b in tests[TEST])


def test_the_fingerprint_follows_content_not_place(root: Path, tmp_path: Path) -> None:
    there = captures_fingerprint(can_config(f"data.root={root}").data)
    copied = copy_of(root, tmp_path / "moved")
    assert captures_fingerprint(can_config(f"data.root={copied}").data) == there
    with (copied / TRAIN / "DoS.csv").open("a") as file:
        file.write("9.0,100,00,0\n")
    assert captures_fingerprint(can_config(f"data.root={copied}").data) != there


def test_embedded_captures_follow_their_seed(tmp_path: Path) -> None:
    one, two = (can_config(f"data.simulated_seed={seed}").data for seed in (0, 1))
    assert captures_fingerprint(one) != captures_fingerprint(two)
    shorter = can_config("data.simulated_seconds=5").data
    captures = load_dataset(shorter, tmp_path)
    assert len({capture.digest for capture in captures}) == len(captures)
    frames: Frames = captures[0].frames
    assert frames.is_labelled


def test_the_fingerprint_tells_labels_that_changed_beside_a_log(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("(1.0) can0 001#00\n")
    labels = tmp_path / "capture_metadata.json"
    data = can_config(f"data.root={tmp_path}").data
    found = []
    for end in (1.5, 2.5):
        labels.write_text(f'{{"a": {{"injection_interval": [0.5, {end}]}}}}')
        found.append(captures_fingerprint(data))
    assert found[0] != found[1]
