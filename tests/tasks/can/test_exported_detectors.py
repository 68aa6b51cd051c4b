"""Exported detectors say what trained ones say, of every window, in whatever form it comes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_captures import can_config, noise, write_drive

from made_runs import finish_run
from tutelage import api
from tutelage.core.errors import (
    CheckpointError,
    ConfigError,
    RequestError,
    StoreError,
    UnknownNameError,
)
from tutelage.core.files import digest_bytes, digest_json, write_json
from tutelage.core.overrides import build_config
from tutelage.core.store import RunStore
from tutelage.tasks.can import CANTask
from tutelage.tasks.can.config import CANConfig, GATConfig
from tutelage.tasks.can.datamodule import CANGraphDataModule
from tutelage.tasks.can.export import INPUTS, exportable, window_network
from tutelage.tasks.can.graph_store import GraphStore
from tutelage.tasks.can.graphs import Graphs, build_graphs
from tutelage.tasks.can.ingest import read_frames
from tutelage.tasks.can.modules import BaseCANGraphModule, GATModule, VGAEModule
from tutelage.tasks.can.onnx_scorer import OnnxScorer
from tutelage.tasks.can.profile import TrafficProfile
from tutelage.training.export.card import card_path, read_export_card
from tutelage.training.model_card import read_card

pytestmark = pytest.mark.system

pytest.importorskip("onnxscript")
VGAE = ("mode=autoencoder", "model=vgae")
FAST = ("data.simulated_seconds=5", "training.max_epochs=1", "training.accelerator=cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> CANGraphDataModule:
    """Windows of one simulated drive with attacks."""
    path = tmp_path_factory.mktemp("captures") / "fuzzing.csv"
    write_drive(path, 1, "fuzzing", seconds=12)
    module = CANGraphDataModule(can_config(f"data.root={path}"), path.parent / "cache")
    module.setup("fit")
    return module


@pytest.fixture(scope="module")
def odd(data: CANGraphDataModule) -> Graphs:
    """Windows of one id alone, of two that take turns, of a hundred, and of ids that repeat."""
    frames = noise(2.0)
    ids = frames.arbitration_id.copy()
    ids[:100] = 0x100
    ids[100:200] = np.tile([0x100, 0x7FF], 50)
    ids[200:300] = np.arange(100) + 0x300
    ids[300:400] = np.repeat(np.arange(50), 2)
    return build_graphs(replace(frames, arbitration_id=ids), data.learned.profile)


def model(data: CANGraphDataModule, *overrides: str) -> BaseCANGraphModule:
    """A model on the scale of the data, in evaluation."""
    torch.manual_seed(0)
    built = CANTask().build(can_config(*overrides, "model.layers=2"), data.preprocessing)
    assert isinstance(built, BaseCANGraphModule)
    data.fit_module(built)
    return built.eval()


def offline(module: BaseCANGraphModule, store: GraphStore) -> torch.Tensor:
    """Scores as an evaluation gives them: all windows in one batch."""
    with torch.inference_mode():
        return module.scores(store.batch(torch.arange(len(store))))


def apart(scores: object, expected: torch.Tensor) -> float:
    """The largest difference, relative to scores beyond 1."""
    difference = np.abs(np.asarray(scores) - expected.numpy())
    return float((difference / np.maximum(expected.abs().numpy(), 1)).max())


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("model.jumping_knowledge=max",),
        ("model.jumping_knowledge=lstm",),
        ("model.edge_features=false",),
        VGAE,
    ],
    ids=["gat", "max", "lstm", "no edges", "vgae"],
)
def test_the_network_for_one_window_has_the_scores_of_the_trained_one(
    data: CANGraphDataModule, odd: Graphs, overrides: tuple[str, ...]
) -> None:
    module = model(data, *overrides)
    single = window_network(module)
    for store in (data.store, GraphStore.from_graphs([odd])):
        expected = offline(module, store)
        with torch.inference_mode():
            windows = (store.batch(torch.tensor([i])) for i in range(len(store)))
            scores = [single(*(getattr(w, name) for name in INPUTS)) for w in windows]
        assert expected.std() > 0
        assert apart(torch.cat(scores), expected) <= 1e-6


@pytest.mark.parametrize(
    "overrides",
    [(), ("model.jumping_knowledge=lstm", "model.edge_features=false"), VGAE],
    ids=["gat", "lstm without edges", "vgae"],
)
def test_onnxruntime_has_the_scores_of_the_trained_model_on_windows_of_any_size(
    data: CANGraphDataModule, odd: Graphs, overrides: tuple[str, ...]
) -> None:
    module = model(data, *overrides)
    scorer = OnnxScorer.of(module)
    assert scorer.threshold == module.threshold
    assert len(odd) == 10 and odd.node_ptr[1] == odd.edge_ptr[1] == 1  # the first: one id, one edge
    assert apart(scorer.scores(odd), offline(module, GraphStore.from_graphs([odd]))) <= 1e-5
    form = exportable(module, data)
    assert len(form.samples) == len(form.expected) > 10
    for sample, expected in zip(form.samples, form.expected, strict=True):
        x, id_index, edge_index, edge_attr = (value.numpy() for value in sample)
        score = scorer.score(x, id_index.astype(np.int32), edge_index.astype(np.int16), edge_attr)
        assert apart(score, expected) <= 1e-5


@pytest.mark.parametrize("preset", ["student", "vgae-student"])
def test_real_windows_have_the_same_scores_in_onnxruntime(shared_data: Path, preset: str) -> None:
    capture = shared_data / "can" / "hcrl_sa" / "train_02_with_attacks__DoS-kia.parquet"
    frames = read_frames(capture)[0][:40_000]
    profile = TrafficProfile.fit([frames[:20_000]], 100)
    graphs = build_graphs(frames, profile)
    store = GraphStore.from_graphs([graphs])
    config = build_config(CANConfig, [CANTask().preset(preset)], ())
    torch.manual_seed(0)
    module = (
        GATModule(config.model, config.training, len(profile))
        if isinstance(config.model, GATConfig)
        else VGAEModule(config.model, config.training, len(profile))  # type: ignore[arg-type]
    )
    whole = store.batch(torch.arange(len(store)))
    module.input.fit([(whole.x, whole.edge_attr)])
    scores = OnnxScorer.of(module.eval()).scores(graphs)
    assert apart(scores, offline(module, store)) <= 1e-5


def test_a_run_is_exported_beside_its_card_and_scores_as_its_predictions_do(
    tmp_path: Path,
) -> None:
    run = api.train("can", *FAST, preset="student-tiny", home=tmp_path / "home")
    out = tmp_path / "out" / "detector.onnx"
    out.parent.mkdir()
    exported = api.export(run, out=out, home=tmp_path / "home")
    card = exported.card
    assert exported.path == out and read_export_card(out) == card
    assert (card.run, card.task, card.model) == (run.id, "can", "gat")
    assert card.preprocessing_digest == digest_json(read_card(run.path).preprocessing)
    assert card.facts == {"threshold": 0.5, "window": 100}
    assert card.parity.samples > 100 and card.parity.largest_difference <= 1e-5
    assert exported.summary()["path"] == str(out)

    capture = tmp_path / "drive.csv"
    frames = write_drive(capture, 3, "dos")
    (table,) = api.predict(run, capture, home=tmp_path / "home")
    said = np.array([row[table.columns.index("score")] for row in table.rows], np.float64)
    profile = TrafficProfile.from_json(read_card(run.path).preprocessing["profile"])  # type: ignore[arg-type]
    scores = OnnxScorer.open(out).scores(build_graphs(frames, profile))
    assert np.abs(scores - said).max() <= 1e-4  # predictions are rounded, as is the capture's text

    beside = api.export(run, f"data.root={capture}", home=tmp_path / "home")  # other data to check
    assert beside.path == run.path / "model.onnx"
    assert beside.card.digest == card.digest and beside.card.parity.samples < card.parity.samples
    with pytest.raises(StoreError, match="no run"):
        api.export("nothing", home=tmp_path / "home")


def test_what_can_not_be_exported_is_refused_before_any_work(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    expert = finish_run(store)
    settings = ("mode=fusion", "model=logistic", f"mode.experts=[{expert.id}, {expert.id}]")
    fused = finish_run(store, *settings, parent=expert)
    with pytest.raises(ConfigError, match=rf"(?s)'logistic' can't be.*gat, vgae.*{expert.id}"):
        api.export(fused, home=tmp_path)
    with pytest.raises(UnknownNameError, match="unknown format 'onxx'"):
        api.export(expert, format="onxx", home=tmp_path)
    assert not list(tmp_path.glob("*/*.onnx"))


def test_without_the_extra_nothing_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finish_run(RunStore(tmp_path))  # its weights are none: reading them would be refused
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RequestError, match=r"tutelage\[onnx\]"):
        api.export(run, home=tmp_path)


def test_a_scorer_refuses_what_is_no_can_detector(tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(b"other")
    with pytest.raises(CheckpointError, match="card is missing"):
        OnnxScorer.open(path)
    form = {"dtype": "float32", "shape": ["n"]}
    card = {
        "run": "r",
        "task": "other",
        "model": "m",
        "opset": 20,
        "exporter": "e",
        "parameters": 1,
        "bytes": 5,
        "digest": "",
        "inputs": {"rows": form},
        "outputs": {"total": form},
        "preprocessing_digest": "p",
        "facts": {},
        "parity": {"samples": 1, "largest_difference": 0, "tolerance": 1e-5, "runtime": "r"},
    }
    write_json(card_path(path), card)
    with pytest.raises(CheckpointError, match="differs from its card's digest"):
        OnnxScorer.open(path)
    write_json(card_path(path), card | {"digest": digest_bytes(b"other")})
    with pytest.raises(CheckpointError, match="is no CAN detector: its inputs are rows"):
        OnnxScorer.open(path)
