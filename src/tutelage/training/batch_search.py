"""The search for a batch size: sizes doubled, visited in rotation, one chosen and tried again."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from tutelage.core.errors import ConfigError, RunFailedError
from tutelage.training.batch_selection import (
    PLATEAU,
    MemoryModel,
    SizeRow,
    candidates,
    has_plateaued,
    select,
    summarise,
)
from tutelage.training.probe import Greeting, Probe, ProbeRequest
from tutelage.training.probe_child import ProbeChild

_GRAPH_SAFETY = 0.5
_GROWTH_SHARE = 0.6
_VISIT_SHARE = 0.6
_PATIENCE = 3.0
_SHORTEST_VISIT_S = 0.05
_FEWEST_STEPS = 7  # a visit's time: three timed steps, two weighed ones that may take double


@dataclass(frozen=True)
class BatchSizeOptions:
    """How to look for a batch size.

    Args:
        min_size: The smallest size to try (2, since batch normalisation refuses 1).
        max_size: The largest size to try; None: the number of training samples.
        tolerance: The share of peak throughput that may be given up for a smaller batch.
        memory_margin: The share of the available memory that stays free, at least.
        safety_factor: A further factor on the memory that may be used; None: 0.5 for graphs, whose
            batches differ, and 1.0 for other data.
        steps: Timed steps of each size that matters, when the budget allows.
        rounds: Visits over which these steps are spread, in rotation over the sizes.
        budget_s: Seconds of probing on a quiet machine; sizes whose steps don't fit are not tried.
            A busy machine gets up to three times as long, rather than a worse choice.
        timeout_s: Seconds without an answer after which a probe is given up.
        processes: Training processes that share this machine's memory.
    """

    min_size: int = 2
    max_size: int | None = None
    tolerance: float = 0.03
    memory_margin: float = 0.2
    safety_factor: float | None = None
    steps: int = 20
    rounds: int = 3
    budget_s: float = 8.0
    timeout_s: float = 120.0
    processes: int = 1

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            ConfigError: A value is out of range.
        """
        rules = {
            "min_size": self.min_size >= 1,
            "max_size": self.max_size is None or self.max_size >= self.min_size,
            "tolerance": 0 <= self.tolerance < 1,
            "memory_margin": 0 <= self.memory_margin < 1,
            "safety_factor": self.safety_factor is None or 0 < self.safety_factor <= 1,
            "steps": self.steps >= 1,
            "rounds": self.rounds >= 1,
            "budget_s": self.budget_s > 0,
            "timeout_s": self.timeout_s > 0,
            "processes": self.processes >= 1,
        }
        for name, holds in rules.items():
            if not holds:
                value = getattr(self, name)
                raise ConfigError(f"{name} = {value!r} is out of range", where="batch-size options")


@dataclass(frozen=True)
class BatchSizeChoice:
    """The chosen batch size and all that led to it; `dataclasses.asdict` makes it a JSON value.

    Args:
        size: Samples in a batch.
        budget: Nodes + edges that a batch may hold at most, for graphs; else None.
        reason: One sentence for people.
        throughput: Samples a second measured on typical batches.
        peak_bytes_predicted: Peak memory of a step, above the process before training.
        memory_limit_bytes: What such a peak was allowed to reach.
        seconds: How long the search took.
        table: Every size that was measured.
    """

    size: int
    budget: int | None
    reason: str
    throughput: float
    peak_bytes_predicted: int
    memory_limit_bytes: int
    seconds: float
    table: tuple[SizeRow, ...]


