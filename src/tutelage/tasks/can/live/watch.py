"""`CANWatch`: frames from a source through windows, scores and k-of-n to verdicts, as they come."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Generator, Iterator
from typing import Self

import numpy as np
from threadpoolctl import threadpool_limits

from tutelage.capabilities import Verdict, Watch
from tutelage.core.errors import RunFailedError
from tutelage.tasks.can.alarms import RecentAlarms
from tutelage.tasks.can.config import CANEvaluation
from tutelage.tasks.can.live.judges import Judge, Judged
from tutelage.tasks.can.live.latency import Latencies
from tutelage.tasks.can.live.sources import Source
from tutelage.tasks.can.live.standout import Standouts

_log = logging.getLogger(__name__)


class CANWatch(Watch):
    """Judges the windows of one source.

    Args:
        source: Where frames come from; it is closed at the end.
        judge: Makes scores of them.
        standouts: Says what stands out in a window under alarm.
        settings: k and n of k-of-n alarms.
        every: Whether windows without an alarm are told too.
    """

    def __init__(
        self,
        source: Source,
        judge: Judge,
        standouts: Standouts,
        settings: CANEvaluation,
        every: bool = False,
    ) -> None:
        self._source, self._judge = source, judge
        self._standouts, self._every = standouts, every
        self._stopping = False
        self._recent = RecentAlarms(settings.k, settings.n)
        self._latencies = Latencies()
        self._windows = self._alarms = 0
        self._seconds = self._cpu = 0.0
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

        Until then BLAS takes one thread: more of them don't pay for products of one window.

        Raises:
            DataError: A log turned out to be damaged.
            RunFailedError: A bus went away.
        """
        begun, cpu = time.perf_counter(), time.process_time()
        gc.collect()
        gc.freeze()  # what is there by now is there for good: collections needn't look at it
        try:
            with threadpool_limits(1, user_api="blas"):
                ended = yield from self._until_it_ends()
                yield from self._verdicts(self._judge.finish(ended))
        except RunFailedError:
            yield from self._verdicts(self._judge.finish(ended=False))
            raise
        finally:
            gc.unfreeze()
            self._seconds = time.perf_counter() - begun
            self._cpu = time.process_time() - cpu

    def _until_it_ends(self) -> Generator[Verdict, None, bool]:
        """Yield verdicts while frames come; return whether the source ended by itself."""
        while not self._stopping:
            least, most = self._judge.wanted()
            frames = self._source.take(least, most)
            if frames is None:
                return True
            self._tell_complaints()
            dry = self._source.is_live and len(frames) < least
            yield from self._verdicts(self._judge.push(frames, dry))
        return False

    def summary(self) -> dict[str, object]:
        """Counts of everything so far, as JSON values."""
        screen, frames = self._source.screen, self._judge.frames
        p50, p99 = (self._latencies.percentile(p) for p in (50, 99))
        return {
            "source": self._source.name,
            "frames": frames,
            "windows": self._windows,
            "alarms": self._alarms,
            "malformed": screen.bad.count,
            "skipped": dict(screen.skipped),
            "backward": screen.backward + screen.far_backward.count,
            "dropped": self._source.dropped,
            **self._judge.counts(),
            "seconds": round(self._seconds, 3),
            "cpu_seconds": round(self._cpu, 3),
            "frames_per_second": round(frames / self._seconds) if self._seconds else None,
            "latency_p50_us": p50 and round(p50 * 1e6, 1),
            "latency_p99_us": p99 and round(p99 * 1e6, 1),
        }

    def _verdicts(self, found: Iterator[Judged]) -> Iterator[Verdict]:
        """Tell what was found of windows."""
        for judged in found:
            alarm = self._recent.alarms(judged.over)
            self._latencies.add(time.perf_counter() - self._source.arrived, len(alarm))
            self._windows += len(alarm)
            self._alarms += int(np.count_nonzero(alarm))
            told = range(len(alarm)) if self._every else alarm.nonzero()[0].tolist()
            for window in told:
                yield self._verdict(judged, window, bool(alarm[window]))

    def _verdict(self, judged: Judged, window: int, alarm: bool) -> Verdict:
        graphs, score = judged.graphs, float(judged.score[window])
        number = int(graphs.first_row[window]) // graphs.stride
        values: dict[str, object] = {
            "window": number,
            "first_frame": int(graphs.first_row[window]),
            "start_time": float(graphs.start_time[window]),
            "end_time": float(graphs.end_time[window]),
            "score": score,
            "alarm": int(alarm),
        }
        seen = judged.sightings[window] if judged.sightings else None
        if judged.sightings:
            values["reason"] = seen.reason if seen else ""
        text = f"{values['end_time']:.6f}  window {number}  score {score:.4f}"
        if not alarm:
            return Verdict(False, text, values)
        parts = []
        if seen:
            values["evidence"] = seen.to_json()
            parts.append(str(seen))
        if not seen or judged.learned[window]:
            found = self._standouts.of(graphs, window)
            values["ids"] = [standout.to_json() for standout in found]
            others = ", ".join(f"0x{standout.arbitration_id:03X}" for standout in found[1:])
            parts.append(f"{found[0]}{f'; also {others}' if others else ''}")
        return Verdict(True, f"{text}  ALARM  {' | '.join(parts)}", values)

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
