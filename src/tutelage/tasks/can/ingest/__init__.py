"""Reading CAN captures of every common format into `Frames`; heavy readers load only when used."""

from tutelage.tasks.can.ingest.cache import CaptureCache
from tutelage.tasks.can.ingest.captures import CaptureFile, find_captures, vehicle_of
from tutelage.tasks.can.ingest.detect import ForeignFileError
from tutelage.tasks.can.ingest.read import open_capture, read_frames, require_labels
from tutelage.tasks.can.ingest.report import IngestReport

__all__ = [
    "CaptureCache",
    "CaptureFile",
    "ForeignFileError",
    "IngestReport",
    "find_captures",
    "open_capture",
    "read_frames",
    "require_labels",
    "vehicle_of",
]
