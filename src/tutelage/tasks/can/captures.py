"""The captures that a configuration names: files below `data.root`, or the embedded simulation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from tutelage.core.errors import DataError
from tutelage.core.files import digest_json
from tutelage.tasks.can.config import CANData
from tutelage.tasks.can.frames import ATTACK, Frames
from tutelage.tasks.can.ingest import (
    CaptureCache,
    CaptureFile,
    ForeignFileError,
    IngestReport,
    find_captures,
    require_labels,
)
from tutelage.tasks.can.ingest.cache import source_digest

ATTACK_FREE, UNKNOWN_ATTACK = "attack-free", "unlabelled"


@dataclass(frozen=True, slots=True)
class Capture:
    """One capture with its frames.

    Args:
        split: Name of its split, such as ``test_01_known_vehicle_known_attack``; may be empty.
        name: Its own name.
        attack: Kind of attack as its name tells it, ``attack-free`` where no frame is labelled an
            attack, ``unlabelled`` where nothing says.
        group: Set that it belongs to, where the data hold several.
        digest: Digest of its frames, the same in whatever format a file keeps them.
        frames: The frames.
        report: What the reader found; null for a simulated capture.
        path: Its file; null for a simulated capture.
        place: Its path below the data root, where its label would else be another's too.
    """

    split: str
    name: str
    attack: str
    group: str
    digest: str
    frames: Frames
    report: IngestReport | None = None
    path: Path | None = None
    place: str = ""

    @property
    def label(self) -> str:
        """Group, split and name, or the path where others share these, as tables show them."""
        return self.place or _joined(self)

    @property
    def tests(self) -> bool:
        """Whether it is named for testing: its split begins with ``test``, in any case."""
        return self.split.lower().startswith("test")

    @property
    def validates(self) -> bool:
        """Whether it is named for validation: its split begins with ``val``, in any case."""
        return self.split.lower().startswith("val")

    @property
    def attack_frames(self) -> int:
        """Frames labelled as attacks."""
        return self.frames.count(ATTACK)

    def require_labels(self, columns: Mapping[str, str]) -> None:
        """Refuse a file without labels.

        Raises:
            DataError: A frame has no label; the message says how to name the column.
        """
        if self.path is not None:
            require_labels(self.frames, self.path, columns)


def captures_fingerprint(data: CANData) -> str:
    """Digest the content of the captures that ``data`` names, without parsing them.

    Raises:
        DataError: The data are missing, empty or unreadable.
    """
    if data.root is None:
        return digest_json(["simulated", data.simulated_seconds, data.simulated_seed])
    files = find_captures(data.root, data.links)
    return digest_json([[f.group, f.split, f.name, _digest(f.path)] for f in files])


def _digest(path: Path) -> str:
    try:
        return source_digest(path)
    except OSError as error:
        raise DataError(
            f"can't be read: {error.strerror}",
            where=path,
            hint="Change its permissions, or give another folder.",
        ) from error


def load_dataset(
    data: CANData,
    cache: Path,
    force_rebuild_cache: bool = False,
    labels: Collection[str] | None = None,
) -> list[Capture]:
    """Read every capture that ``data`` names.

    Args:
        data: Where they are, and the names of their columns.
        cache: Folder of parsed captures.
        force_rebuild_cache: Parse again what the cache holds.
        labels: Those to read, by `Capture.label`; the others are not opened. Null reads all.

    Raises:
        DataError: The data are missing, empty, unreadable or malformed.
    """
    if data.root is None:
        return [c for c in _simulate(data) if labels is None or c.label in labels]
    parsed = CaptureCache(cache / "captures")
    captures = []
    files = find_captures(data.root, data.links)
    shared = Counter(_joined(file) for file in files)
    for file in files:
        own = _joined(file)
        place = file.path.relative_to(data.root).as_posix() if shared[own] > 1 else ""
        if labels is not None and (place or own) not in labels:
            continue
        try:
            frames, report, digest = parsed.load(file, data.columns.given(), force_rebuild_cache)
        except ForeignFileError as error:
            if len(files) == 1:
                raise
            raise _among_others(error, file.path) from error
        attack = _attack(file, frames)
        captures.append(
            Capture(
                *(file.split, file.name, attack, file.group, digest, frames, report, file.path),
                place=place,
            )
        )
    return captures


def _joined(file: CaptureFile | Capture) -> str:
    """Group, split and name."""
    return "/".join(part for part in (file.group, file.split, file.name) if part)


def _among_others(error: ForeignFileError, path: Path) -> ForeignFileError:
    """The same refusal, with what to do when other files beside it are captures."""
    leave_out = f"If {path.name!r} is no capture, move it out of the folder, or begin its name"
    hint = f"{error.hint} {leave_out} with a dot."
    return ForeignFileError(error.problem, where=error.where, hint=hint)


def _attack(file: CaptureFile, frames: Frames) -> str:
    """The kind of attack: whether there is one is for the labels to say, which one for the name."""
    if frames.count(ATTACK):
        return file.attack
    return ATTACK_FREE if frames.is_labelled else UNKNOWN_ATTACK


def _simulate(data: CANData) -> list[Capture]:
    from tutelage.tasks.can.simulator import simulated_dataset

    dataset = simulated_dataset(data.simulated_seed, data.simulated_seconds)
    settings = [data.simulated_seed, data.simulated_seconds]
    return [
        Capture(
            split,
            made.name,
            made.attack or ATTACK_FREE,
            "",
            digest_json([settings, split, made.name]),
            made.frames,
        )
        for split, captures in dataset.items()
        for made in captures
    ]
