"""The compiled network gives each window the score that the trained one gives it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from made_captures import can_config  # noqa: E402
from watching import detector, drive  # noqa: E402

from tutelage.core.errors import ConfigError  # noqa: E402
from tutelage.tasks.can.graph_store import GraphStore  # noqa: E402
from tutelage.tasks.can.graphs import build_graphs, cut_graphs  # noqa: E402
from tutelage.tasks.can.live.compiled_scorer import CompiledScorer  # noqa: E402
from tutelage.tasks.can.simulator import write_candump  # noqa: E402


@pytest.mark.parametrize(
    "settings",
    [
        ("model.layers=1",),
        ("model.layers=3", "model.hidden=5", "model.heads=3", "model.id_embedding=7"),
        ("model.layers=2", "model.edge_features=false"),
    ],
)
def test_windows_get_the_scores_of_the_trained_network(settings: tuple[str, ...]) -> None:
    found = detector(can_config(*settings))
    with torch.no_grad():  # attention that is far from even
        for name, values in found.module.network.named_parameters():
            values.mul_(3.0 if "att" in name else 1.0)
    graphs = build_graphs(drive(seed=2, attack="fuzzing"), found.learned.profile)
    store = GraphStore.from_graphs([graphs])
    with torch.inference_mode():
        expected = found.module.scores(store.batch(torch.arange(len(store)))).numpy()
    scorer = CompiledScorer(found.module)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(scorer.scores(graphs), expected, atol=1e-5)
    one = scorer.scores(cut_graphs(graphs, 3, 4))
    assert one.tolist() == scorer.scores(graphs)[3:4].tolist()


def test_a_bus_window_by_itself_alarms_as_the_network_does(tmp_path: Path) -> None:
    found = detector(can_config())
    path = tmp_path / "drive.log"
    write_candump(drive(seed=3), path)
    said = []
    for engine, batch in (("torch", None), ("compiled", 1)):
        with found.watch(path, every=True, batch=batch, engine=engine) as watch:
            said.append([v.values for v in watch.verdicts()])
    theirs, ours = said
    assert [v["window"] for v in ours] == [v["window"] for v in theirs]
    scores = [[float(str(v["score"])) for v in each] for each in said]
    np.testing.assert_allclose(*scores, atol=1e-5)


def test_while_a_bus_is_watched_products_take_one_thread(tmp_path: Path) -> None:
    def threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    path = tmp_path / "drive.log"
    write_candump(drive(seed=3), path)
    with (
        threadpool_limits(2, user_api="blas"),
        detector(can_config()).watch(path, every=True, batch=1, engine="compiled") as watch,
    ):
        assert threads() == {2}
        assert [threads() for _ in watch.verdicts()][0] == {1}
        assert threads() == {2}


def test_a_network_that_can_not_be_compiled_is_refused() -> None:
    for settings in (("mode=autoencoder", "model=vgae"), ("model.jumping_knowledge=max",)):
        with pytest.raises(ConfigError, match="only a gat"):
            CompiledScorer(detector(can_config(*settings)).module)
