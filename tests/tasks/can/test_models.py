"""The networks: each window by itself, ids in any order, unknown ids, errors that grow."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from made_captures import can_config, write_drive

from tutelage.core.overrides import build_config
from tutelage.tasks.can import CANTask
from tutelage.tasks.can.config import CANConfig
from tutelage.tasks.can.datamodule import CANGraphDataModule
from tutelage.tasks.can.graph_batch import GraphBatch
from tutelage.tasks.can.modules import BaseCANGraphModule, GATModule, VGAEModule

GAT, AUTOENCODER = (), ("mode=autoencoder", "model=vgae")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> CANGraphDataModule:
    """Windows of one simulated drive with attacks."""
    path = tmp_path_factory.mktemp("captures") / "fuzzing.csv"
    write_drive(path, 1, "fuzzing", seconds=12)
    module = CANGraphDataModule(can_config(f"data.root={path}"), path.parent / "cache")
    module.setup("fit")
    return module


def model(data: CANGraphDataModule, *overrides: str) -> BaseCANGraphModule:
    """A model on the scale of the data, in evaluation."""
    torch.manual_seed(0)
    config = can_config(*overrides, "model.layers=2")
    built = CANTask().build(config, data.preprocessing)
    assert isinstance(built, BaseCANGraphModule)
    data.fit_module(built)
    return built.eval()


def permuted(batch: GraphBatch, order: torch.Tensor) -> GraphBatch:
    """The same graphs with their nodes in another order; ``order`` stays within each graph."""
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    return replace(
        batch, x=batch.x[order], id_index=batch.id_index[order], edge_index=place[batch.edge_index]
    )


def shuffled_within(batch: GraphBatch) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    bounds = zip(batch.ptr[:-1].tolist(), batch.ptr[1:].tolist(), strict=True)
    return torch.cat([a + torch.randperm(b - a, generator=generator) for a, b in bounds])


@pytest.mark.parametrize("overrides", [
    GAT,
    ("model.jumping_knowledge=max",),
    ("model.jumping_knowledge=lstm",),
    ("model.edge_features=false",),
    AUTOENCODER,
], ids=lambda overrides: "-".join(overrides) or "gat")  # fmt: skip
@torch.no_grad()
def test_a_window_s_score_depends_on_nothing_else_in_the_batch(
    data: CANGraphDataModule, overrides: tuple[str, ...]
) -> None:
    module = model(data, *overrides)
    together = module.scores(data.store.batch(torch.arange(24)))
    alone = torch.cat([module.scores(data.store.batch(torch.tensor([k]))) for k in range(24)])
    backwards = module.scores(data.store.batch(torch.arange(23, -1, -1)))
    assert together.std() > 0
    assert torch.allclose(together, alone, atol=1e-5, rtol=1e-4)
    assert torch.allclose(together, backwards.flip(0), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("overrides", [GAT, AUTOENCODER], ids=["gat", "vgae"])
@torch.no_grad()
def test_the_order_of_nodes_and_edges_does_not_matter(
    data: CANGraphDataModule, overrides: tuple[str, ...]
) -> None:
    module = model(data, *overrides)
    batch = data.store.batch(torch.arange(8))
    expected = module.scores(batch)
    moved = permuted(batch, shuffled_within(batch))
    assert not torch.equal(moved.id_index, batch.id_index)
    assert torch.allclose(module.scores(moved), expected, atol=1e-5, rtol=1e-4)
    edges = torch.randperm(batch.edge_index.shape[1], generator=torch.Generator().manual_seed(2))
    other = replace(batch, edge_index=batch.edge_index[:, edges], edge_attr=batch.edge_attr[edges])
    assert torch.allclose(module.scores(other), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_edge_features_act_where_they_are_on_and_only_there(data: CANGraphDataModule) -> None:
    batch = data.store.batch(torch.arange(8))
    changed = replace(batch, edge_attr=batch.edge_attr.flip(0))
    seeing, blind = model(data), model(data, "model.edge_features=false")
    assert not torch.allclose(seeing.scores(batch), seeing.scores(changed))
    assert torch.equal(blind.scores(batch), blind.scores(changed))


@pytest.mark.parametrize("overrides", [GAT, AUTOENCODER], ids=["gat", "vgae"])
@torch.no_grad()
def test_a_window_of_ids_never_seen_is_scored(
    data: CANGraphDataModule, overrides: tuple[str, ...]
) -> None:
    module = model(data, *overrides)
    batch = data.store.batch(torch.arange(4))
    unknown = replace(batch, id_index=torch.zeros_like(batch.id_index))
    assert module.input.ids.num_embeddings == len(data.learned.profile) + 1
    assert int(batch.id_index.max()) <= len(data.learned.profile)
    assert torch.isfinite(module.scores(unknown)).all()


@torch.no_grad()
def test_features_far_from_training_are_bounded(data: CANGraphDataModule) -> None:
    module = model(data)
    batch = data.store.batch(torch.arange(4))
    wild = replace(batch, x=batch.x * 1e6, edge_attr=batch.edge_attr * 1e6)
    assert module.input.scale_nodes(wild.x).abs().max() <= module.input.LIMIT
    assert torch.isfinite(module.scores(wild)).all()


def trained(data: CANGraphDataModule, *overrides: str, steps: int = 60) -> BaseCANGraphModule:
    module = model(data, *overrides).train()
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    windows = data.train_windows
    if overrides:
        windows = windows[data.store.y[windows] == 0]
    batch = data.store.batch(windows)
    for _ in range(steps):
        optimizer.zero_grad()
        module.step(batch)["loss"].backward()
        optimizer.step()
    return module.eval()


def test_a_trained_autoencoder_errs_more_on_altered_windows(data: CANGraphDataModule) -> None:
    module = trained(data, *AUTOENCODER)
    assert isinstance(module, VGAEModule)
    benign = data.validation_windows[data.store.y[data.validation_windows] == 0]
    batch = data.store.batch(benign)
    altered = replace(batch, x=batch.x[torch.randperm(len(batch.x))])
    with torch.no_grad():
        before, after = module.scores(batch), module.scores(altered)
        untrained = model(data, *AUTOENCODER).scores(batch)
    assert before.median() < untrained.median()
    assert after.median() > before.median() + 0.5
    assert (after > before).float().mean() > 0.75


@torch.no_grad()
def test_an_autoencoder_s_score_is_the_error_of_the_worst_node(data: CANGraphDataModule) -> None:
    module = model(data, *AUTOENCODER)
    assert isinstance(module, VGAEModule)
    batch = data.store.batch(torch.arange(6))
    parts = module.network(batch.x, batch.id_index, batch.edge_index, batch.edge_attr)
    errors = (parts.feature_error + module.id_weight * parts.id_error).tolist()
    bounds = batch.ptr.tolist()
    worst = [max(errors[a:b]) for a, b in zip(bounds, bounds[1:], strict=False)]
    assert torch.allclose(module.scores(batch), torch.tensor(worst))


def test_a_trained_classifier_tells_attacks_apart(data: CANGraphDataModule) -> None:
    module = trained(data)
    assert isinstance(module, GATModule)
    batch = data.store.batch(data.train_windows)
    with torch.no_grad():
        score = module.scores(batch)
    assert score[batch.y == 1].mean() > score[batch.y == 0].mean() + 0.5


def test_every_parameter_of_a_model_gets_a_gradient(data: CANGraphDataModule) -> None:
    for overrides in (GAT, AUTOENCODER):
        module = model(data, *overrides).train()
        module.step(data.store.batch(data.train_windows))["loss"].backward()
        idle = [n for n, p in module.named_parameters() if p.grad is None or not p.grad.any()]
        assert idle == []


def test_evaluation_draws_nothing_at_random(data: CANGraphDataModule) -> None:
    batch = data.store.batch(torch.arange(8))
    for overrides in (GAT, AUTOENCODER):
        module = model(data, *overrides, "model.dropout=0.5")
        with torch.no_grad():
            assert torch.equal(module.scores(batch), module.scores(batch))


@pytest.mark.parametrize(("preset", "least", "most"), [
    ("teacher", 900_000, 1_300_000),
    ("student", 40_000, 65_000),
    ("student-small", 12_000, 20_000),
    ("student-tiny", 2_000, 5_000),
    ("vgae-teacher", 700_000, 1_300_000),
    ("vgae-student", 30_000, 160_000),
])  # fmt: skip
def test_presets_have_the_sizes_that_they_are_named_for(
    data: CANGraphDataModule, preset: str, least: int, most: int
) -> None:
    task = CANTask()
    config = build_config(CANConfig, [task.preset(preset)])
    task.check(config)
    module = task.build(config, data.preprocessing)
    assert least <= sum(parameter.numel() for parameter in module.parameters()) <= most


def test_validation_metrics_are_what_a_run_may_monitor(data: CANGraphDataModule) -> None:
    module = model(data)
    assert isinstance(module, GATModule)
    logged: dict[str, float] = {}
    module.log = lambda name, value: logged.update({name: float(value)})  # type: ignore[method-assign]
    module.log_dict = lambda values: logged.update(values)  # type: ignore[method-assign]
    with torch.no_grad():
        for batch in data.val_dataloader():
            module.validation_step(batch, 0)
    module.on_validation_epoch_end()
    assert set(logged) == set(module.validation_metrics)


def test_a_forgotten_vehicle_leaves_no_trace_of_its_ids_and_baselines(
    data: CANGraphDataModule,
) -> None:
    module = model(data, "model.vehicle_dropout=0.999").train()
    batch = data.batch_of_size(4)
    stranger = replace(
        batch,
        x=batch.x.masked_fill(module.input.of_profile, 3.0),
        id_index=torch.zeros_like(batch.id_index),
    )

    def seen(graphs: GraphBatch) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(2)
        return module.input.forget_vehicles(
            graphs.x, graphs.id_index, graphs.batch, graphs.num_graphs
        )

    (x, ids), (x_too, ids_too) = seen(batch), seen(stranger)
    assert torch.equal(x, x_too) and torch.equal(ids, ids_too)
    assert not x[:, module.input.of_profile].any() and not ids.any()
    moved = (x - batch.x)[:, ~module.input.of_profile]
    first = batch.batch == 0
    torch.testing.assert_close(moved[first], moved[first][:1].expand_as(moved[first]))
    assert moved[first][0].abs().max() > 0
    module.eval()
    assert seen(batch)[0] is batch.x


def test_without_vehicle_dropout_training_sees_every_baseline(data: CANGraphDataModule) -> None:
    module = model(data, "model.vehicle_dropout=0").train()
    batch = data.batch_of_size(4)
    x, _ = module.input.forget_vehicles(batch.x, batch.id_index, batch.batch, batch.num_graphs)
    assert x is batch.x
