"""Which differences between runs may be chance: paired tests over seeds, folds or test items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tutelage.core.blocks import interval_of, paired_bootstrap, read_blocks
from tutelage.core.chance import Interval, PairedTest, holm, over_folds, over_seeds, paired_test
from tutelage.core.records import Table
from tutelage.core.store import Run
from tutelage.report.names import short_name
from tutelage.report.sides import Side
from tutelage.report.tables import cell, headline_of, splits_of

SURE: Final = 0.05
CHANCE: Final = "may be chance"


@dataclass(frozen=True, slots=True)
class Headline:
    """The headline metric of a side on a test split.

    Args:
        metric: ``split/metric``.
        side: Who has it.
        found: Its value, or mean, with the interval.
        of: What the interval is of; empty where there is none.
    """

    metric: str
    side: str
    found: Interval
    of: str

    def as_json(self) -> dict[str, object]:
        """The values that ``--json`` prints."""
        one = self.found
        return {
            "metric": self.metric,
            "run": self.side,
            "value": one.mean,
            "low": one.low,
            "high": one.high,
            "over": self.of,
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference of two sides, and whether it is beyond chance.

    Args:
        metric: ``split/metric``.
        side: The one.
        against: The other.
        found: The difference and its p-value; null where none can be told.
        over: What was paired.
        said: The verdict, or why there is no test.
        adjusted: The p-value, adjusted for the number of tests.
    """

    metric: str
    side: str
    against: str
    found: PairedTest | None
    over: str = ""
    said: str = ""
    adjusted: float | None = None

    def as_json(self) -> dict[str, object]:
        """The values that ``--json`` prints."""
        apart = self.found.difference if self.found else None
        return {
            "metric": self.metric,
            "run": self.side,
            "against": self.against,
            "difference": apart and apart.mean,
            "low": apart and apart.low,
            "high": apart and apart.high,
            "p_value": self.found and self.found.p_value,
            "p_adjusted": self.adjusted,
            "over": self.over,
            "said": self.said,
        }


def headlines(sides: Sequence[Side]) -> list[Headline]:
    """The headline metric of every side on each of its test splits, with intervals."""
    found = []
    for side in sides:
        record = side.first.record
        for split in splits_of(record):
            key = f"{split}/{headline_of(record)}"
            if key in record.metrics:
                found.append(Headline(key, side.name, *_interval(side, key)))
    order = list(dict.fromkeys(one.metric for one in found))
    return sorted(found, key=lambda one: order.index(one.metric))


def _interval(side: Side, key: str) -> tuple[Interval, str]:
    values = [run.metrics[key] for run in side.runs.values() if key in run.metrics]
    if len(values) > 1:
        if side.folds:
            return over_folds(values, side.folds), f"{len(values)} folds"
        return over_seeds(values), f"{len(values)} seeds"
    kept, metrics = read_blocks(side.first).get(key), side.first.metrics
    if f"{key}_low" in metrics and f"{key}_high" in metrics:
        ends = metrics[f"{key}_low"], metrics[f"{key}_high"]
        return Interval(metrics[key], *ends), kept.of if kept else "test items"
    if kept is None:
        return Interval(values[0]), ""
    return interval_of(kept), f"{len(kept.above)} {kept.of}"


def tests(sides: Sequence[Side]) -> list[Difference]:
    """Test every side against the first one, in the headline metric of each test split."""
    found = [one for side in sides[1:] for one in _against(sides[0], side)]
    known = [one.found.p_value for one in found if one.found and one.found.p_value is not None]
    adjusted = iter(holm(known))
    return [_judged(one, adjusted) for one in found]


def _judged(one: Difference, adjusted: Iterator[float]) -> Difference:
    if one.found is None or one.found.p_value is None:
        return one
    p_value, mean = next(adjusted), one.found.difference.mean
    said = CHANCE if p_value >= SURE or not mean else "higher" if mean > 0 else "lower"
    names = (one.metric, one.side, one.against, one.found, one.over)
    return Difference(*names, said=said, adjusted=p_value)


def _against(first: Side, side: Side) -> Iterator[Difference]:
    record = first.first.record
    for split in splits_of(record):
        key = f"{split}/{headline_of(record)}"
        if key not in record.metrics or not any(key in run.metrics for run in side.runs.values()):
            continue
        test, over, why = _test(side, first, key)
        yield Difference(key, side.name, first.name, test, over, why)


