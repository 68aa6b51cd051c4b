"""A checkpoint on disk: one file of state and, written last, the marker that proves it whole."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from tutelage.core.documents import read_object
from tutelage.core.errors import CheckpointError, ConfigError, StorageError
from tutelage.core.files import digest_file, digest_json, storage_errors, write_json
from tutelage.training.background import BackgroundWriter
from tutelage.training.state import encode_tree, load_tree
from tutelage.training.tensorfile import looks_like, write_tensors

logger: Final = logging.getLogger(__name__)

SUFFIX = ".safetensors"
NOTE = "tutelage"  # the key under which CheckpointManager tells the marker its metric


class CheckpointMarker(BaseModel):
    """What is known of one checkpoint, written beside it once it is complete.

    Attributes:
        digest: The file's xxh3-128 digest.
        bytes: The file's size.
        step: Optimiser steps done when it was taken.
        epoch: The epoch that it belongs to, from 0.
        metric: The monitored value, or None where none was known.
        error: Its standard error, or None where none was known.
        created: When, in UTC (ISO 8601).
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_version: Literal[1] = 1
    digest: str
    bytes: int
    step: int
    epoch: int
    monitor: str | None = None
    metric: float | None = None
    error: float | None = None
    created: str

    def sealed(self) -> dict[str, object]:
        """Return the marker as JSON, with a digest of itself."""
        body = self.model_dump(mode="json")
        return body | {"seal": digest_json(body)}


