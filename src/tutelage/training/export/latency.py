"""How long one sample takes in an exported file, beside the trained model, on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from tutelage.training.export.card import Latency
from tutelage.training.export.form import Exportable

if TYPE_CHECKING:
    import onnxruntime

CALLS: Final = 60
_WARM: Final = 5


def time_calls(
    session: onnxruntime.InferenceSession, form: Exportable, engine: str
) -> tuple[Latency, ...]:
    """Return what a call takes for a short, a middling and the longest sample.

    Args:
        session: Runs the file on one thread.
        form: The trained model, and its samples.
        engine: What the file is called.
    """
    order = sorted(range(len(form.samples)), key=lambda i: form.samples[i][0].numel())
    trained = (form.trained or form.module).eval()
    chosen = dict.fromkeys((order[0], order[len(order) // 2], order[-1]))
    found: list[Latency] = []
    for number in chosen:
        sample = form.samples[number]
        fed = {n: v.numpy() for n, v in zip(form.inputs, sample, strict=True)}
        shape = tuple(sample[0].shape)
        with torch.inference_mode(), _one_thread():
            found.append(timed("torch", shape, partial(trained, *sample)))
        found.append(timed(engine, shape, partial(session.run, [form.output], fed)))
    return tuple(found)


def timed(engine: str, shape: tuple[int, ...], call: Callable[[], object]) -> Latency:
    """Time one call again and again."""
    seconds = np.zeros(_WARM + CALLS)
    for i in range(len(seconds)):
        started = time.perf_counter()
        call()
        seconds[i] = time.perf_counter() - started
    p50, p95, p99 = (1e3 * np.quantile(seconds[_WARM:], q) for q in (0.5, 0.95, 0.99))
    return Latency(
        engine=engine,
        shape=shape,
        calls=CALLS,
        p50_ms=round(float(p50), 3),
        p95_ms=round(float(p95), 3),
        p99_ms=round(float(p99), 3),
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread, and what it used before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
