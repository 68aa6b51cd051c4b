"""The finished epochs of a run, read from its `metrics.csv` while another process writes it."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tutelage.core.errors import StoreError

_LAST_OF_EPOCH: Final = "learning_rate"
_COLUMNS: Final = 5


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch came to.

    Args:
        value: The metric at its end; null where it has none, or none that is a number.
        diverged: Which loss is no number any more, if one is.
    """

    value: float | None
    diverged: str | None = None


def read_epochs(path: Path, metric: str) -> tuple[Epoch, ...]:
    """Return the finished epochs, the first one first.

    A last line that is still being written is left for the next look, and so is an epoch of which
    not all is there: a resumed run writes its epochs again.

    Args:
        path: The file; an absent one has no epochs.
        metric: A metric in it, such as ``val/loss``.
    """
    rows: dict[int, dict[str, float]] = {}
    for epoch, name, value in _rows(path):
        rows.setdefault(epoch, {})[name] = value
    epochs: list[Epoch] = []
    while _LAST_OF_EPOCH in rows.get(len(epochs), {}):
        epochs.append(_epoch(rows[len(epochs)], metric))
    return tuple(epochs)


def metrics_of_epochs(path: Path) -> tuple[str, ...]:
    """Return the names of all validation metrics in the file, such as ``val/loss``."""
    names = {name for _, name, _ in _rows(path) if name.startswith("val/")}
    return tuple(sorted(names))


def _epoch(values: dict[str, float], metric: str) -> Epoch:
    value = values.get(metric, math.nan)
    wrong = [
        f"{name} is {loss}"
        for name, loss in values.items()
        if name in ("epoch/loss", "val/loss") and not math.isfinite(loss)
    ]
    return Epoch(value if math.isfinite(value) else None, wrong[0] if wrong else None)


def _rows(path: Path) -> list[tuple[int, str, float]]:
    """The whole lines of the file: epoch, metric, value.

    Raises:
        StoreError: It holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        return [
            (int(row[0]), row[2], float(row[3]))
            for row in list(csv.reader(whole.splitlines()))[1:]
            if len(row) == _COLUMNS
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        raise StoreError(f"the metrics can't be read: {error}", where=path) from error
