"""`tutelage audit can`: leakage between splits, repeats, missing labels, odd captures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from tutelage.core.records import AuditStamp, Table
from tutelage.task import Audit
from tutelage.tasks.can.captures import ATTACK_FREE, Capture, load_dataset
from tutelage.tasks.can.config import CANConfig, CANData
from tutelage.tasks.can.ingest.captures import attack_of, named_for_attack
from tutelage.tasks.can.overlap import overlapping_captures, shared_captures
from tutelage.tasks.can.splits import repeated_windows

LEAKS, WARNS = "leak", "warning"
PLAUSIBLE_RATE = (20.0, 20_000.0)
"""Frames a second of a CAN bus in use."""


def audit(config: CANConfig, cache: Path) -> Audit:
    """Look at every capture by itself and against the others.

    The verdict is about the files as they are: *leaking* means that a training capture and a test
    capture share frames. Training leaves such windows out and says so in its own stamp.

    Raises:
        DataError: The data are missing, empty, unreadable or malformed.
    """
    captures = load_dataset(config.data, cache)
    findings = [*_single(captures), *_repeats(captures), *_shared(captures, config.data)]
    kinds = {kind for kind, _ in findings}
    verdict = "leaking" if LEAKS in kinds else "warnings" if kinds else "clean"
    stamp = AuditStamp(verdict=verdict, findings=tuple(text for _, text in findings))
    return Audit(stamp, (_inventory(captures),))


def _inventory(captures: Sequence[Capture]) -> Table:
    columns = (
        "capture", "attack", "frames", "seconds", "ids", "attack frames",
        "backward steps", "format",
    )  # fmt: skip
    rows = []
    for capture in captures:
        frames, report = capture.frames, capture.report
        seconds = float(frames.timestamp.max() - frames.timestamp.min())
        rows.append(
            (
                capture.label,
                capture.attack,
                len(frames),
                round(seconds, 1),
                len(frames.ids),
                capture.attack_frames if frames.is_labelled else None,
                report.backward_steps if report else 0,
                report.format if report else "simulated",
            )
        )
    return Table(title="Captures", columns=columns, rows=tuple(rows))


def _single(captures: Sequence[Capture]) -> Iterator[tuple[str, str]]:
    for capture in captures:
        frames, label, report = capture.frames, capture.label, capture.report
        yield from _timing(capture)
        if not frames.is_labelled:
            name = " (data.columns.label=NAME says which column has it)" * _has_columns(capture)
            yield WARNS, f"{label}: frames without a label can't train or be scored{name}"
        elif named_for_attack(capture.name) and not capture.attack_frames:
            named = attack_of(capture.name)
            yield WARNS, f"{label}: named {named} but no frame is labelled an attack"
        elif capture.attack == ATTACK_FREE and capture.attack_frames:
            yield (
                WARNS,
                f"{label}: named attack-free but {capture.attack_frames} frames are labelled",
            )
        if report and report.backward_steps:
            largest = report.largest_backward * 1e3
            yield (
                WARNS,
                f"{label}: time steps back {report.backward_steps} times, at most {largest:.2f} ms",
            )
        if report and report.skipped:
            skipped = ", ".join(f"{count} {kind}" for kind, count in report.skipped.items())
            yield WARNS, f"{label}: skipped {skipped} frames"


def _has_columns(capture: Capture) -> bool:
    """Whether a capture's format names its columns."""
    return capture.report is not None and capture.report.format in ("csv", "parquet")


def _timing(capture: Capture) -> Iterator[tuple[str, str]]:
    """Warn of a frame rate that no CAN bus has; loggers bunch frames, so over the whole time."""
    stamps = capture.frames.timestamp
    seconds = float(stamps.max() - stamps.min())
    lowest, highest = PLAUSIBLE_RATE
    if not seconds * lowest <= len(stamps) - 1 <= seconds * highest:
        yield (
            WARNS,
            f"{capture.label}: {len(stamps)} frames in {seconds:g} s: "
            "are the timestamps in seconds?",
        )


def _repeats(captures: Sequence[Capture]) -> Iterator[tuple[str, str]]:
    same: dict[str, list[Capture]] = defaultdict(list)
    for capture in captures:
        same[capture.digest].append(capture)
    for group in same.values():
        if len(group) > 1:
            names = ", ".join(capture.label for capture in group)
            apart = {capture.tests for capture in group}
            yield (LEAKS if len(apart) == 2 else WARNS), f"the same content: {names}"


def _shared(captures: Sequence[Capture], data: CANData) -> Iterator[tuple[str, str]]:
    """Training captures whose traffic also stands in a test capture."""
    tests = [c for c in captures if c.tests]
    training = [c for c in captures if not c.tests]
    for found in shared_captures(training, tests):
        if found.capture.digest != found.test.digest:
            windows = repeated_windows(found, data)
            part = "" if windows.all() else f" {windows.sum()} of its {len(windows)} windows"
            left_out = f"training leaves out{part or ' the whole'}"
            yield LEAKS, f"{found.capture.label}: {found.says}; {left_out}"
    for capture, other, share in overlapping_captures(training):
        if capture.digest != other.digest:
            kept = "the latter validates" if other.validates else "only the longer trains"
            yield (
                WARNS,
                f"{capture.label} and {other.label} share {share:.0%} of their traffic: {kept}",
            )
