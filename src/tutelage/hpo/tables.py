"""What a study shows: its trials, what mattered, why one was chosen, how it stands the tests."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from tutelage.core.chance import Interval, over_folds, over_seeds
from tutelage.core.records import Cell, Table
from tutelage.hpo.comparison import gap
from tutelage.hpo.config import Direction
from tutelage.hpo.importances import Importances
from tutelage.hpo.results import Refit, TrialResult
from tutelage.hpo.selection import Selection, best_epoch

_INTERVALS: Final = "Intervals are of 95 %."


def trials_table(
    trials: Iterable[TrialResult],
    metric: str,
    direction: Direction,
    folds: int,
    chosen: int | None = None,
) -> Table:
    """Return a row for each trial, the best first, those without a score last.

    Args:
        trials: The study's trials.
        metric: What they are compared by.
        direction: Whether more of it is better.
        folds: Folds of a whole trial.
        chosen: Number of the chosen trial.
    """
    sign = -1.0 if direction == "maximize" else 1.0
    rows = sorted(
        trials, key=lambda t: (t.value is None, sign * (t.value or 0.0), t.number)
    )  # fmt: skip
    paths = list(dict.fromkeys(path for trial in rows for path in trial.params))
    columns = ("trial", "", metric, "±", "folds", "epochs", "seconds", *short_names(paths))
    cells = [
        (
            trial.number,
            "chosen" if trial.number == chosen else trial.status,
            trial.value,
            _spread(trial),
            f"{len(trial.folds)}/{folds}",
            best_epoch(trial),
            f"{trial.seconds:.1f}" if trial.folds else None,
            *(_cell(trial.params.get(path)) for path in paths),
        )
        for trial in rows
    ]
    note = (
        "± is the standard deviation over folds; epochs: the best one's number, on average; "
        "seconds: of the folds that ended."
    )
    return Table(title="Trials", columns=columns, rows=tuple(cells), note=note, first=True)


def importances_table(found: Importances) -> Table:
    """Return each parameter's share, the largest first; or the reason for none."""
    columns, title = ("parameter", "share"), "Importance of parameters"
    if found.reason is not None:
        return Table(title=title, columns=columns, rows=(), note=f"Not known: {found.reason}.")
    note = (
        f"PED-ANOVA: how far the {found.best} best of {found.trials} trials have other "
        "values than all. Few trials tell little: take it for a hint."
    )
    rows = tuple((name, share) for name, share in found.shares.items())
    return Table(title=title, columns=columns, rows=rows, note=note)


def selection_table(selection: Selection, metric: str) -> Table:
    """Return the chosen trial beside those that it was compared with, fold by fold."""
    rows = tuple(
        (
            f"less {other}",
            test.difference.mean,
            test.difference.low,
            test.difference.high,
            test.p_value,
        )
        for other, test in selection.tests.items()
    )
    note = f"Trial {selection.trial} is chosen: {selection.why}."
    if any(test.p_value is not None for test in selection.tests.values()):
        note += (
            " Paired t-test over folds, with the variance corrected for overlapping training data "
            f"(Nadeau & Bengio 2003). {_INTERVALS}"
        )
    elif rows:
        note += " There are too few folds to tell differences from chance."
    columns = (f"trial {selection.trial}", f"difference in {metric}", "low", "high", "p")
    return Table(title="Choice", columns=columns, rows=rows, note=note)


def refit_table(
    chosen: TrialResult, folds: int, refits: Sequence[Refit], metric: str, direction: Direction
) -> Table:
    """Return, for each test split, the refitted models' score beside that of cross-validation.

    Args:
        chosen: The chosen trial.
        folds: Folds of one repeat.
        refits: The refitted models, by seed.
        metric: What trials were compared by.
        direction: Whether more of it is better.
    """
    dev = [fold.value for fold in chosen.folds]
    validated = over_folds(dev, folds)
    columns = ("tests", f"held-out {metric}", "low ", "high ", f"test {metric}", "low", "high",
               "gap", "gap low", "gap high")  # fmt: skip
    rows = []
    for split, scores in _by_split(refits, metric).items():
        apart = gap(dev, folds, scores)
        apart = apart if direction == "maximize" else _flipped(apart)
        rows.append((split, *_ends(validated), *_ends(over_seeds(scores)), *_ends(apart)))
    seeds = ", ".join(str(refit.seed) for refit in refits)
    note = (
        f"Trained by the settings of trial {chosen.number} with training.seed={seeds}; tested "
        "once. A gap above 0: held-out data promised more than the tests kept; the best of many "
        f"trials always promises too much. {_INTERVALS} They hold the spread of folds and of "
        "seeds, not that of the test samples."
    )
    if not rows:
        note = f"The refitted models' runs have no {metric} on tests."
    return Table(title="Tests", columns=columns, rows=tuple(rows), note=note, first=True)


def short_names(paths: Sequence[str]) -> list[str]:
    """Return the last word of each path, or as many as tell it from the others."""
    names = []
    for path in paths:
        words = path.split(".")
        for count in range(1, len(words) + 1):
            end = ".".join(words[-count:])
            if not any(f".{other}".endswith(f".{end}") for other in paths if other != path):
                break
        names.append(end)
    return names


def _by_split(refits: Sequence[Refit], metric: str) -> Mapping[str, list[float]]:
    """The scores of all models on each test split that all of them have."""
    splits = [key.rpartition("/")[0] for key in (refits[0].metrics if refits else ())
              if key.count("/") == 1 and key.endswith(f"/{metric}")]  # fmt: skip
    found = {
        split: [refit.metrics.get(f"{split}/{metric}") for refit in refits] for split in splits
    }
    return {
        split: [score for score in scores if score is not None]
        for split, scores in found.items()
        if None not in scores
    }


def _spread(trial: TrialResult) -> float | None:
    values = [fold.value for fold in trial.folds]
    return statistics.stdev(values) if len(values) > 1 else None


def _ends(interval: Interval) -> tuple[float | None, float | None, float | None]:
    return interval.mean, interval.low, interval.high


def _flipped(interval: Interval) -> Interval:
    if interval.low is None or interval.high is None:
        return Interval(-interval.mean)
    return Interval(-interval.mean, -interval.high, -interval.low)


def _cell(value: JsonValue) -> Cell:
    return json.dumps(value) if isinstance(value, list | dict | bool) else value
