"""`CANWatch`: frames from a source through windows, scores and k-of-n to verdicts, as they come."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tutelage.core.errors import RunFailedError
from tutelage.task import Verdict, Watch
from tutelage.tasks.can.alarms import k_of_n
from tutelage.tasks.can.config import CANEvaluation
from tutelage.tasks.can.graphs import Graphs, join_graphs
from tutelage.tasks.can.live.latency import Latencies
from tutelage.tasks.can.live.scoring import Scorer
from tutelage.tasks.can.live.sources import Source
from tutelage.tasks.can.live.standout import Standouts
from tutelage.tasks.can.live.stream import WindowStream

_log = logging.getLogger(__name__)

TOGETHER = 256
"""Windows that are judged together at most: as many as ``predict`` takes."""

_LAST = 8
"""Frames of a window that are waited for apart, so that the others are compared by then."""


class CANWatch(Watch):
    """Judges the windows of one source.

    Args:
        source: Where frames come from; it is closed at the end.
        stream: Cuts windows.
        scorer: Scores them.
        standouts: Says what stands out in a window under alarm.
        settings: k and n of k-of-n alarms.
        batch: Windows that are judged together; null for `TOGETHER` of a log, and of a live source
            those that are full, up to `TOGETHER`: one, unless frames come faster than verdicts.
        every: Whether windows without an alarm are told too.
    """

    def __init__(
        self,
        source: Source,
        stream: WindowStream,
        scorer: Scorer,
        standouts: Standouts,
        settings: CANEvaluation,
        batch: int | None = None,
        every: bool = False,
    ) -> None:
        self._source, self._stream, self._scorer = source, stream, scorer
        self._standouts, self._settings, self._every = standouts, settings, every
        self._most = batch or TOGETHER
        self._least = batch or (1 if source.is_live else TOGETHER)
        self._stopping = False
        self._waiting: list[Graphs] = []
        self._over = np.zeros(0, np.bool_)
        self._latencies = Latencies()
        self._alarms, self._seconds, self._cpu = 0, 0.0, 0.0
        self._told: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    def stop(self) -> None:
        """Let `verdicts` end soon, after the windows that are full; safe in a signal handler."""
        self._stopping = True

    def verdicts(self) -> Iterator[Verdict]:
        """Yield verdicts in order of time until the source ends or `stop` is called.

        Raises:
            DataError: A log turned out to be damaged.
            RunFailedError: A bus went away.
        """
        begun, cpu = time.perf_counter(), time.process_time()
        try:
            while not self._stopping:
                least, most = self._wanted()
                frames = self._source.take(least, most)
                if frames is None:
                    break
                self._tell_complaints()
                graphs = self._stream.push(frames)
                if len(graphs):
                    self._waiting.append(graphs)
                dry = self._source.is_live and len(frames) < least
                if self._waiting and (dry or self._full()):
                    yield from self._judge()
            if self._waiting:
                yield from self._judge()
        except RunFailedError:
            if self._waiting:
                yield from self._judge()
            raise
        finally:
            self._seconds = time.perf_counter() - begun
            self._cpu = time.process_time() - cpu

    def summary(self) -> dict[str, object]:
        """Counts of everything so far, as JSON values."""
        screen, stream = self._source.screen, self._stream
        p50, p99 = (self._latencies.percentile(p) for p in (50, 99))
        return {
            "source": self._source.name,
            "frames": stream.frames,
            "windows": stream.windows,
            "alarms": self._alarms,
            "malformed": screen.bad.count,
            "skipped": dict(screen.skipped),
            "backward": screen.backward + screen.far_backward.count,
            "dropped": self._source.dropped,
            "forgotten_ids": stream.history.forgotten,
            "seconds": round(self._seconds, 3),
            "cpu_seconds": round(self._cpu, 3),
            "frames_per_second": round(stream.frames / self._seconds) if self._seconds else None,
            "latency_p50_us": p50 and round(p50 * 1e6, 1),
            "latency_p99_us": p99 and round(p99 * 1e6, 1),
        }

    def _wanted(self) -> tuple[int, int]:
        """Frames that are waited for, and that are taken at most.

        The last ones of a lone window are asked for apart.
        """
        waiting = sum(map(len, self._waiting))
        missing, stride = self._stream.missing, self._stream.stride
        least, most = (
            missing + (windows - waiting - 1) * stride for windows in (self._least, self._most)
        )
        if self._least == 1 and least > _LAST:
            least -= _LAST
            most = least if self._most == 1 else most
        return least, most

    def _full(self) -> bool:
        return sum(map(len, self._waiting)) >= self._least

    def _judge(self) -> Iterator[Verdict]:
        """Judge the windows that wait."""
        graphs = join_graphs(self._waiting)
        self._waiting.clear()
        score = self._scorer.scores(graphs)
        alarm = self._alarmed(score > self._scorer.threshold)
        self._latencies.add(time.perf_counter() - self._source.arrived, len(graphs))
        self._alarms += int(np.count_nonzero(alarm))
        told = range(len(graphs)) if self._every else alarm.nonzero()[0].tolist()
        for window in told:
            yield self._verdict(graphs, window, float(score[window]), bool(alarm[window]))

    def _alarmed(self, over: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return (G,) whether enough of the last n windows are over the threshold."""
        k, n = self._settings.k, self._settings.n
        known = np.concatenate([self._over, over])
        self._over = known[max(0, len(known) - n + 1) :]
        return k_of_n(known, np.arange(len(known)), k, n)[len(known) - len(over) :]

    def _verdict(self, graphs: Graphs, window: int, score: float, alarm: bool) -> Verdict:
        number = int(graphs.first_row[window]) // graphs.stride
        values: dict[str, object] = {
            "window": number,
            "first_frame": int(graphs.first_row[window]),
            "start_time": float(graphs.start_time[window]),
            "end_time": float(graphs.end_time[window]),
            "score": score,
            "alarm": int(alarm),
        }
        text = f"{values['end_time']:.6f}  window {number}  score {score:.4f}"
        if not alarm:
            return Verdict(False, text, values)
        found = self._standouts.of(graphs, window)
        values["ids"] = [standout.to_json() for standout in found]
        others = ", ".join(f"0x{standout.arbitration_id:03X}" for standout in found[1:])
        text = f"{text}  ALARM  {found[0]}{f'; also {others}' if others else ''}"
        return Verdict(True, text, values)

    def _tell_complaints(self) -> None:
        """Warn of the first frame that is wrong in some way, then of ten times as many."""
        for kind, complaint in self._source.complaints.items():
            if complaint.count >= self._told.get(kind, 1):
                self._told[kind] = 10 ** len(str(complaint.count))
                _log.warning(
                    "%s: %d %s so far, first number %d: %s",
                    self._source.name,
                    complaint.count,
                    kind,
                    complaint.number,
                    complaint.message,
                )