class Search:
    """One search: grow, visit again in rotation, select, validate in a fresh child.

    Args:
        options: How to look.
        launch: Starts a child that takes steps.
    """

    def __init__(self, options: BatchSizeOptions, launch: Callable[[], ProbeChild]) -> None:
        self._options, self._launch = options, launch
        self._visits: defaultdict[int, list[Probe]] = defaultdict(list)
        self._deadline = float("inf")
        self._limit = 0.0
        self._ended = ""

    def run(self) -> BatchSizeChoice:
        """Search, and say what was found.

        Raises:
            RunFailedError: No size fits, or a step failed; it says what happened.
        """
        start = time.perf_counter()
        with self._launch() as child:
            greeting = child.greeting()
            begun = time.perf_counter()
            self._deadline = begun + _PATIENCE * self._options.budget_s
            factor = self._options.safety_factor
            factor = factor or (_GRAPH_SAFETY if greeting.graphs else 1.0)
            usable = greeting.available_bytes * factor * (1 - self._options.memory_margin)
            self._limit = usable / self._options.processes
            self._grow(child, greeting, begun + _PATIENCE * _GROWTH_SHARE * self._options.budget_s)
            self._rotate(child)
        row = self._validate()
        return self._choice(row, greeting, time.perf_counter() - start)

    def _rows(self) -> list[SizeRow]:
        return [summarise(self._visits[size]) for size in sorted(self._visits)]

    def _sizes(self, train_size: int) -> Iterator[int]:
        largest = self._options.max_size or train_size
        size = min(self._options.min_size, largest)
        while size <= largest:
            yield size
            size *= 2

    def _grow(self, child: ProbeChild, greeting: Greeting, until: float) -> None:
        """Double the size until throughput, memory, time or the data end it."""
        self._ended = "the largest size allowed was reached"
        for size in self._sizes(greeting.train_size):
            rows = self._rows()
            if has_plateaued(rows, self._options.tolerance) and self._still_flat(child, rows):
                self._ended = "larger ones brought no more throughput"
                return
            if len(rows) >= 2 and MemoryModel.fit(rows).predict(size) > self._limit:
                self._ended = f"{size} would not fit in memory with the margin"
                self._refine(child, rows)
                return
            visit_s = _FEWEST_STEPS * _shortest_step(rows, size)
            late = time.perf_counter() + visit_s > until
            if late or visit_s > _VISIT_SHARE * self._options.budget_s:
                self._ended = f"{size} would not fit in the time budget"
                return
            if not self._visit(child, size):
                self._ended = f"{size} did not fit in memory"
                return

    def _still_flat(self, child: ProbeChild, rows: Sequence[SizeRow]) -> bool:
        """Measure the last sizes once more: a busy neighbour must not end the growth."""
        for row in rows[-PLATEAU:]:
            if child.alive:
                self._visit(child, row.size)
        return has_plateaued(self._rows(), self._options.tolerance)

    def _refine(self, child: ProbeChild, rows: Sequence[SizeRow]) -> None:
        """Try the largest size that memory admits between the last one and its double."""
        size = MemoryModel.fit(rows).largest_inside(self._limit)
        size -= size % 8
        if size > rows[-1].size:
            self._visit(child, size)

    def _rotate(self, child: ProbeChild) -> None:
        """Visit the sizes that may be chosen again and again, since machines are noisy."""
        share = 1 - 3 * self._options.tolerance
        inside = [row for row in self._rows() if row.peak_bytes <= self._limit]
        for _ in range(self._options.rounds - 1):
            for row in candidates(inside, share):
                late = (
                    time.perf_counter() + _FEWEST_STEPS * (row.step_seconds or 0) > self._deadline
                )
                if child.alive and not late:
                    self._visit(child, row.size)

    def _visit(self, child: ProbeChild, size: int) -> bool:
        options = self._options
        request = ProbeRequest(
            size=size,
            steps=-(-options.steps // options.rounds),
            shortest_s=min(_SHORTEST_VISIT_S, options.budget_s / 100),
            longest_s=options.budget_s / 10,
        )
        probe = child.measure(request)
        self._visits[size].append(probe)
        return not probe.out_of_memory and probe.peak_bytes <= self._limit

    def _validate(self) -> SizeRow:
        """Take real steps at the chosen size in a fresh child; choose anew if they do not fit."""
        while row := select(self._rows(), self._options.tolerance, self._limit):
            with self._launch() as child:
                child.greeting()
                probe = child.measure(ProbeRequest(row.size, steps=0))
            if not probe.out_of_memory and probe.peak_bytes <= self._limit:
                return row
            self._visits[row.size].append(replace(probe, out_of_memory=True))
        raise self._nothing_fits()

    def _nothing_fits(self) -> RunFailedError:
        row = self._rows()[0]
        took = "ran out of memory" if row.out_of_memory else f"took {_mib(row.peak_bytes)}"
        return RunFailedError(
            f"no batch size fits: a step at size {row.size} {took},"
            f" and {_mib(self._limit)} may be used",
            hint="Free memory, take a smaller model, or lower min_size.",
        )

    def _choice(self, row: SizeRow, greeting: Greeting, seconds: float) -> BatchSizeChoice:
        rows = self._rows()
        inside = [one for one in rows if one.peak_bytes <= self._limit]
        best = max(inside, key=lambda one: one.throughput)
        several = sum(not one.out_of_memory for one in rows) >= 2
        predicted = MemoryModel.fit(rows).predict(row.size) if several else row.peak_bytes
        reason = (
            f"{row.size} is the smallest size within {self._options.tolerance:.0%} of the best"
            f" measured throughput ({best.throughput:,.0f} samples/s at {best.size}); a step takes"
            f" {_mib(row.peak_bytes)} of the {_mib(self._limit)} that may be used;"
            f" {self._ended}."
        )
        return BatchSizeChoice(
            size=row.size,
            budget=row.cost if greeting.graphs else None,
            reason=reason,
            throughput=row.throughput,
            peak_bytes_predicted=max(predicted, row.peak_bytes),
            memory_limit_bytes=int(self._limit),
            seconds=seconds,
            table=tuple(rows),
        )


def _shortest_step(rows: Sequence[SizeRow], size: int) -> float:
    """Foretell a step's seconds at ``size`` from the best throughput of smaller sizes."""
    return size / max(row.throughput for row in rows) if rows else 0.0


def _mib(size: float) -> str:
    return f"{size / 2**20:,.1f} MiB"
