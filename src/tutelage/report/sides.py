"""Runs put together that differ by their seed or fold alone: the sides of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tutelage.core.errors import TutelageError
from tutelage.core.folds import read_split
from tutelage.core.store import Run
from tutelage.report.names import short_name
from tutelage.report.seeds import APART, ROOT, SEED
from tutelage.report.settings import settings_of

FOLD, SPLIT_FILE = "data.fold", "data.split_file"
Place = tuple[str, str]
"""Seed and fold of a run."""


@dataclass(slots=True)
class Side:
    """Runs that are alike but for their seeds and folds.

    Args:
        alike: What they have in common.
        runs: Each by its seed and fold.
        folds: Folds of one repeat, where they are of a cross-validation and its file is there.
    """

    alike: object
    runs: dict[Place, Run] = field(default_factory=dict)
    folds: int | None = None

    @property
    def first(self) -> Run:
        """The run that was named first."""
        return next(iter(self.runs.values()))

    @property
    def name(self) -> str:
        """Its first run, and how many there are besides."""
        more = len(self.runs) - 1
        return short_name(self.first.id) + (f" and {more} more" if more else "")


def sides_of(runs: Sequence[Run]) -> list[Side]:
    """Put runs together that differ by seed or fold alone, in the order given."""
    sides: list[Side] = []
    for run in runs:
        settings = settings_of(run)
        prints = run.record.fingerprints
        place = (str(settings.get(SEED)), str(settings.get(FOLD)))
        kept = {
            key: str(value)
            for key, value in settings.items()
            if key not in (SEED, FOLD, SPLIT_FILE, ROOT) and key.partition(".")[0] not in APART
        }
        alike = (kept, prints.data, prints.split, prints.parents, prints.source)
        fitting = (s for s in sides if s.alike == alike and place not in s.runs)
        side = next(fitting, None)
        if side is None:
            folds = _folds(settings.get(SPLIT_FILE), prints.split)
            sides.append(side := Side(alike, folds=folds))
        side.runs[place] = run
    return sides


def _folds(path: object, digest: str | None) -> int | None:
    """Return the folds of one repeat, where the file that dealt them is still there."""
    if not isinstance(path, str) or digest is None:
        return None
    try:
        split = read_split(Path(path))
    except TutelageError:
        return None
    return split.folds if split.digest == digest else None
