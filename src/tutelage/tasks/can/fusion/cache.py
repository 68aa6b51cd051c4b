"""`FusionPredictionCache`: what experts say of windows, as Arrow files found by content."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tutelage.core.files import atomic_file, digest_bytes, digest_json, storage_errors

log = logging.getLogger(__name__)

FOLDER = "fusion"
"""Folder, in the task's cache, of what experts say of windows."""

_DIGEST = b"tutelage.digest"


class FusionPredictionCache:
    """Tables of one row a window, found again by what they were made from.

    Several processes may use one folder at once: a file is written whole and then renamed.

    Args:
        root: The cache's folder, made when needed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def table(
        self,
        key: Sequence[object],
        columns: Sequence[str],
        rows: int,
        compute: Callable[[], Tensor],
    ) -> Tensor:
        """Return (rows, columns) float32, from the cache when it holds them whole.

        Args:
            key: Everything that the values depend on, as JSON: fingerprints and digests.
            columns: Names of the columns.
            rows: How many there are.
            compute: Makes the values.

        Raises:
            StorageError: The cache can't be written.
        """
        path = self.root / f"{digest_json([*key, list(columns), rows])}.arrow"
        if path.exists():
            found = _load(path, columns, rows)
            if found is not None:
                return found
            log.warning("%s is damaged; the experts' scores are computed again", path)
        values = compute().detach().cpu().float()
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        _save(path, values, columns)
        return values


def _digest(values: Tensor) -> str:
    return digest_bytes(np.ascontiguousarray(values.numpy()).tobytes())


def _save(path: Path, values: Tensor, columns: Sequence[str]) -> None:
    import pyarrow as pa

    arrays = [pa.array(column.contiguous().numpy()) for column in values.T]
    batch = pa.RecordBatch.from_arrays(arrays, list(columns))
    batch = batch.replace_schema_metadata({_DIGEST: _digest(values)})
    with atomic_file(path) as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def _load(path: Path, columns: Sequence[str], rows: int) -> Tensor | None:
    """Read a cache file; None when it is not what was once written."""
    import pyarrow as pa

    try:
        batch = pa.ipc.open_file(pa.BufferReader(path.read_bytes())).get_batch(0)
        metadata = batch.schema.metadata or {}
        parts = [batch.column(name).to_numpy() for name in columns]
        values = torch.from_numpy(np.stack(parts, axis=1).astype(np.float32, copy=False))
        intact = len(values) == rows and metadata[_DIGEST].decode() == _digest(values)
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError, IndexError):
        return None
    return values if intact else None
