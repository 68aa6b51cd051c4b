"""Sessions as NWB 2 files through pynwb: image series, units' spikes, trials, behaviour."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tutelage.core.errors import DataError, RequestError
from tutelage.core.files import open_regular
from tutelage.core.installing import install_command
from tutelage.tasks.neural.sessions.binning import frame_bounds, spike_counts
from tutelage.tasks.neural.sessions.hdf5 import DAMAGED, require_own
from tutelage.tasks.neural.sessions.recording import Array, Recording
from tutelage.tasks.neural.sessions.session import Bools, Ints

if TYPE_CHECKING:
    from pynwb import NWBFile, TimeSeries

Double = NDArray[np.float64]


def read_nwb(path: Path, series: str | None = None) -> Recording:
    """Read a file that holds one session.

    Read are: an image series (or an index series over one) among the presented stimuli, the times
    of the units' spikes and the intervals in which each was observed, the table of trials, and
    every time series of the processing module ``behavior``, interpolated at the frames.

    Args:
        path: The file.
        series: Which stimulus, where there are several.

    Raises:
        DataError: The file is missing or damaged, or one of these is absent or malformed.
        RequestError: pynwb is not installed.
    """
    try:
        import h5py
        from hdmf.build.errors import BuildError, ConstructError
        from pynwb import NWBHDF5IO
    except ImportError as error:
        hint = f"Install it: {install_command('neural')}."
        raise RequestError("reading NWB needs pynwb", where=path, hint=hint) from error
    if not path.exists():
        raise DataError("no such session file", where=path)
    try:
        with open_regular(path), h5py.File(path, "r") as file:
            require_own(file, path)
        with NWBHDF5IO(path, "r", load_namespaces=True) as io:
            return _recording(io.read(), path, series)
    except (*DAMAGED, AssertionError, ConstructError, BuildError) as error:
        raise DataError(f"can't be read as NWB: {error}", where=path) from error


def _recording(file: NWBFile, path: Path, series: str | None) -> Recording:
    shown = _stimulus(file, path, series)
    times = _times(shown)
    ends, trial = frame_bounds(times)
    if file.units is None or "spike_times" not in file.units.colnames:
        raise DataError("units: no table of units with spike times", where=path)
    units = file.units
    spikes = [np.asarray(units["spike_times"][unit], np.float64) for unit in range(len(units))]
    arrays: dict[str, Array] = {
        "stimulus": _frames(shown),
        "responses": spike_counts(spikes, times, ends),
        "valid": _observed(file, times, ends),
        "unit_ids": np.array([str(name) for name in units.id[:]]),
        "trial": _trials(file, times, trial),
    }
    signals = {name: np.interp(times, at, values) for name, at, values in _behaviour(file)}
    if signals:
        arrays["behaviour"] = np.stack(list(signals.values()), axis=1).astype(np.float32)
        arrays["behaviour_names"] = np.array(list(signals))
    animal = file.subject.subject_id if file.subject and file.subject.subject_id else path.stem
    return Recording(
        path=path,
        id=file.session_id or path.stem,
        arrays=arrays,
        animal=str(animal),
        rate_hz=float(1 / np.median(np.diff(times))) if len(times) > 1 else None,
    )


def _stimulus(file: NWBFile, path: Path, series: str | None) -> TimeSeries:
    from pynwb.base import TimeSeries
    from pynwb.image import ImageSeries, IndexSeries

    kinds = (ImageSeries, IndexSeries)
    found = {name: each for name, each in file.stimulus.items() if isinstance(each, kinds)}
    if series is None and len(found) != 1:
        names = ", ".join(found) or "none"
        raise DataError(
            f"stimulus: {len(found)} image series are presented ({names})",
            where=path,
            hint="Name one with `series` in a YAML file of the session.",
        )
    name = series or next(iter(found))
    if name not in found:
        raise DataError(f"stimulus: no image series {name!r}", where=path)
    shown = found[name]
    assert isinstance(shown, TimeSeries)
    return shown


def _frames(shown: TimeSeries) -> Array:
    """Return (T, H, W); an index series shows images of another series or list."""
    data: Array = np.asarray(shown.data)
    images = getattr(shown, "indexed_images", None)
    template = getattr(shown, "indexed_timeseries", None)
    if images is not None:
        ordered = images.order_of_images or images.images.values()
        data = np.stack([np.asarray(image.data) for image in ordered])[data]
    elif template is not None:
        data = np.asarray(template.data)[data]
    return data


def _times(series: TimeSeries) -> Double:
    """Return (T,) when each sample was taken, in seconds."""
    if series.timestamps is not None:
        return np.asarray(series.timestamps, np.float64)
    start = series.starting_time or 0.0
    times: Double = start + np.arange(len(series.data), dtype=np.float64) / series.rate
    return times


def _observed(file: NWBFile, times: Double, ends: Double) -> Bools:
    """Return (T, N), the frames that lie within an interval in which the unit was observed."""
    count = len(file.units)
    if "obs_intervals" not in file.units.colnames:
        return np.ones((len(times), count), np.bool_)
    columns = []
    for unit in range(count):
        intervals = np.asarray(file.units["obs_intervals"][unit], np.float64).reshape(-1, 2)
        inside = (times[:, None] >= intervals[:, 0]) & (ends[:, None] <= intervals[:, 1] + 1e-9)
        columns.append(inside.any(axis=1))
    return np.stack(columns, axis=1)


def _trials(file: NWBFile, times: Double, pauses: Ints) -> Ints:
    """Return (T,) the stretch of each frame: trials where there are any, cut at pauses."""
    if file.trials is None or not len(file.trials):
        return pauses
    start = np.asarray(file.trials["start_time"][:], np.float64)
    stop = np.asarray(file.trials["stop_time"][:], np.float64)
    order = np.argsort(start)
    place = np.searchsorted(start[order], times + 1e-9, side="right") - 1
    inside = (place >= 0) & (times < stop[order][np.maximum(place, 0)])
    label = 2 * place + inside
    border = (np.diff(label, prepend=label[0]) != 0) | (np.diff(pauses, prepend=0) != 0)
    stretch: Ints = np.cumsum(border).astype(np.int64)
    return stretch


def _behaviour(file: NWBFile) -> Iterator[tuple[str, Double, Double]]:
    """Yield name, times and values of every signal of the module ``behavior``."""
    from pynwb.base import TimeSeries

    if "behavior" not in file.processing:
        return
    for interface in file.processing["behavior"].data_interfaces.values():
        inner = [interface] if isinstance(interface, TimeSeries) else interface.children
        for series in inner:
            if not isinstance(series, TimeSeries):
                continue
            values = np.asarray(series.data, np.float64)
            columns = values[:, None] if values.ndim == 1 else values
            for column in range(columns.shape[1]):
                name = series.name if values.ndim == 1 else f"{series.name}_{column}"
                yield name, _times(series), columns[:, column]
