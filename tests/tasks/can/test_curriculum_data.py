"""CAN's part in a curriculum: windows in any mix, and as a guide sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from made_captures import SMALL, can_config, write_drive

import tutelage
from tutelage.cli import main
from tutelage.core.errors import ConfigError
from tutelage.core.store import Run
from tutelage.tasks.can.curriculum import EnhancedCANGraphDataModule
from tutelage.tasks.can.datamodule import CANGraphDataModule
from tutelage.tasks.can.modules import GATModule
from tutelage.training.curriculum import Curriculum, CurriculumOrder, Stage

FAST = (*SMALL, "training.accelerator=cpu", "training.max_epochs=2", "training.batch_size=16")
VGAE = (*FAST, "mode=autoencoder", "model=vgae", "model.latent=2")
CURRICULUM = (*FAST, "mode=curriculum", "mode.end_ratio=3")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training captures and a test capture of simulated traffic."""
    folder = tmp_path_factory.mktemp("captures")
    write_drive(folder / "train_01_attack_free" / "attack-free.csv", 1, None)
    write_drive(folder / "train_02_with_attacks" / "DoS.csv", 2, "dos")
    write_drive(folder / "test_01_known" / "DoS.csv", 4, "dos")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def data(root: Path, home: Path) -> EnhancedCANGraphDataModule:
    """The module over `root`, set up."""
    module = EnhancedCANGraphDataModule(can_config(f"data.root={root}"), home)
    module.setup("fit")
    module.mix = torch.arange(module.train_size)
    return module


def test_it_holds_the_windows_of_the_plain_module_and_knows_the_attacked_ones(
    data: EnhancedCANGraphDataModule, home: Path
) -> None:
    plain = CANGraphDataModule(data.config, home)
    plain.setup("fit")
    assert data.train_windows.equal(plain.train_windows)
    labels = plain.store.y[plain.train_windows]
    assert data.positives.equal(labels == 1)
    assert 0 < int(data.positives.sum()) < len(labels)
    places = torch.tensor([3, 0, 3])
    assert data.batch_at(places).window.equal(plain.train_windows[places])


def test_batches_come_as_the_curriculum_orders_them(data: EnhancedCANGraphDataModule) -> None:
    rare, common = data.positives.nonzero().flatten(), (~data.positives).nonzero().flatten()
    drawing = Curriculum((Stage(0, 1.0), Stage(1, 3.0)), 2, rare, common, seed=0)
    data.order = CurriculumOrder(drawing, (8, 12), data.arrange)
    loader = data.train_dataloader()
    for size, share in ((8, 1 / 2), (12, 1 / 4)):
        labels = torch.cat([batch.y for batch in loader])
        assert len(labels) == size * len(data.order)
        assert int(labels.sum()) == round(share * len(labels))


def test_class_weights_and_batch_sizes_follow_the_mix(data: EnhancedCANGraphDataModule) -> None:
    rare, common = data.positives.nonzero().flatten(), (~data.positives).nonzero().flatten()
    config = data.config
    gat = GATModule(config.model, config.training, len(data.learned.profile))  # type: ignore[arg-type]
    data.mix = torch.cat([rare[:10], common[:30]])
    data.fit_module(gat)
    assert gat.loss.class_weights.tolist() == pytest.approx([40 / 60, 40 / 20])
    windows = set(data.train_windows[data.mix].tolist())
    cost = data.store.node_counts + data.store.edge_counts
    largest = max(int(cost[window]) for window in windows)
    batch = data.batch_of_size(1)
    assert len(batch.x) + batch.edge_index.shape[1] == largest
    assert set(data.typical_batch_of_size(32, 0).window.tolist()) <= windows
    data.mix = torch.arange(data.train_size)


def test_a_guide_sees_the_same_windows_with_its_own_vocabulary(
    data: EnhancedCANGraphDataModule, root: Path, home: Path, tmp_path: Path
) -> None:
    write_drive(tmp_path / "train_01_attack_free" / "other.csv", 7, None, "pickup")
    write_drive(tmp_path / "test_01_known" / "DoS.csv", 8, "dos", "pickup")
    other = CANGraphDataModule(can_config(f"data.root={tmp_path}"), home)
    other.setup("fit")
    places = (~data.positives).nonzero().flatten()
    (seen,) = data.encoded_for(other.preprocessing, places)
    (same,) = data.encoded_for(data.preprocessing, places)
    mine = data.batch_at(places)
    assert seen.window.equal(mine.window) and seen.y.equal(mine.y)
    assert not torch.equal(seen.id_index, mine.id_index)
    assert same.x.equal(mine.x) and same.id_index.equal(mine.id_index)
    again = EnhancedCANGraphDataModule(can_config(f"data.root={root}", "data.window=50"), home)
    again.setup("fit")
    with pytest.raises(ConfigError, match="window"):
        again.encoded_for(data.preprocessing, places)


def test_a_guided_curriculum_is_the_same_from_the_command_line_and_from_python(
    root: Path,
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guide = tutelage.train("can", *VGAE, f"data.root={root}", home=home)
    settings = (f"data.root={root}", f"mode.guide={guide.id}", "mode.memory.name=ewc")
    run = tutelage.train("can", *CURRICULUM, *settings, home=home)
    assert [(p.run, p.role) for p in run.record.parents] == [(guide.id, "guide")]
    monkeypatch.setenv("TUTELAGE_HOME", str(home))
    more = ("run.policy=force_new", "--json")
    monkeypatch.setattr("sys.argv", ["tutelage", "train", "can", *CURRICULUM, *settings, *more])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    typed = json.loads(capsys.readouterr().out)
    assert typed["run"] != run.id and typed["metrics"] == run.metrics
    assert (Path(typed["path"]) / "model.safetensors").read_bytes() == weights(run)


def weights(run: Run) -> bytes:
    return (run.path / "model.safetensors").read_bytes()


def test_a_run_that_scores_no_anomalies_is_no_guide(root: Path, home: Path) -> None:
    gat = tutelage.train("can", *FAST, f"data.root={root}", home=home)
    settings = (f"data.root={root}", f"mode.guide={gat.id}")
    with pytest.raises(ConfigError, match=r"\(gat\) can't say how hard") as caught:
        tutelage.train("can", *CURRICULUM, *settings, home=home)
    assert f"mode.guide={gat.id}" in str(caught.value)
