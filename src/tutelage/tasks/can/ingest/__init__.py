"""Reading CAN captures of every common format into `Frames`; heavy readers load only when used."""

from tutelage.tasks.can.ingest.cache import CaptureCache
from tutelage.tasks.can.ingest.captures import CaptureFile, find_captures, vehicle_of
from tutelage.tasks.can.ingest.detect import ForeignFileError
from tutelage.tasks.can.ingest.read import read_frames, require_labels
from tutelage.tasks.can.ingest.report import IngestReport

__all__ = [
    "CaptureCache",
    "CaptureFile",
    "ForeignFileError",
    "IngestReport",
    "find_captures",
    "read_frames",
    "require_labels",
    "vehicle_of",
]
