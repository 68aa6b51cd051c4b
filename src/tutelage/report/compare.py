"""Several runs set beside each other: what the page of a comparison shows, and `runs compare`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from tutelage.core.records import Table
from tutelage.core.store import Run
from tutelage.report.charts import MOST_LINES, Chart, chart, interval_chart
from tutelage.report.curves import compared_curves
from tutelage.report.modes import mode_table
from tutelage.report.names import short_name
from tutelage.report.seeds import seed_table, seeds_of
from tutelage.report.settings import differences_table
from tutelage.report.sides import Side, sides_of
from tutelage.report.significance import (
    Difference,
    Headline,
    headline_table,
    headlines,
    test_table,
    tests,
)
from tutelage.report.tables import comparison_table


@dataclass(frozen=True, slots=True)
class Compared:
    """Several runs set beside each other.

    Args:
        sides: Runs that differ by seed or fold alone are one.
        found: The headline metric of each side.
        tests: What may be chance in their differences.
        headline: Both as tables, and what modes gain.
        drawn: The headline metric with intervals, a chart for each test split.
        curves: Validation in training.
        metrics: Every metric of whole splits.
        settings: Those that differ.
    """

    sides: tuple[Side, ...]
    found: tuple[Headline, ...]
    tests: tuple[Difference, ...]
    headline: tuple[Table, ...]
    drawn: tuple[Chart, ...]
    curves: tuple[Chart, ...]
    metrics: tuple[Table, ...]
    settings: Table

    @property
    def tested(self) -> bool:
        """Whether there is more than one side."""
        return len(self.sides) > 1


def compare(runs: Sequence[Run]) -> Compared:
    """Set runs beside each other.

    Raises:
        StoreError: A run's record, settings, metrics or scores of test items can't be read.
    """
    sides = sides_of(runs)
    found, tested = headlines(sides), tests(sides)
    records = [run.record for run in runs]
    gained = mode_table(runs)
    named = {short_name(run.id): run for run in runs[:MOST_LINES]}
    return Compared(
        sides=tuple(sides),
        found=tuple(found),
        tests=tuple(tested),
        headline=(headline_table(found), test_table(tested), *([gained] if gained else ())),
        drawn=tuple(_drawn(found)),
        curves=tuple(filter(None, map(chart, compared_curves(named)))),
        metrics=(*([seed_table(records)] if seeds_of(runs) else ()), comparison_table(records)),
        settings=differences_table(runs),
    )


def _drawn(found: Sequence[Headline]) -> list[Chart]:
    return [
        interval_chart(metric, metric.rpartition("/")[2], {one.side: one.found for one in those})
        for metric, those in groupby(found, lambda one: one.metric)
    ]
