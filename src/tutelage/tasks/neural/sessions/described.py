"""Sessions described in YAML: a parent file and one file a session, laid on each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tutelage.core.config import Section
from tutelage.core.errors import ConfigError, DataError
from tutelage.core.files import exists
from tutelage.core.overrides import build_config, merge, read_settings
from tutelage.tasks.neural.sessions.binning import frame_bounds, spike_counts
from tutelage.tasks.neural.sessions.hdf5 import read_datasets, read_hdf5
from tutelage.tasks.neural.sessions.npz import read_arrays, read_npz, recording_of
from tutelage.tasks.neural.sessions.nwb import read_nwb
from tutelage.tasks.neural.sessions.recording import FACTS, ROWS, Array, Recording

HDF5 = (".h5", ".hdf5")


class SessionFile(Section):
    """What a YAML file says of one session."""

    id: str | None = None
    """The session's name; null takes what the file of arrays says."""
    animal: str | None = None
    """Whose brain it was."""
    file: Path | None = None
    """The file of arrays (NPZ, HDF5, NWB), seen from the YAML file."""
    arrays: Mapping[str, str] = {}
    """Our names of arrays, and theirs: `stimulus: stim`. Empty: ours stand in the file."""
    frame_times: str | None = None
    """Array of the seconds at which each frame began; needs `spike_times`."""
    spike_times: Mapping[str, str] = {}
    """Names of units, and of the arrays of their spikes' times in seconds."""
    cut_to_shortest: bool = False
    """Drop frames, at the end, for which there is no frame time, or no stimulus."""
    series: str | None = None
    """Name of the stimulus in an NWB file that holds several."""
    units: tuple[str, ...] = ()
    """Ids of the units to keep, in this order; empty keeps all."""
    exclude_units: tuple[str, ...] = ()
    """Ids of units to leave out, as too noisy."""
    rate_hz: float | None = Field(default=None, gt=0)
    """Frames a second; null takes what the file says."""
    target_rate_hz: float | None = Field(default=None, gt=0)
    """Frames a second to reduce a movie to, a whole part of `rate_hz`."""


class ParentFile(SessionFile):
    """What a YAML file says of all its sessions."""

    sessions: str | tuple[str, ...] | None = None
    """Folder of session files, or their paths, seen from this file; null: this is the one."""


def described_sessions(path: Path, folder: Path | None) -> Sequence[tuple[Path, SessionFile]]:
    """Return the YAML file and the whole description of each session.

    Args:
        path: The parent file.
        folder: Folder of session files, in place of what the parent names.

    Raises:
        ConfigError: A key is unknown or a value is wrong.
        DataError: A session file is missing, or there is none.
    """
    shared = read_settings(path)
    parent = build_config(ParentFile, [shared], where=path)
    listed = parent.sessions if folder is None else str(folder)
    if listed is None:
        return [(path, _located(build_config(SessionFile, [shared], where=path), path))]
    shared = {key: value for key, value in shared.items() if key != "sessions"}
    found = []
    for file in _session_files(path, listed):
        if not exists(file):
            raise DataError(f"no such session file: {file.name}", where=path, hint=f"Asked: {file}")
        settings = merge(shared, read_settings(file))
        found.append((file, _located(build_config(SessionFile, [settings], where=file), file)))
    return found


def _session_files(path: Path, listed: str | tuple[str, ...]) -> list[Path]:
    if not isinstance(listed, str):
        foreign = [name for name in listed if not is_yaml(Path(name))]
        if foreign:
            said = f"sessions: no YAML file: {foreign[0]}"
            raise DataError(said, where=path, hint="Session files end in .yaml or .yml.")
        return [path.parent / name for name in listed]
    folder = path.parent / listed
    if not exists(folder) or not folder.is_dir():
        raise DataError(f"no such folder of session files: {listed}", where=path)
    files = sorted(p for p in folder.iterdir() if is_yaml(p) and p != path)
    if not files:
        raise DataError("no session file (YAML) in this folder", where=folder)
    return files


def _located(session: SessionFile, path: Path) -> SessionFile:
    if session.file is None:
        raise ConfigError("`file` is not set", where=path, hint="Name the file of arrays.")
    if session.file.suffix.lower() not in READERS:
        said = f"file: no file of arrays: {session.file}"
        raise DataError(said, where=path, hint=f"Such files end in {', '.join(READERS)}.")
    return session.model_copy(update={"file": (path.parent / session.file).absolute()})


def read_described(session: SessionFile) -> Recording:
    """Read the recording that a description names.

    Raises:
        DataError: The file is missing, malformed, or holds no such array or unit.
    """
    assert session.file is not None
    recording = _read(session, session.file)
    recording = replace(
        recording,
        id=session.id or recording.id,
        animal=session.animal or recording.animal,
        rate_hz=session.rate_hz or recording.rate_hz,
    )
    return _slower(_chosen_units(recording, session), session)


