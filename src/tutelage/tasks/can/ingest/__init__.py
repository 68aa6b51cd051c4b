"""Reading CAN captures of every common format into `Frames`; heavy readers load only when used."""

from tutelage.tasks.can.ingest.read import read_frames, require_labels
from tutelage.tasks.can.ingest.report import IngestReport

__all__ = ["IngestReport", "read_frames", "require_labels"]
