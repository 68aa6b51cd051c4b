"""Two towers train, evaluate beside chance, and predict."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from made_pairs import SMALL, make_folder
from PIL import Image
from safetensors.torch import load_file

from agreeing_blocks import assert_blocks_agree
from tutelage import api
from tutelage.core.errors import ConfigError, DataError
from tutelage.core.overrides import build_config
from tutelage.core.store import METRICS, WEIGHTS, Run, RunStore
from tutelage.losses import LOSSES, BaseContrastiveLoss
from tutelage.report.curves import read_history
from tutelage.report.page import render_page
from tutelage.tasks.multimodal import MultimodalTask
from tutelage.tasks.multimodal.config import MultimodalConfig
from tutelage.tasks.multimodal.datamodule import DataHandler
from tutelage.tasks.multimodal.module import TwoTowerModule
from tutelage.tasks.multimodal.pictures import RIGHT
from tutelage.training.launch import launch


@pytest.fixture(scope="session")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 144 drawings, two of each caption."""
    return make_folder(tmp_path_factory.mktemp("mine"))


def config(root: Path, *overrides: str) -> MultimodalConfig:
    return build_config(MultimodalConfig, [], (*SMALL, f"data.root={root}", *overrides))


def prepared(root: Path, cache: Path, *overrides: str) -> tuple[TwoTowerModule, DataHandler]:
    """A fresh model and its data."""
    settings = config(root, *overrides)
    data = DataHandler(settings, cache)
    data.setup("fit")
    data.batch_size = 32
    torch.manual_seed(0)
    module = TwoTowerModule(settings, data.learned.size)
    data.fit_module(module)
    return module, data


def gradients(module: TwoTowerModule) -> dict[str, torch.Tensor]:
    return {n: p.grad for n, p in module.named_parameters() if p.grad is not None}


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.path / WEIGHTS)