def _read(session: SessionFile, path: Path) -> Recording:
    suffix = path.suffix.lower()
    if suffix == ".nwb":
        return read_nwb(path, session.series)
    whole, some = (read_hdf5, read_datasets) if suffix in HDF5 else (read_npz, read_arrays)
    if not session.arrays and not session.spike_times:
        return whole(path)
    unknown = [name for name in session.arrays if name not in (*ROWS, *FACTS)]
    if unknown:
        known = ", ".join((*ROWS, *FACTS))
        raise DataError(f"arrays: unknown name {unknown[0]!r}", where=path, hint=f"Valid: {known}.")
    theirs = [*session.arrays.values(), *session.spike_times.values()]
    theirs += [session.frame_times] if session.frame_times is not None else []
    held = some(path, tuple(dict.fromkeys(theirs)))
    arrays = {name: held[their] for name, their in session.arrays.items()}
    if session.spike_times:
        arrays |= _binned(session, path, arrays, held)
    return recording_of(arrays, path)


def _binned(
    session: SessionFile, path: Path, arrays: Mapping[str, Array], held: Mapping[str, Array]
) -> dict[str, Array]:
    """Count each unit's spikes in each frame."""
    name = next((n for n in ("stimulus", "images") if n in arrays), None)
    if session.frame_times is None or name is None:
        raise DataError(
            "spike_times need frame_times and arrays.stimulus",
            where=path,
            hint="Name the array of the seconds at which each frame began.",
        )
    times = _seconds(session, path, session.frame_times, held)
    frames = arrays[name]
    if len(times) != len(frames):
        if not session.cut_to_shortest:
            raise DataError(
                f"session {session.id}: frame_times: {len(times)} times for {len(frames)} frames",
                where=path,
                hint="Repair them, or drop the surplus at the end with cut_to_shortest: true.",
            )
        count = min(len(times), len(frames))
        times, frames = times[:count], frames[:count]
    if (np.diff(times) <= 0).any():
        raise DataError(f"session {session.id}: frame_times do not ascend", where=path)
    ends, trial = frame_bounds(times)
    spikes = [_seconds(session, path, their, held) for their in session.spike_times.values()]
    binned: dict[str, Array] = {
        name: frames,
        "responses": spike_counts(spikes, times, ends),
        "unit_ids": np.array(list(session.spike_times)),
        "rate_hz": np.array(1 / np.median(np.diff(times))),
    }
    return binned | ({} if "trial" in arrays else {"trial": trial})


def _seconds(
    session: SessionFile, path: Path, name: str, held: Mapping[str, Array]
) -> NDArray[np.float64]:
    if held[name].dtype.kind not in "iufb":
        said = f"session {session.id}: {name}: holds {held[name].dtype}, not seconds"
        raise DataError(said, where=path)
    return held[name].astype(np.float64).ravel()


def _chosen_units(recording: Recording, session: SessionFile) -> Recording:
    if not session.units and not session.exclude_units:
        return recording
    responses = recording.arrays.get("responses")
    if responses is None or responses.ndim != 2:
        return recording  # refused when it is checked
    names = [str(name) for name in recording.arrays.get("unit_ids", np.arange(0)).ravel()]
    names = names or [f"u{unit:03d}" for unit in range(responses.shape[1])]
    for asked in (*session.units, *session.exclude_units):
        if asked not in names:
            recording.refuse("unit_ids", f"no unit {asked!r}", f"It holds {', '.join(names[:20])}.")
    wanted = [n for n in session.units or names if n not in session.exclude_units]
    columns = [names.index(name) for name in wanted]
    arrays = dict(recording.arrays) | {
        "responses": responses[:, columns],
        "unit_ids": np.array(wanted),
    }
    if "valid" in arrays and arrays["valid"].ndim == 2:
        arrays["valid"] = arrays["valid"][:, columns]
    return replace(recording, arrays=arrays)


def _slower(recording: Recording, session: SessionFile) -> Recording:
    """Reduce a movie to a lower rate: counts are summed, all else is taken at the first frame."""
    if session.target_rate_hz is None:
        return recording
    rate = recording.rate_hz
    if rate is None:
        recording.refuse("rate_hz", "not known, but target_rate_hz is set", "Set rate_hz.")
    rows = {n: array for n, array in recording.arrays.items() if n in ROWS and array.ndim}
    share = rate / session.target_rate_hz
    factor = round(share) if share <= max(map(len, rows.values()), default=0) else 0
    if factor < 1 or abs(rate / factor - session.target_rate_hz) > 0.01 * session.target_rate_hz:
        said = f"no whole part of {rate:g} frames a second, or too low for so few frames"
        recording.refuse("target_rate_hz", said)
    reduced = {name: _reduced(name, array, factor) for name, array in rows.items()}
    arrays = dict(recording.arrays) | reduced
    return replace(recording, arrays=arrays, rate_hz=rate / factor)


def _reduced(name: str, array: Array, factor: int) -> Array:
    count = len(array) // factor
    grouped = array[: count * factor].reshape(count, factor, *array.shape[1:])
    reduced: Array = grouped[:, 0]
    if name == "responses":
        reduced = grouped.astype(np.float32).sum(axis=1)
    elif name == "valid":
        reduced = np.asarray(grouped.all(axis=1))
    return reduced


def is_yaml(path: Path) -> bool:
    """Whether a file describes sessions."""
    return path.suffix.lower() in (".yaml", ".yml")


Reader = Callable[[Path], Recording]
READERS: Mapping[str, Reader] = {
    ".npz": read_npz,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
    ".nwb": read_nwb,
}