def _test(side: Side, other: Side, key: str) -> tuple[PairedTest | None, str, str]:
    """Return the test, what it is over, and why there is none."""
    both = [place for place in side.runs if place in other.runs]
    pairs = [(side.runs[p].metrics.get(key), other.runs[p].metrics.get(key)) for p in both]
    scored = [(mine, theirs) for mine, theirs in pairs if mine is not None and theirs is not None]
    if len(scored) > 1:
        mine, theirs = zip(*scored, strict=True)
        if len({fold for _, fold in both}) == 1:
            return paired_test(mine, theirs), f"{len(scored)} seeds", ""
        if not side.folds:
            return None, "", "how many folds there are is unknown: their file is gone"
        return paired_test(mine, theirs, side.folds), f"{len(scored)} folds", ""
    if len(both) == 1:
        return _over_items(side.runs[both[0]], other.runs[both[0]], key)
    if len(side.runs) == len(other.runs) == 1:
        return _over_items(side.first, other.first, key)
    return None, "", "no seed or fold in common: train both with the same ones"


def _over_items(run: Run, other: Run, key: str) -> tuple[PairedTest | None, str, str]:
    mine, theirs = read_blocks(run).get(key), read_blocks(other).get(key)
    if mine is None or theirs is None:
        who = short_name((run if mine is None else other).id)
        return None, "", f"{who} kept no scores of single test items: train several seeds of both"
    if mine.items != theirs.items or len(mine.above) != len(theirs.above):
        return None, "", "they were scored on other test items"
    test = paired_bootstrap(mine, theirs)
    why = "" if test.p_value is not None else "there is one block of test items"
    return test, f"{len(mine.above)} {mine.of}", why


def headline_table(found: Sequence[Headline]) -> Table:
    """A row for each test split, a column for each side: the headline metric with its interval."""
    sides = list(dict.fromkeys(one.side for one in found))
    cells = {(one.metric, one.side): _cell(one.found) for one in found}
    rows = tuple(
        (metric, *(cells.get((metric, side)) for side in sides))
        for metric in dict.fromkeys(one.metric for one in found)
    )
    over = ", ".join(dict.fromkeys(one.of for one in found if one.of))
    note = f"In brackets the 95 % interval over {over}." if over else ""
    return Table(title="Headline", columns=("metric", *sides), rows=rows, note=note)


def _cell(found: Interval) -> str:
    if found.low is None or found.high is None:
        return cell(found.mean)
    return f"{cell(found.mean)} [{cell(found.low)}, {cell(found.high)}]"


_METHODS: Final[Mapping[str, str]] = {
    "seeds": "Over seeds: Student's paired t-test.",
    "folds": "Over folds: paired t-test, its variance corrected for training data that overlap "
    "(Nadeau & Bengio 2003).",
    "": "Over test items: paired bootstrap of blocks, 2,000 draws. It tells of these trained "
    "models on other items of the kind; another seed may move a score as much.",
}


def test_table(found: Sequence[Difference]) -> Table:
    """A row for each difference: its interval, its p-value, and the verdict."""
    sides = dict.fromkeys(one.side for one in found)
    rows = tuple(
        (
            *((one.metric,) if len(sides) == 1 else (one.metric, one.side)),
            *(one.said, *_ends(one.found), one.adjusted, one.over or None),
        )
        for one in found
    )
    used = {words if words in _METHODS else "" for one in found
            if one.over for words in [one.over.rpartition(" ")[2]]}  # fmt: skip
    note = " ".join(_METHODS[words] for words in _METHODS if words in used)
    several = sum(one.adjusted is not None for one in found)
    if several > 1:
        note += f" p is adjusted for {several} tests (Holm 1979)."
    who = ("metric",) if len(sides) == 1 else ("metric", "run")
    columns = (*who, "verdict", "difference", "low", "high", "p", "over")
    less = " and ".join(sides) if len(sides) == 1 else "each run"
    title = f"Is it chance? {less} less {found[0].against}" if found else "Is it chance?"
    return Table(title=title, columns=columns, rows=rows, note=note)


def _ends(found: PairedTest | None) -> tuple[float | None, float | None, float | None]:
    if found is None:
        return None, None, None
    return found.difference.mean, found.difference.low, found.difference.high
