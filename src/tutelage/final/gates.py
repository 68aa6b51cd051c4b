"""Whether a model keeps what it has to keep to be shipped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Final

from tutelage.core.errors import UnknownNameError
from tutelage.core.records import RunRecord
from tutelage.core.store import WEIGHTS, Run
from tutelage.final.config import Gate
from tutelage.final.manifest import ExportedFile, GateResult

_FEW: Final = 8


def judge(run: Run, gate: Gate, exports: Sequence[ExportedFile]) -> tuple[GateResult, ...]:
    """Hold a finished run and its exported files to a gate; a result for each limit."""
    results = [*_scores(run.record, gate), *_latencies(gate, exports)]
    if gate.megabytes is not None:
        sizes = {file.format: file.bytes for file in exports}
        sizes = sizes or {"weights": (run.path / WEIGHTS).stat().st_size}
        for name, size in sizes.items():
            megabytes = size / 1e6
            results.append(
                GateResult(
                    what=f"size of {name}",
                    limit=gate.megabytes,
                    value=megabytes,
                    unit="MB",
                    passed=megabytes <= gate.megabytes,
                )
            )
    return tuple(results)


def _scores(record: RunRecord, gate: Gate) -> Iterator[GateResult]:
    if gate.metric is None:
        return
    value = record.metrics.get(gate.metric)
    for limit, least in ((gate.minimum, True), (gate.maximum, False)):
        if limit is not None:
            kept = value is not None and (value >= limit if least else value <= limit)
            what = f"{gate.metric} at {'least' if least else 'most'}"
            yield GateResult(what=what, limit=limit, value=value, passed=kept)


def _latencies(gate: Gate, exports: Sequence[ExportedFile]) -> Iterator[GateResult]:
    if gate.latency_ms is None:
        return
    for file in exports:
        if file.format == "hf":
            continue
        p50 = file.latency_p50_ms
        kept = p50 is not None and p50 <= gate.latency_ms
        what = f"latency p50 of {file.format}"
        yield GateResult(what=what, limit=gate.latency_ms, value=p50, unit="ms", passed=kept)


def check_gate(gate: Gate, record: RunRecord) -> None:
    """Refuse a metric that runs of these tests do not have, before any work.

    Args:
        gate: What is asked.
        record: That of a run that was tested alike.

    Raises:
        UnknownNameError: It is not among the run's metrics; the nearest ones are offered.
    """
    if gate.metric is None or gate.metric in record.metrics:
        return
    near = get_close_matches(gate.metric, record.metrics, n=_FEW, cutoff=0.0)
    raise UnknownNameError("metric", gate.metric, near, where="final.gate.metric")


def failed(results: Sequence[GateResult]) -> Iterator[str]:
    """Say in a sentence each how a model failed its gates."""
    for result in results:
        if result.passed:
            continue
        if result.value is None:
            yield f"gate: {result.what} {result.limit:g} is asked, but there is no such value"
            continue
        unit = f" {result.unit}" if result.unit else ""
        yield f"gate: {result.what} is {result.value:.4g}{unit}, allowed is {result.limit:g}{unit}"
