"""The work of a probe child: real steps, weighed on the worst-case batch, timed on typical ones."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import IO, TYPE_CHECKING, TypeGuard

import torch
from lightning.pytorch.plugins.precision import Precision
from torch.optim import Optimizer

from tutelage.core.errors import ConfigError
from tutelage.training.allocator import keep_freed_memory
from tutelage.training.probe_memory import MemoryMeter, is_out_of_memory, memory_meter
from tutelage.training.sizable import TYPICAL_DRAWS, SizableData, SizableGraphs

if TYPE_CHECKING:
    import lightning.pytorch as pl

_WEIGHED_STEPS = 2  # the optimiser makes its state in the first one


@dataclass(frozen=True)
class ProbeRequest:
    """One visit to one size.

    Args:
        size: Samples in the batch.
        steps: Timed steps to make at least, when ``longest_s`` allows; 0: only memory is measured.
        shortest_s: Go on stepping until so many seconds have passed.
        longest_s: Stop after so many seconds (never before a timed step on each typical batch).
    """

    size: int
    steps: int
    shortest_s: float = 0.0
    longest_s: float = float("inf")


@dataclass(frozen=True)
class Probe:
    """What one visit measured.

    Args:
        size: Samples in the batch.
        cost: Nodes + edges of the worst-case batch for graphs, else its samples.
        seconds: Wall time of each timed step, on the typical batches in turn.
        peak_bytes: Peak memory above that of the process before its first step, on the worst case.
        out_of_memory: The step did not fit; then ``seconds`` is empty.
    """

    size: int
    cost: int
    seconds: tuple[float, ...]
    peak_bytes: int
    out_of_memory: bool = False


@dataclass(frozen=True)
class Greeting:
    """What a child tells before its first probe: the data's size and kind, the memory in reach."""

    train_size: int
    graphs: bool
    available_bytes: int


@dataclass(frozen=True)
class TrainingWork:
    """Forward, backward and optimiser step of a module, outside any trainer.

    Args:
        module: ``training_step(batch, batch_idx)`` gives the loss, or a mapping with ``"loss"``.
        data: Makes the worst-case batch and typical batches of a size.
        device: Where to train.
        precision: The arithmetic.
    """

    module: pl.LightningModule
    data: SizableData
    device: torch.device
    precision: Precision = field(default_factory=Precision)

    def prepare(self) -> tuple[Greeting, Callable[[ProbeRequest], Probe]]:
        """Move the module to its device and return the greeting and the function that probes.

        Raises:
            ConfigError: The module optimises manually, so its step can't be taken from outside.
        """
        if not self.module.automatic_optimization:
            raise ConfigError("a module with manual optimisation can't be probed")
        self.precision.convert_module(self.module.to(self.device)).train()
        meter = memory_meter(self.device)
        optimizers = list(find_optimizers(self.module.configure_optimizers()))
        for group in (group for one in optimizers for group in one.param_groups):
            group["lr"] = group["lr"] * 0  # the weights stay sane however often a batch is seen
        greeting = Greeting(
            train_size=self.data.train_size,
            graphs=isinstance(self.data, SizableGraphs),
            available_bytes=meter.available_bytes,
        )
        return greeting, lambda request: self._probe(request, meter, optimizers)

    def _probe(
        self, request: ProbeRequest, meter: MemoryMeter, optimizers: Sequence[Optimizer]
    ) -> Probe:
        meter.reset()
        seconds: tuple[float, ...] = ()
        cost, peak_bytes, exhausted = request.size, 0, False
        try:
            if isinstance(self.data, SizableGraphs):
                cost = self.data.cost_of_size(request.size)
            self._weigh(request.size, optimizers)
            peak_bytes = meter.peak_bytes()
            seconds = self._time(request, optimizers)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            peak_bytes, exhausted = meter.peak_bytes(), True
        if exhausted:
            self.module.zero_grad(set_to_none=True)
            gc.collect()
        return Probe(request.size, cost, seconds, peak_bytes, exhausted)

    def _weigh(self, size: int, optimizers: Sequence[Optimizer]) -> None:
        batch = self.data.batch_of_size(size)
        for _ in range(_WEIGHED_STEPS):
            self._step(batch, optimizers)

    def _time(self, request: ProbeRequest, optimizers: Sequence[Optimizer]) -> tuple[float, ...]:
        if not request.steps:
            return ()
        draws = range(TYPICAL_DRAWS)
        batches = [self.data.typical_batch_of_size(request.size, draw) for draw in draws]
        return _timed([partial(self._step, batch, optimizers) for batch in batches], request)

    def _step(self, batch: object, optimizers: Sequence[Optimizer]) -> None:
        converted = self.precision.convert_input(batch)
        placed = self.module.transfer_batch_to_device(converted, self.device, 0)
        with self.precision.train_step_context():
            output = self.module.training_step(placed, 0)
        loss = output["loss"] if isinstance(output, Mapping) else output
        if not isinstance(loss, torch.Tensor):
            raise ConfigError(f"training_step returned no loss but {type(loss).__name__}")
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _timed(steps: Sequence[Callable[[], None]], request: ProbeRequest) -> tuple[float, ...]:
    seconds: list[float] = []
    start = before = time.perf_counter()
    for step in cycle(steps):
        step()
        now = time.perf_counter()
        seconds.append(now - before)
        before, elapsed = now, now - start
        enough = len(seconds) >= request.steps and elapsed >= request.shortest_s
        late = elapsed >= request.longest_s
        if len(seconds) >= len(steps) and (enough or late):
            break
    return tuple(seconds)


def find_optimizers(configured: object) -> Iterator[Optimizer]:
    """Yield the optimisers in what ``configure_optimizers`` returned, in any form."""
    if isinstance(configured, Optimizer):
        yield configured
    elif isinstance(configured, Mapping):
        yield from find_optimizers(configured["optimizer"])
    elif _is_optimizers_and_schedulers(configured):
        yield from find_optimizers(configured[0])
    elif isinstance(configured, Sequence):
        for one in configured:
            yield from find_optimizers(one)
    else:
        kind = type(configured).__name__
        raise ConfigError(f"configure_optimizers returned no optimiser but {kind}")


def _is_optimizers_and_schedulers(value: object) -> TypeGuard[Sequence[Sequence[object]]]:
    return (
        isinstance(value, Sequence)
        and len(value) == 2
        and all(isinstance(one, Sequence) for one in value)
    )


def serve(work: TrainingWork, requests: IO[str], replies: IO[str]) -> None:
    """Answer one JSON line with one JSON line until ``requests`` ends.

    An error is not caught: the process ends with its traceback on stderr, where the parent looks.
    """
    keep_freed_memory()  # as training does
    greeting, probe = work.prepare()
    _send(replies, vars(greeting))
    for line in requests:
        _send(replies, vars(probe(ProbeRequest(**json.loads(line)))))


def serve_standard_streams(build: Callable[[], TrainingWork]) -> None:
    """Serve probes on stdin and stdout: the whole body of a program that a command child runs.

    Whatever prints while ``build`` and the steps run goes to stderr, so import heavy things and
    build the module and its data inside ``build``.

    Args:
        build: Makes the work afresh, for instance from a run's ``config.json``.
    """
    with os.fdopen(os.dup(1), "w") as replies:
        os.dup2(2, 1)
        serve(build(), sys.stdin, replies)


def _send(replies: IO[str], message: Mapping[str, object]) -> None:
    replies.write(json.dumps(message) + "\n")
    replies.flush()
