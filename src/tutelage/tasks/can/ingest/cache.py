"""`CaptureCache`: parsed captures as Arrow files that later runs map into memory without a copy."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from xxhash import xxh3_128

from tutelage.core.files import atomic_file, digest_file, digest_json, storage_errors
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.ingest.captures import CaptureFile
from tutelage.tasks.can.ingest.detect import detect
from tutelage.tasks.can.ingest.read import read_frames
from tutelage.tasks.can.ingest.report import IngestReport
from tutelage.tasks.can.ingest.road import metadata_beside

_log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
"""Raise it when a reader gives other frames for the same file."""

_REPORT, _DIGEST = b"tutelage.report", b"tutelage.digest"


def source_digest(path: Path) -> str:
    """The digest of a capture's bytes, with those of the labels beside it, if any.

    Labels beside it are found by its name and folder, which therefore count then.
    """
    beside = metadata_beside(path)
    digest = digest_file(path)
    if beside is None:
        return digest
    return digest_json([digest, digest_file(beside), path.stem, path.parent.name])


class CaptureCache:
    """Parsed captures, found again by the content of their source.

    Several processes may use one folder at once: a file is written whole and then renamed, and
    two writers of one file write the same content.

    Args:
        root: The cache's folder, made when needed; never the data's own.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def load(
        self,
        file: CaptureFile,
        columns: Mapping[str, str] | None = None,
        force_rebuild: bool = False,
    ) -> tuple[Frames, IngestReport, str]:
        """Return a capture's frames, from the cache when it holds them.

        Args:
            file: The capture.
            columns: A mapping from our column names to the file's.
            force_rebuild: Read the source even when the cache holds it.

        Returns:
            The frames (read-only views of the mapped file), the report made when the source was
            read, and the digest of the frames: the same in whatever format they are kept.

        Raises:
            DataError: The source can't be read.
            StorageError: The cache can't be written.
        """
        detect(file.path)
        source = source_digest(file.path)
        target = self.root / f"{self._key(source, columns)}.arrow"
        if target.exists() and not force_rebuild:
            found = _load(target)
            if found is not None:
                return (*found, _content(found[0]))
            _log.warning("%s is damaged; reading %s again", target, file.path)
        frames, report = read_frames(file.path, columns)
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        _save(target, frames, report)
        return *(_load(target) or (frames, report)), _content(frames)

    @staticmethod
    def _key(source: str, columns: Mapping[str, str] | None) -> str:
        return digest_json([source, dict(columns or {}), SCHEMA_VERSION])


def _content(frames: Frames) -> str:
    state = xxh3_128()
    for column in (
        frames.timestamp,
        frames.arbitration_id,
        frames.dlc,
        frames.payload,
        frames.label,
    ):
        state.update(np.ascontiguousarray(column).view(np.uint8).data)
    return state.hexdigest()


def _save(path: Path, frames: Frames, report: IngestReport) -> None:
    import pyarrow as pa

    payload = np.ascontiguousarray(frames.payload)
    arrays = [
        pa.array(frames.timestamp),
        pa.array(frames.arbitration_id),
        pa.array(frames.dlc),
        pa.Array.from_buffers(pa.binary(8), len(frames), [None, pa.py_buffer(payload)]),
        pa.array(frames.label),
    ]
    names = ["timestamp", "arbitration_id", "dlc", "payload", "label"]
    metadata = {_REPORT: json.dumps(asdict(report)), _DIGEST: _content(frames)}
    batch = pa.RecordBatch.from_arrays(arrays, names).replace_schema_metadata(metadata)
    with atomic_file(path) as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def _load(path: Path) -> tuple[Frames, IngestReport] | None:
    """Map a cache file; None when it is not what was once written."""
    import pyarrow as pa

    try:
        batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
        metadata = batch.schema.metadata or {}
        payload = np.frombuffer(batch.column("payload").buffers()[1], np.uint8, 8 * len(batch))
        frames = Frames(
            batch.column("timestamp").to_numpy(),
            batch.column("arbitration_id").to_numpy(),
            batch.column("dlc").to_numpy(),
            payload.reshape(-1, 8),
            batch.column("label").to_numpy(),
        )
        report = IngestReport(**json.loads(metadata[_REPORT]))
        intact = metadata[_DIGEST].decode() == _content(frames)
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError):
        return None
    return (frames, report) if intact else None
