"""The packed store of graphs: its batches equal PyG's, its file survives or is refused."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from tutelage.core.errors import DataError
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.graph_batch import GraphBatch
from tutelage.tasks.can.graph_store import GraphStore
from tutelage.tasks.can.graphs import build_graphs
from tutelage.tasks.can.profile import TrafficProfile

pyg = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
NAMES = [f.name for f in fields(GraphBatch)]


def capture(seed: int, n: int) -> Frames:
    rng = np.random.default_rng(seed)
    return Frames(
        timestamp=np.cumsum(rng.exponential(0.001, n)),
        arbitration_id=np.floor(30 * rng.random(n) ** 2).astype(np.uint32),
        dlc=np.full(n, 8, np.uint8),
        payload=rng.integers(0, 256, (n, 8)).astype(np.uint8),
        label=(rng.random(n) < 0.01).astype(np.int8),
    )


def make_store(window: int = 20) -> GraphStore:
    profile = TrafficProfile.fit([capture(0, 500)], window)
    captures = [capture(1, 400), capture(2, 333), capture(3, 600)]
    return GraphStore.from_graphs(build_graphs(c, profile, window, window) for c in captures)


STORE = make_store()


def one_by_one(store: GraphStore, indices: list[int]) -> list[object]:
    """The graphs as PyG's own objects, cut out one at a time."""
    from torch_geometric.data import Data

    graphs = []
    for i in indices:
        nodes = slice(int(store.node_ptr[i]), int(store.node_ptr[i + 1]))
        edges = slice(int(store.edge_ptr[i]), int(store.edge_ptr[i + 1]))
        graphs.append(
            Data(
                x=store.x[nodes],
                id_index=store.id_index[nodes].long(),
                edge_index=store.edge_index[:, edges].long(),
                edge_attr=store.edge_attr[edges],
                y=store.y[i : i + 1].long(),
                window=torch.tensor([i]),
            )
        )
    return graphs


def assert_equals_pyg(indices: list[int]) -> None:
    from torch_geometric.data import Batch

    want = Batch.from_data_list(one_by_one(STORE, indices))
    batch = STORE.batch(torch.tensor(indices))
    for have in (batch, batch.to_pyg()):
        assert have.num_graphs == want.num_graphs == len(indices)
        for name in NAMES:
            # PyG takes any name with "index" in it for node numbers, and adds to them.
            mine, theirs = getattr(have, name), getattr(want, name)
            theirs = theirs - want.ptr[want.batch] if name == "id_index" else theirs
            assert mine.dtype == theirs.dtype, name
            assert torch.equal(mine, theirs), name


@pyg
@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, len(STORE) - 1), min_size=1, max_size=12))
def test_any_batch_equals_pygs_bit_for_bit(indices: list[int]) -> None:
    assert_equals_pyg(indices)


@pyg
@settings(max_examples=20, deadline=None)
@given(st.integers(0, len(STORE) - 1), st.integers(1, 15))
def test_a_slice_of_neighbours_equals_pygs_batch(start: int, size: int) -> None:
    assert_equals_pyg(list(range(start, min(start + size, len(STORE)))))


def test_a_slice_copies_no_features() -> None:
    batch = STORE.batch(torch.arange(5, 9))
    assert batch.x.data_ptr() == STORE.x[STORE.node_ptr[5] :].data_ptr()
    assert batch.edge_attr.data_ptr() == STORE.edge_attr[STORE.edge_ptr[5] :].data_ptr()


def test_a_batch_of_no_graph_is_empty() -> None:
    batch = STORE.batch(torch.zeros(0, dtype=torch.long))
    assert batch.num_graphs == 0
    assert batch.x.shape == (0, STORE.x.shape[1])
    assert batch.ptr.tolist() == [0]


def test_a_batch_moves_as_a_whole() -> None:
    batch = STORE.batch(torch.tensor([3, 1])).to("meta", non_blocking=True)
    assert isinstance(batch, GraphBatch)
    assert all(getattr(batch, name).device.type == "meta" for name in NAMES)


def test_captures_are_numbered_through_every_way_of_joining() -> None:
    assert STORE.capture.tolist() == [0] * 20 + [1] * 16 + [2] * 30
    twice = GraphStore.concatenate([STORE, STORE])
    assert twice.capture.unique().tolist() == [0, 1, 2, 3, 4, 5]
    assert twice.first_row.tolist() == STORE.first_row.tolist() * 2
    indices = torch.tensor([70, 2])
    shifted = torch.tensor([70 - len(STORE), 2])
    for name in set(NAMES) - {"window"}:
        have, want = getattr(twice.batch(indices), name), getattr(STORE.batch(shifted), name)
        assert torch.equal(have, want), name


def test_counts_and_digests_have_one_entry_a_graph() -> None:
    assert STORE.node_counts.sum() == len(STORE.x)
    assert STORE.edge_counts.sum() == len(STORE.edge_attr)
    digests = STORE.content_digests()
    assert digests.dtype == np.uint64
    assert len(np.unique(digests)) == len(STORE)


def test_stores_with_different_windows_are_not_joined() -> None:
    with pytest.raises(DataError, match="2 different"):
        GraphStore.concatenate([STORE, make_store(window=10)])
    with pytest.raises(DataError, match="no capture"):
        GraphStore.from_graphs([])


def test_a_saved_store_opens_with_the_same_content(tmp_path: Path) -> None:
    path = tmp_path / "graphs.safetensors"
    STORE.save(path)
    opened = GraphStore.open(path)
    for field in fields(GraphStore):
        have, want = getattr(opened, field.name), getattr(STORE, field.name)
        same = torch.equal(have, want) if isinstance(want, torch.Tensor) else have == want
        assert same, field.name
    assert torch.equal(opened.batch(torch.tensor([9, 4])).x, STORE.batch(torch.tensor([9, 4])).x)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs the list of mapped files")
def test_an_opened_store_is_mapped_and_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "graphs.safetensors"
    STORE.save(path)
    opened = GraphStore.open(path)
    maps = Path("/proc/self/maps").read_text().splitlines()
    spans = [line.split()[0].split("-") for line in maps if line.endswith(str(path))]
    assert any(int(a, 16) <= opened.x.data_ptr() < int(b, 16) for a, b in spans)


def test_a_truncated_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "graphs.safetensors"
    STORE.save(path)
    content = path.read_bytes()
    for size in (0, 5, 300, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match="truncated"):
            GraphStore.open(path)


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "graphs.safetensors"
    STORE.save(path)
    content = bytearray(path.read_bytes())
    content[-1000] ^= 4
    path.write_bytes(content)
    with pytest.raises(DataError, match="altered"):
        GraphStore.open(path)


def test_foreign_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    with pytest.raises(DataError, match="no such file"):
        GraphStore.open(path)
    save_file({"x": torch.zeros(3)}, path)
    with pytest.raises(DataError, match="not a store"):
        GraphStore.open(path)


def test_a_store_with_other_features_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "graphs.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr("tutelage.tasks.can.graph_store.NODE_FEATURES", ("speed",))
        STORE.save(path)
    with pytest.raises(DataError, match="another version"):
        GraphStore.open(path)