@pytest.fixture(scope="session")
def trained(drawings: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A finished run of eighteen epochs, and its home."""
    home = tmp_path_factory.mktemp("home")
    settings = config(drawings, "training.max_epochs=18", "training.learning_rate=0.005")
    return launch(MultimodalTask(), settings, RunStore(home)).run, home


def test_retrieval_of_captions_never_seen_is_far_above_chance(trained: tuple[Run, Path]) -> None:
    record = trained[0].record
    chance = record.baselines["chance"]["test/recall@5"]
    assert record.metrics["test/recall@5_low"] > 1.5 * chance
    assert record.metrics["test/recall@5"] > 2 * chance
    assert record.metrics["test/zero_shot_accuracy"] > 0.4
    assert [table.title for table in record.tables][:2] == [
        "Retrieval among test pictures",
        "Diagnosis",
    ]
    assert record.audit is not None and record.audit.verdict == "clean"


def test_the_report_shows_what_lies_closest(trained: tuple[Run, Path]) -> None:
    run = trained[0]
    pictures = [name for name in run.record.artifacts if name.endswith(".png")]
    assert len(pictures) == 12
    run.verify_artifacts()
    with Image.open(run.path / "closest-to-caption-01.png") as strip:
        assert strip.size == (5 * 72, 72)
    (table,) = (t for t in run.record.tables if t.title == "Pictures closest to a caption")
    for _, name, place in table.rows:
        first = int(str(place).split(" of ")[0])
        with Image.open(run.path / str(name)) as strip:
            framed = [strip.getpixel((72 * n + 2, 2)) == RIGHT for n in range(5)]
        assert framed.index(True) + 1 == first if any(framed) else first > 5
    html = render_page([run])
    assert html.count('<img src="data:image/png;base64,') == 12
    assert "Diagnosis" in html and "recall@10 by chance" in html


def test_own_data_leave_out_what_training_saw_and_score_the_same(trained: tuple[Run, Path]) -> None:
    run, home = trained
    evaluated = api.evaluate(run, "evaluation.resamples=0", home=home).evaluation
    assert_blocks_agree(evaluated, "test/recall@10")
    again = evaluated.metrics
    assert again["test/recall@10"] == pytest.approx(run.record.metrics["test/recall@10"], abs=1e-6)


def test_prediction_embeds_everything_or_answers_a_sentence(trained: tuple[Run, Path]) -> None:
    run, home = trained
    root = Path(str(run.settings["data"]["root"]))  # type: ignore[index]
    (table,) = api.predict(run, root, home=home)
    kinds = [row[0] for row in table.rows]
    assert kinds.count("image") == kinds.count("text") == 144
    assert table.columns[:4] == ("kind", "name", "caption", "e0")
    (found,) = api.predict(run, root, "evaluation.query=a small blue square", home=home)
    assert len(found.rows) == 5 and found.rows[0][2] >= found.rows[4][2]  # type: ignore[operator]
    assert sum("blue" in str(row[1]) for row in found.rows) >= 2


def test_a_folder_of_pictures_without_captions_is_embedded_but_not_scored(
    trained: tuple[Run, Path], tmp_path: Path
) -> None:
    run, home = trained
    root = Path(str(run.settings["data"]["root"]))  # type: ignore[index]
    for name in ("red-circle-small-0.png", "blue-square-large-1.png"):
        (tmp_path / name).write_bytes((root / name).read_bytes())
    (table,) = api.predict(run, tmp_path, home=home)
    assert [row[:2] for row in table.rows] == [
        ("image", "blue-square-large-1.png"),
        ("image", "red-circle-small-0.png"),
    ]
    with pytest.raises(DataError, match="0 captions are left to score"):
        api.evaluate(run, f"data.root={tmp_path}", home=home)


def test_chunks_give_the_gradients_of_the_whole_batch_under_dropout(
    drawings: Path, tmp_path: Path
) -> None:
    found = []
    for chunk in ("null", "5"):
        options = ("model.text.dropout=0.0", f"training.chunk={chunk}")
        module, data = prepared(drawings, tmp_path, *options)
        module.train()
        torch.manual_seed(1)
        module.step(data.batch_of_size(32))["loss"].backward()
        found.append(gradients(module))
    assert found[0].keys() == found[1].keys()
    assert any("temperature" in name for name in found[0])
    for name, gradient in found[0].items():
        assert torch.allclose(gradient, found[1][name], atol=1e-6), name


def test_a_chunk_s_dropout_repeats_in_the_second_pass(drawings: Path, tmp_path: Path) -> None:
    module, data = prepared(drawings, tmp_path, "model.text.dropout=0.5", "training.chunk=8")
    batch = data.batch_of_size(16)
    module.train()
    found = []
    for epsilon in (0.0, 1e-3, -1e-3):
        bias = module.network.text_projection.bias
        with torch.no_grad():
            bias[0] += epsilon
        torch.manual_seed(2)
        loss = module.double().step(batch._replace(images=batch.images))["loss"]
        if not epsilon:
            loss.backward()
            slope = float(bias.grad[0])
        found.append(float(loss.detach()))
        with torch.no_grad():
            bias[0] -= epsilon
    assert slope == pytest.approx((found[1] - found[2]) / 2e-3, rel=1e-3)


def test_a_frozen_tower_stays_as_it_is_and_its_projection_learns(
    drawings: Path, tmp_path: Path
) -> None:
    settings = config(drawings, "training.max_epochs=1", "model.freeze=[image]")
    run = launch(MultimodalTask(), settings, RunStore(tmp_path)).run
    torch.manual_seed(0)
    fresh = {n: p for n, p in prepared(drawings, tmp_path / "c")[0].named_parameters()}
    ended = weights(run)
    moved = {n for n, p in fresh.items() if not torch.equal(ended[n], p)}
    image = {n for n in fresh if n.startswith("network.image.")}
    assert image and not moved & image
    assert "network.image_projection.weight" in moved


def two_tower_losses() -> Iterable[str]:
    """Names of all losses that train two towers."""
    return sorted(
        {e.name for e in map(LOSSES.get, LOSSES) if issubclass(e.loss, BaseContrastiveLoss)}
    )


@pytest.mark.parametrize("name", two_tower_losses())
def test_every_two_tower_loss_trains_a_step(name: str, drawings: Path, tmp_path: Path) -> None:
    module, data = prepared(drawings, tmp_path, f"model.loss={name}")
    optimizer = torch.optim.SGD(
        [p for _, group in module.parameter_groups() for p in group], lr=1e-2
    )
    batch = data.batch_of_size(16)
    module.train()
    before = {n: p.detach().clone() for n, p in module.network.named_parameters()}
    scalars = module.step(batch)
    scalars["loss"].backward()
    optimizer.step()
    assert bool(torch.isfinite(scalars["loss"]))
    assert all(not value.requires_grad for key, value in scalars.items() if key != "loss")
    moved = [n for n, p in module.network.named_parameters() if not torch.equal(p, before[n])]
    assert any(n.startswith("image.") for n in moved) and any(n.startswith("text.") for n in moved)


def test_a_loss_of_another_kind_is_refused(drawings: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'focal' is no loss of two towers"):
        prepared(drawings, tmp_path, "model.loss=focal")


@pytest.mark.system
def test_samples_are_pictures_or_captions(drawings: Path, tmp_path: Path) -> None:
    _, data = prepared(drawings, tmp_path)
    assert data.train_size == len(data.train_rows)
    _, every = prepared(drawings, tmp_path, "data.samples=captions")
    assert every.train_size == int(every.pairs.captions_of[every.train_rows].sum())
    batch = every.keyed_batch(torch.tensor([3]), torch.tensor([1]))
    assert int(batch.rows) == int(every.pairs.image_of[3])


def test_two_processes_give_the_losses_and_weights_of_one(drawings: Path, tmp_path: Path) -> None:
    options = (
        "training.max_epochs=2",
        "training.optimizer=sgd",
        "training.learning_rate=0.5",
        "training.log_every_n_steps=1",
        "training.accelerator=cpu",
        "model.text.dropout=0",
    )
    whole = ("training.batch_size=32",)
    halves = ("training.batch_size=16", "training.devices=2")
    one, two = (
        launch(MultimodalTask(), config(drawings, *options, *each), RunStore(tmp_path / each[-1]))
        for each in (whole, halves)
    )
    histories = [read_history(each.run.path / METRICS) for each in (one, two)]
    for name in ("train/loss", "val/loss", "val/mrr"):
        alone, together = ([value for _, value in history[name]] for history in histories)
        assert alone == pytest.approx(together, abs=1e-5), name
    ours, theirs = weights(one.run), weights(two.run)
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in ours)
    a, b = one.run.record.metrics, two.run.record.metrics
    assert {name: a[name] for name in a if "recall" in name} == pytest.approx(
        {name: b[name] for name in b if "recall" in name}, abs=1e-5
    )
