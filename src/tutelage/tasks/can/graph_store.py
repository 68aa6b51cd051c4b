"""`GraphStore`: window graphs of captures as flat tensors, memory-mapped; a batch is a slice."""

from __future__ import annotations

import json
import mmap
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tutelage.core.errors import DataError
from tutelage.core.files import atomic_file
from tutelage.tasks.can.graph_batch import GraphBatch
from tutelage.tasks.can.graphs import EDGE_FEATURES, NODE_FEATURES, Graphs
from tutelage.tasks.can.scratch import concatenate

_FORMAT = "tutelage-can-graphs"
_VERSION = "1"


@dataclass(frozen=True, slots=True)
class GraphStore:
    """G graphs with N nodes and E edges in all, from one or more captures.

    Args:
        x: (N, F) float32, see `build_graphs` for every column.
        id_index: (N,) int32, 0 for an unknown id.
        edge_index: (2, E) int16, node numbers counted from 0 within each graph.
        edge_attr: (E, K) float32.
        y: (G,) int8, 1 for an attack, 0 for none, -1 for unlabelled.
        node_ptr: (G + 1,) int64, graph i has nodes node_ptr[i] up to node_ptr[i + 1].
        edge_ptr: (G + 1,) int64.
        start_time: (G,) float64, seconds, of the window's first frame.
        end_time: (G,) float64, seconds, of its last frame.
        first_row: (G,) int64, row of its first frame in its capture.
        attack_frames: (G,) int32, frames labelled as attacks.
        content: (G,) int64, bits of a 64-bit hash of the window's ids and payloads.
        capture: (G,) int32, number of the capture.
        window: Frames in a window.
        stride: Frames from one window's start to the next one's.
    """

    x: Tensor
    id_index: Tensor
    edge_index: Tensor
    edge_attr: Tensor
    y: Tensor
    node_ptr: Tensor
    edge_ptr: Tensor
    start_time: Tensor
    end_time: Tensor
    first_row: Tensor
    attack_frames: Tensor
    content: Tensor
    capture: Tensor
    window: int
    stride: int

    def __len__(self) -> int:
        return len(self.y)

    @property
    def node_counts(self) -> Tensor:
        """(G,) int64, nodes of each graph."""
        return self.node_ptr.diff()

    @property
    def edge_counts(self) -> Tensor:
        """(G,) int64, edges of each graph."""
        return self.edge_ptr.diff()

    def content_digests(self) -> NDArray[np.uint64]:
        """Return (G,) hashes of each window's sequence of ids and payloads, to find repeats."""
        digests: NDArray[np.uint64] = self.content.numpy().view(np.uint64)
        return digests

    @classmethod
    def from_graphs(cls, captures: Iterable[Graphs]) -> GraphStore:
        """Store the graphs of captures one after another; capture i is number i.

        Raises:
            DataError: There is none, or window and stride differ between captures.
        """
        return cls.concatenate([_from_capture(graphs) for graphs in captures])

    @classmethod
    def concatenate(cls, stores: Sequence[GraphStore]) -> GraphStore:
        """Join stores end to end; the captures of each are numbered after the former's.

        Raises:
            DataError: There is none, or window and stride differ between stores.
        """
        shapes = {(store.window, store.stride) for store in stores}
        if len(shapes) != 1:
            raise DataError(
                f"stores of {len(shapes)} different (window, stride) can't be joined"
                if shapes
                else "no capture to store",
                hint="Build every capture's graphs with one window and one stride.",
            )
        if len(stores) == 1:
            return stores[0]
        joined = {name: _joined([getattr(s, name) for s in stores]) for name in _PLAIN}
        joined["edge_index"] = _joined([s.edge_index for s in stores], dim=1)
        for name in ("node_ptr", "edge_ptr"):
            counts = torch.cat([getattr(s, name).diff() for s in stores])
            joined[name] = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
        offset, captures = 0, []
        for store in stores:
            captures.append(store.capture + offset)
            offset = int(captures[-1].max()) + 1 if len(store) else offset
        joined["capture"] = torch.cat(captures)
        return cls(**joined, window=stores[0].window, stride=stores[0].stride)

    def features(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return x (N, F) and edge_attr (E, K) of the graphs ``indices`` (B,) int64."""
        found = []
        for ptr, values in ((self.node_ptr, self.x), (self.edge_ptr, self.edge_attr)):
            first = ptr[indices]
            counts = ptr[indices + 1] - first
            shift = (first - counts.cumsum(0) + counts).repeat_interleave(counts)
            found.append(values.index_select(0, shift + torch.arange(len(shift))))
        return found[0], found[1]

    def batch(self, indices: Tensor) -> GraphBatch:
        """Join graphs into one batch, in the order of ``indices`` (B,) int64.

        Graphs that lie side by side in the store are taken as slices, others gathered; both are
        equal bit for bit to PyG's `Batch.from_data_list`. ``x`` and ``edge_attr`` of a slice share
        memory with the store: don't change them in place.
        """
        size = len(indices)
        if size and _is_range(indices):
            return self._slice(indices)
        first, edge_first = self.node_ptr[indices], self.edge_ptr[indices]
        counts, edge_counts = self.node_ptr[indices + 1] - first, self.edge_ptr[indices + 1]
        edge_counts = edge_counts - edge_first
        ptr = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
        edge_end = edge_counts.cumsum(0)
        nodes, edges = int(ptr[-1]), int(edge_end[-1]) if size else 0
        place = torch.arange(size)
        batch = torch.repeat_interleave(place, counts, output_size=nodes)
        of_edge = torch.repeat_interleave(place, edge_counts, output_size=edges)
        rows = (first - ptr[:-1]).index_select(0, batch)
        rows += torch.arange(nodes)
        edge_rows = (edge_first - edge_end + edge_counts).index_select(0, of_edge)
        edge_rows += torch.arange(edges)
        edge_index = ptr.index_select(0, of_edge).repeat(2, 1)
        for numbers, local in zip(edge_index, self.edge_index, strict=True):
            numbers += local.index_select(0, edge_rows)
        return GraphBatch(
            x=self.x.index_select(0, rows),
            id_index=self.id_index.index_select(0, rows).long(),
            edge_index=edge_index,
            edge_attr=self.edge_attr.index_select(0, edge_rows),
            y=self.y.index_select(0, indices).long(),
            batch=batch,
            ptr=ptr,
            window=indices,
        )

    def _slice(self, indices: Tensor) -> GraphBatch:
        start, stop = int(indices[0]), int(indices[-1]) + 1
        node, edge = self.node_ptr[start : stop + 1], self.edge_ptr[start : stop + 1]
        nodes, edges = slice(int(node[0]), int(node[-1])), slice(int(edge[0]), int(edge[-1]))
        ptr = node - node[0]
        shift = torch.repeat_interleave(ptr[:-1], edge.diff(), output_size=edges.stop - edges.start)
        return GraphBatch(
            x=self.x[nodes],
            id_index=self.id_index[nodes].long(),
            edge_index=self.edge_index[:, edges] + shift,
            edge_attr=self.edge_attr[edges],
            y=self.y[start:stop].long(),
            batch=torch.repeat_interleave(
                torch.arange(len(indices)), node.diff(), output_size=nodes.stop - nodes.start
            ),
            ptr=ptr,
            window=indices,
        )

    def save(self, path: Path) -> None:
        """Write the store as one safetensors file, whole or not at all.

        Raises:
            StorageError: The disk is full, or the folder can't be written.
        """
        tensors = {name: getattr(self, name).contiguous() for name in _TENSORS}
        card = {
            "format": _FORMAT,
            "version": _VERSION,
            "window": str(self.window),
            "stride": str(self.stride),
            "node_features": ",".join(NODE_FEATURES),
            "edge_features": ",".join(EDGE_FEATURES),
            "digest": _digest(tensors),
        }
        with atomic_file(path) as file:
            _write(file, tensors, card)

    @classmethod
    def open(cls, path: Path) -> GraphStore:
        """Map a saved store into memory, after a check of its digest.

        Raises:
            DataError: The file is missing, foreign, truncated, altered, or made by a version with
                other features.
        """
        try:
            with safe_open(path, framework="np") as file:  # which checks that the header is true
                card = file.metadata() or {}
            if card.get("format") != _FORMAT:
                raise _refused(path, "it is not a store of CAN graphs")
            if card.get("version") != _VERSION or not _same_features(card):
                raise _refused(path, "it was made by another version, with other features")
            tensors = _map(path)
        except FileNotFoundError as error:
            raise _refused(path, "there is no such file") from error
        except (SafetensorError, OSError) as error:
            raise _refused(path, f"it is truncated or not a safetensors file ({error})") from error
        if _digest(tensors) != card.get("digest"):
            raise _refused(path, "its content was altered since it was written")
        return cls(**tensors, window=int(card["window"]), stride=int(card["stride"]))


_TENSORS = tuple(f.name for f in fields(GraphStore) if f.name not in ("window", "stride"))
_KINDS = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
}
_NUMPY = {kind: np.dtype(f"<{kind[0].lower()}{int(kind[1:]) // 8}") for kind in _KINDS.values()}
_POINTERS = ("node_ptr", "edge_ptr", "edge_index", "capture")
_PLAIN = tuple(name for name in _TENSORS if name not in _POINTERS)


def _from_capture(graphs: Graphs) -> GraphStore:
    arrays = {name: getattr(graphs, name) for name in _TENSORS if name != "capture"}
    arrays["content"] = graphs.content.view(np.int64)
    return GraphStore(
        **{name: torch.from_numpy(array) for name, array in arrays.items()},
        capture=torch.zeros(len(graphs), dtype=torch.int32),
        window=graphs.window,
        stride=graphs.stride,
    )


def _is_range(indices: Tensor) -> bool:
    spans = int(indices[-1]) - int(indices[0]) == len(indices) - 1
    return spans and bool((indices.diff() == 1).all())


def _same_features(card: dict[str, str]) -> bool:
    names = (card.get("node_features"), card.get("edge_features"))
    return names == (",".join(NODE_FEATURES), ",".join(EDGE_FEATURES))


def _write(file: IO[bytes], tensors: dict[str, Tensor], card: dict[str, str]) -> None:
    """Write a safetensors file straight from the tensors' memory, the widest numbers first.

    The library's own writer either needs a second copy of everything in memory, or makes the file
    by itself and reports a full disk as a malformed file. Format: 8 bytes with the header's length,
    a JSON header padded to a multiple of 8, the tensors (https://github.com/huggingface/safetensors).
    """
    header: dict[str, object] = {"__metadata__": card}
    offset = 0
    names = sorted(tensors, key=lambda name: -tensors[name].element_size())
    for name in names:
        end = offset + tensors[name].nbytes
        shape, kind = list(tensors[name].shape), _KINDS[tensors[name].dtype]
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in names:
        file.write(_content(tensors[name]))


def _map(path: Path) -> dict[str, Tensor]:
    """Map the tensors of a file whose header is true into memory, for reading alone.

    The library maps a file such that it may be changed in memory, which counts as memory of the
    process from the start; these don't, however large they are.

    Raises:
        SafetensorError: A tensor is missing, or is of another kind.
    """
    with path.open("rb") as file:
        whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    begin = 8 + int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8:begin])
    tensors = {}
    for name in _TENSORS:
        if name not in header or header[name]["dtype"] not in _NUMPY:
            raise SafetensorError(f"no tensor {name!r} that can be read")
        shape, kind = header[name]["shape"], _NUMPY[header[name]["dtype"]]
        start = begin + header[name]["data_offsets"][0]
        array = np.ndarray(shape, kind, buffer=whole, offset=start if 0 not in shape else 0)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            tensors[name] = torch.from_numpy(array)
    return tensors


def _joined(parts: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors as `torch.cat` does; what is too large for memory goes into a file."""
    return torch.from_numpy(concatenate([part.numpy() for part in parts], dim))


def _content(tensor: Tensor) -> memoryview:
    values: NDArray[np.uint8] = tensor.reshape(-1).view(torch.uint8).numpy()
    return values.data


def _digest(tensors: dict[str, Tensor]) -> str:
    state = xxhash.xxh3_128()
    for name in _TENSORS:
        tensor = tensors[name]
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(_content(tensor))
    return state.hexdigest()


def _refused(path: Path, why: str) -> DataError:
    hint = "Delete it; it is built again from the captures."
    return DataError(f"a store of graphs is refused: {why}", where=path, hint=hint)
