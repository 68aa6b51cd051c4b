"""Names that MLflow accepts, and the tags that we give its runs."""

from __future__ import annotations

import posixpath
import re
from typing import Final

from tutelage.core.files import digest_bytes

ID: Final = "tutelage.id"
"""Tag by which our runs, trials and studies are found again."""
SENT: Final = "tutelage.sent"
"""Tag that says how far a run has been sent."""
PARENT: Final = "mlflow.parentRunId"
NAME: Final = "mlflow.runName"
NOTE: Final = "mlflow.note.content"
SOURCE: Final = "mlflow.source.name"
COMMIT: Final = "mlflow.source.git.commit"
NAME_LENGTH, VALUE_LENGTH = 250, 6000
_STAMP: Final = re.compile(r"^\d{8}-\d{6}-(\d{3}-)?")
_ILLEGAL: Final = re.compile(r"[^/\w.\- :]")


def metric_name(name: str) -> str:
    """Return a metric's or setting's name as MLflow accepts it: ``recall@10`` → ``recall_at_10``.

    What has to be changed further gets a digest at its end, so that two names never become one.
    """
    plain = name.replace("@", "_at_")
    legal = posixpath.normpath(_ILLEGAL.sub("_", plain)).strip("/")
    if legal.startswith("..") or legal == ".":
        legal = legal.replace(".", "_")
    if legal == plain and len(legal) <= NAME_LENGTH:
        return legal
    mark = digest_bytes(name.encode())[:6]
    return f"{legal[: NAME_LENGTH - len(mark) - 1]}-{mark}"


def short(name: str) -> str:
    """Return the id of a run or a study without the moment, which MLflow has in a column."""
    return _STAMP.sub("", name)


def clipped(text: str) -> str:
    """Return a value that is no longer than MLflow accepts."""
    return text if len(text) <= VALUE_LENGTH else text[: VALUE_LENGTH - 1] + "…"
