"""Receptive fields: spike-triggered averages, gradients of a model, most exciting stimuli."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.tasks.neural.batch import SessionChunk
from tutelage.tasks.neural.rates import RateModel
from tutelage.tasks.neural.sessions.session import Ints, Session

Double = NDArray[np.float64]


def spike_triggered(
    session: Session, rows: Ints, lags: int, of: Literal["average", "energy"] = "average"
) -> Double:
    """Return (N, lags, H, W), what was seen before a spike, less what was seen on average.

    The first lag is the frame of the response itself. *energy* takes squared deviations from the
    mean frame, which shows where complex cells look though their average is flat.

    Args:
        session: The recording.
        rows: (M,) the rows whose responses count; those without the whole past are left out.
        lags: Frames of the past, the present one included.
        of: What is averaged.
    """
    starts = np.searchsorted(session.trial, session.trial[rows])
    rows = rows[rows - starts >= lags - 1]
    responses = np.where(session.valid[rows], session.responses[rows], 0).astype(np.float64)
    count = np.maximum(session.valid[rows].sum(axis=0), 1)
    centred = np.where(session.valid[rows], responses - responses.sum(axis=0) / count, 0)
    total = np.maximum(responses.sum(axis=0), 1)[:, None]
    height, width = session.stimulus.shape[2:]
    mean = session.stimulus[rows].mean(axis=(0, 1)).ravel()
    fields = []
    for lag in range(lags):
        seen = session.stimulus[rows - lag].reshape(len(rows), -1) - mean
        fields.append(centred.T @ (seen**2 if of == "energy" else seen) / total)
    return np.stack(fields, axis=1).reshape(-1, lags, height, width)


def model_fields(module: RateModel, chunk: SessionChunk, units: Sequence[int]) -> Double:
    """Return (n, 2, C + 1, H, W), the stimulus directions that move each unit's rate the most.

    They are the first two principal axes of the rate's gradients over the windows of ``chunk``. Of
    a linear unit the first is its filter, and the second is weak. The gradients of a complex cell
    change their sign and phase: its axes span the plane of its quadrature pair, about equally
    strong; which two phases they are says nothing, the sum of their energies does.

    The first axis has norm 1, the second its strength beside that (the root of the ratio of their
    eigenvalues). The first lag is the frame of the response itself; signs are arbitrary.

    Args:
        module: The model, in evaluation.
        chunk: Windows (L = 1) of one session.
        units: Which of its units.
    """
    stimulus = chunk.stimulus.float().requires_grad_()
    rates = module.rates(replace(chunk, stimulus=stimulus))[:, -1]
    fields = []
    for unit in units:
        (gradient,) = torch.autograd.grad(rates[:, unit].sum(), stimulus, retain_graph=True)
        flat = torch.nn.functional.pad(gradient[:, 0].flatten(1).double(), (0, 0, 0, 1))
        # the row of zeros gives one window two axes; eigenvectors of the small Gram matrix give
        # those of the large one, each times the root of its eigenvalue
        _, vectors = torch.linalg.eigh(flat @ flat.T)
        axes = (vectors[:, [-1, -2]].T @ flat).unflatten(1, gradient.shape[2:])
        fields.append(axes.flip(1) / axes[0].norm().clamp(min=1e-12))
    return torch.stack(fields).cpu().numpy()


def most_exciting(
    module: RateModel, chunk: SessionChunk, unit: int, steps: int = 40, contrast: float = 45.0
) -> Double:
    """Return (C + 1, H, W), a stimulus of given contrast that drives a unit as strongly as found.

    Gradient ascent from the unit's model field, with each step brought back to the contrast, and
    gradients smoothed in space, so that no noise comes in that no eye resolves (Walker et al. 2019,
    doi:10.1038/s41593-019-0517-x).

    Args:
        module: The model, in evaluation.
        chunk: One window (L = 1) of the unit's session, for its behaviour and size.
        unit: Which unit.
        steps: Of the ascent.
        contrast: Standard deviation of its pixels, of 255.
    """
    one = replace(
        chunk,
        responses=chunk.responses[:1],
        valid=chunk.valid[:1],
        past=chunk.past[:1],
        frames=chunk.frames[:1],
        behaviour=None if chunk.behaviour is None else torch.zeros_like(chunk.behaviour[:1]),
    )
    field = model_fields(module, chunk, [unit])[0, 0]
    start = torch.from_numpy(field[::-1].copy()).float().to(chunk.stimulus.device)[None, None]
    candidates = []
    for sign in (1.0, -1.0):
        image = _bounded(sign * start, contrast)
        rate = torch.zeros(())
        for _ in range(steps):
            image = image.detach().requires_grad_()
            rate = module.rates(replace(one, stimulus=image))[0, -1, unit]
            (gradient,) = torch.autograd.grad(rate, image)
            smooth = torch.nn.functional.avg_pool3d(gradient, (1, 3, 3), 1, (0, 1, 1))
            step = smooth / smooth.std().clamp(min=1e-12)
            image = _bounded(image - 127.5 + 0.1 * contrast * step, contrast)
        found: Double = image.detach()[0, 0].flip(0).double().cpu().numpy()
        candidates.append((float(rate.detach()), found))
    return max(candidates, key=lambda candidate: candidate[0])[1]


def _bounded(change: torch.Tensor, contrast: float) -> torch.Tensor:
    return (127.5 + contrast * change / change.std().clamp(min=1e-12)).clamp(0, 255)


@dataclass(frozen=True, slots=True)
class FieldShape:
    """Where a receptive field lies and what it prefers.

    Args:
        y: Centre of its energy in pixels from the top.
        x: The same from the left.
        orientation: Direction of its bars in degrees, 0 to 180.
        latency: The lag of its greatest energy in frames, interpolated.
        second: Energy of its second axis beside the first's: 0 of a linear unit, towards 1 of a
            complex cell.
    """

    y: float
    x: float
    orientation: float
    latency: float
    second: float


def field_shape(field: Double) -> FieldShape:
    """Measure the axes of a field (axes, lags, H, W), by the sum of their energies.

    The centre is that of the energy above a quarter of its peak, after smoothing; the orientation
    that of the greatest power in the frame of greatest energy; the latency that of a parabola
    through the lags' energies around the greatest.
    """
    energy = (field**2).sum(axis=0)
    lag = energy.sum(axis=(1, 2))
    best = int(lag.argmax())
    latency = float(best)
    if 0 < best < len(lag) - 1:
        before, at, after = lag[best - 1 : best + 2]
        curve = before - 2 * at + after
        latency += float(0.5 * (before - after) / curve) if curve else 0.0
    smooth = _smoothed(energy.sum(axis=0))
    weight = np.where(smooth > 0.25 * smooth.max(), smooth, 0)
    grid = np.mgrid[: weight.shape[0], : weight.shape[1]]
    y, x = (float((weight * axis).sum() / weight.sum()) for axis in grid)
    of_axis = (field**2).sum(axis=(1, 2, 3))
    second = float(of_axis[1:].sum() / of_axis[0])
    return FieldShape(y, x, _orientation(field[:, best]), latency, second)


def _smoothed(image: Double) -> Double:
    """Return an image after a Gaussian of deviation 1.5 pixels."""
    kernel = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    rows = np.apply_along_axis(np.convolve, 0, image, kernel, mode="same")
    smooth: Double = np.apply_along_axis(np.convolve, 1, rows, kernel, mode="same")
    return smooth


def _orientation(axes: Double) -> float:
    """Return the direction of the bars in degrees: across the mean direction of spatial power.

    Args:
        axes: (axes, H, W), whose powers are added.
    """
    centred = axes - axes.mean(axis=(1, 2), keepdims=True)
    power = (np.abs(np.fft.fft2(centred, (64, 64))) ** 2).sum(axis=0)
    fy, fx = np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64), indexing="ij")
    power = np.where(power > 0.25 * power.max(), power, 0)
    doubled = (power * np.exp(2j * np.arctan2(fx, fy))).sum()
    return float(np.rad2deg(np.angle(doubled) / 2) % 180)