class CheckpointStatus(BaseModel):
    """The verdict on one checkpoint: valid when ``problem`` is None."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    path: Path
    marker: CheckpointMarker | None
    problem: str | None

    @property
    def valid(self) -> bool:
        """Whether the file is whole and unaltered."""
        return self.problem is None


class TutelageCheckpointIO(CheckpointIO):
    """Lightning's door to our files: the whole trainer state, plain data in one file.

    Pass it as ``Trainer(plugins=[TutelageCheckpointIO()])``.

    Args:
        background: Whether a thread writes a copy of the state while training goes on. What goes
            wrong there is raised by the next call, `wait` among them.
    """

    def __init__(self, background: bool = False) -> None:
        self._writer = BackgroundWriter() if background else None

    def save_checkpoint(
        self,
        checkpoint: dict[str, object],
        path: str | Path,
        storage_options: object | None = None,
    ) -> None:
        """Write the state, then its marker; the former file survives any failure before that.

        Raises:
            CheckpointError: A value that can't be stored; the message names its place.
            ConfigError: ``storage_options`` were given.
            StorageError: The disk is full, or the folder can't be written.
        """
        if storage_options is not None:
            raise ConfigError("checkpoints are local files: storage_options have no meaning here")
        path = Path(path)
        with storage_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        encoded = encode_tree(path, checkpoint)
        write = partial(_write, path, encoded.metadata, _described(checkpoint))
        if self._writer is None:
            write(encoded.tensors)
        else:
            self._writer.write(encoded.tensors, write)

    def wait(self) -> None:
        """Return when what was to be saved is on the disk.

        Raises:
            StorageError: It could not be written.
        """
        if self._writer is not None:
            self._writer.wait()

    def teardown(self) -> None:
        """Wait, and give back thread and memory.

        Raises:
            StorageError: What was saved last could not be written. It is logged instead while
                another error is on its way, which it must not hide.
        """
        if self._writer is None:
            return
        failing = sys.exc_info()[1] is not None
        try:
            self._writer.close()
        except StorageError as error:
            if not failing:
                raise
            logger.error("the last checkpoint is lost: %s", error)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: object | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, object]:
        """Verify a checkpoint, then read it.

        Args:
            path: The file.
            map_location: A device or its name; the CPU by default.
            weights_only: Without meaning here: objects are never built from a file.

        Raises:
            CheckpointError: The file is incomplete, truncated, altered or foreign.
        """
        del weights_only
        path = Path(path)
        if map_location is not None and not isinstance(map_location, str | torch.device):
            raise ConfigError(f"map_location must name a device, not be {map_location!r}")
        status = check(path)
        if status.problem is not None:
            hint = "Resume from another checkpoint: CheckpointManager.find_valid names the newest."
            raise CheckpointError(f"refused: {status.problem}", where=path, hint=hint)
        tree = load_tree(path, device=str(map_location or "cpu"))
        if not isinstance(tree, dict) or "state_dict" not in tree:
            raise CheckpointError("holds no trainer state", where=path)
        return tree

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint: the marker first, so that no half of it can pass for whole."""
        path = Path(path)
        with storage_errors(path):
            marker_path(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def _described(checkpoint: Mapping[str, object]) -> dict[str, Any]:
    """What the marker of a state says of it."""
    note = checkpoint.get(NOTE, {})
    assert isinstance(note, dict)
    return {
        "step": int(str(checkpoint.get("global_step", 0))),
        "epoch": int(str(checkpoint.get("epoch", 0))),
        "monitor": note.get("monitor"),
        "metric": _finite(note.get("metric")),
        "error": _finite(note.get("error")),
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }


def _write(
    path: Path,
    metadata: Mapping[str, str],
    described: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
) -> None:
    existed = path.exists()
    written = write_tensors(path, tensors, metadata)
    marker = CheckpointMarker(digest=written.digest, bytes=written.bytes, **described)
    try:
        write_json(marker_path(path), marker.sealed())
    except BaseException:
        if not existed:
            path.unlink(missing_ok=True)
        raise
    logger.debug("%s is saved: %d bytes", path.name, written.bytes)


def marker_path(path: Path) -> Path:
    """Return where the marker of the checkpoint at ``path`` lies."""
    return path.with_suffix(".json")


def read_marker(path: Path) -> CheckpointMarker:
    """Return the marker of the checkpoint at ``path``.

    Raises:
        CheckpointError: There is none, or it is altered.
    """
    file = marker_path(path)
    try:
        body = read_object(file)
        seal = body.pop("seal", None)
        sealed = digest_json(body) == seal
        marker = CheckpointMarker.model_validate(body)
    except FileNotFoundError as error:
        problem = "incomplete: its marker is missing (the writer was interrupted)"
        raise CheckpointError(problem, where=path) from error
    except OSError as error:
        raise CheckpointError(f"its marker can't be read: {error.strerror}", where=file) from error
    except ValueError as error:
        raise CheckpointError("its marker is altered or foreign", where=file) from error
    if not sealed:
        raise CheckpointError("its marker is altered", where=file)
    return marker


def check(path: Path) -> CheckpointStatus:
    """Say whether the checkpoint at ``path`` is whole: marker, size and digest agree."""
    marker: CheckpointMarker | None = None
    problem = f"it is {kind}" if (kind := looks_like(path)) else None
    if problem is None:
        try:
            marker = read_marker(path)
        except CheckpointError as error:
            problem = error.problem
    if marker is not None:
        size = path.stat().st_size
        if size != marker.bytes:
            problem = f"it has {size} bytes, its marker says {marker.bytes} (truncated or altered)"
        elif digest_file(path) != marker.digest:
            problem = "its content differs from its marker's digest (altered, or a failing disk)"
    return CheckpointStatus(path=path, marker=marker, problem=problem)


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoint files of a folder, oldest step first."""
    return sorted(folder.glob(f"step-*{SUFFIX}"))


def verify(folder: Path) -> list[CheckpointStatus]:
    """Return the verdict on each checkpoint of a folder, oldest step first; reads every byte."""
    return [check(path) for path in list_checkpoints(folder)]


def find_valid(folder: Path) -> Path | None:
    """Return the newest valid checkpoint of a folder, or None; warn of each newer one skipped."""
    for path in reversed(list_checkpoints(folder)):
        status = check(path)
        if status.valid:
            return path
        logger.warning("Checkpoint %s is skipped: %s.", path, status.problem)
    return None


def find_resumable(folder: Path) -> Path | None:
    """Return the newest valid checkpoint of a folder, or None where there is none at all.

    A single one without its marker is none: its writer, the first, was interrupted.

    Raises:
        CheckpointError: There are checkpoints, and none of them is whole.
    """
    found = find_valid(folder)
    if found is None and (statuses := verify(folder)):
        newest = statuses[-1]
        if len(statuses) == 1 and not marker_path(newest.path).exists():
            logger.warning("There is no other checkpoint: training begins anew.")
            return None
        others = f"; so are the {len(statuses) - 1} older ones" if len(statuses) > 1 else ""
        raise CheckpointError(
            f"can't be resumed: {newest.problem}{others}",
            where=newest.path,
            hint="Bring back a whole copy, or start a new run with run.policy=force_new.",
        )
    return found


def _finite(metric: object) -> float | None:
    if not isinstance(metric, float) or not math.isfinite(metric):
        return None
    return metric
