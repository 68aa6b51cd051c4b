"""Label-free evidence: extra frames, broken payloads, silences, lying signals."""

from tutelage.tasks.can.evidence.absence import AbsenceMonitor
from tutelage.tasks.can.evidence.absence_state import AbsenceJSON, AbsenceState
from tutelage.tasks.can.evidence.monitors import Monitors
from tutelage.tasks.can.evidence.payload import PayloadJSON, PayloadModel
from tutelage.tasks.can.evidence.payload_state import PayloadState
from tutelage.tasks.can.evidence.redundancy import (
    RedundancyJSON,
    RedundancyModel,
    RedundancyState,
)
from tutelage.tasks.can.evidence.silences import Silence, derive_silences, silent_windows
from tutelage.tasks.can.evidence.stream import MonitorStream
from tutelage.tasks.can.evidence.surprise import Evidence, Feature, alarm_level
from tutelage.tasks.can.evidence.timing import TimingModel

__all__ = [
    "AbsenceJSON",
    "AbsenceMonitor",
    "AbsenceState",
    "Evidence",
    "Feature",
    "MonitorStream",
    "Monitors",
    "PayloadJSON",
    "PayloadModel",
    "PayloadState",
    "RedundancyJSON",
    "RedundancyModel",
    "RedundancyState",
    "Silence",
    "TimingModel",
    "alarm_level",
    "derive_silences",
    "silent_windows",
]
