"""The tables of `can_models.py`: means over seeds with 95 % intervals, in Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from targets import Target, number
from tutelage.report.seeds import Interval, interval

METRICS = {"f1": "F1", "precision": "precision", "recall": "recall"}
PER_HOUR = "false_alarms_per_hour"
NOTE = """\
Mean over seeds ± half the width of its 95 % confidence interval (Student's t), which tells of the
seeds alone: the captures are the same. – where there is nothing to divide by, (2 of 3) where two
seeds have something. *Calibrated*: on each capture's own first seconds, labels unread; those are
left out of the score."""
PAIRED = """\
F1 points by which the first is better than the second of the same seed; *helps* and *hurts* where
the interval does not hold 0, *does not help* where it does."""


@dataclass(frozen=True, slots=True)
class Row:
    """A detector's scores.

    Args:
        name: What it is called.
        columns: For each seed, its flat metrics.
        parameters: How many it has; null for what has none.
    """

    name: str
    columns: tuple[Mapping[str, float], ...]
    parameters: int | None

    def over_seeds(self, key: str) -> Interval | None:
        """The mean of a metric over the seeds that have it; null where none has."""
        values = [column[key] for column in self.columns if key in column]
        return interval(values) if values else None

    def as_json(self) -> dict[str, object]:
        """Every whole-split metric of the table, with the seeds' own values."""
        keys = [f"{split}/{metric}" for split in splits([self]) for metric in (*METRICS, PER_HOUR)]
        scores = {}
        for key in keys:
            if (found := self.over_seeds(key)) is not None:
                scores[key] = {**found.as_json(), "values": [c.get(key) for c in self.columns]}
        return {"name": self.name, "parameters": self.parameters, "scores": scores}


@dataclass(frozen=True, slots=True)
class Difference:
    """What one detector gains over another on a split, in F1 points.

    Args:
        first: What is to help.
        second: The same without it.
        split: The test split.
        gain: Over the seeds, of the same seed each.
    """

    first: str
    second: str
    split: str
    gain: Interval

    @property
    def verdict(self) -> str:
        """What the interval shows; of one seed, only where there is no gain."""
        half, mean = self.gain.half_width, self.gain.mean
        if half is None:
            return "" if mean > 0 else "does not help"
        if abs(mean) <= half:
            return "does not help"
        return "helps" if mean > 0 else "hurts"

    def as_json(self) -> dict[str, object]:
        """The values as plain JSON."""
        names = {"first": self.first, "second": self.second, "split": self.split}
        return {**names, "f1_points": self.gain.as_json(), "verdict": self.verdict}


@dataclass(frozen=True, slots=True)
class Goal:
    """An F1 that was asked for, as the mean over seeds of each split.

    Args:
        what: In words.
        row: Whose it is.
        least: The F1; beside another row the difference.
        beside: The other row.
        where: A word in the names of the splits that count; all of them without it.
    """

    what: str
    row: str
    least: float
    beside: str | None = None
    where: str = ""


def judged(rows: Sequence[Row], goals: Sequence[Goal]) -> list[Target]:
    """Return what was asked for beside what came out, on the split where it is least."""
    named = {row.name: row for row in rows}
    targets = []
    for goal in goals:
        if goal.row not in named or (goal.beside and goal.beside not in named):
            continue
        found = {}
        for split in splits(rows):
            mine = named[goal.row].over_seeds(f"{split}/f1")
            other = named[goal.beside].over_seeds(f"{split}/f1") if goal.beside else None
            if goal.where in split and mine and (other or not goal.beside):
                found[split] = mine.mean - (other.mean if other else 0.0)
        if found:
            split = min(found, key=found.__getitem__)
            name = f"{goal.row} − {goal.beside}" if goal.beside else goal.row
            what = f"{goal.what}: F1 of {name}, least on {split}"
            targets.append(Target(what, round(found[split], 9), "≥", goal.least))
    return targets


def targets_table(targets: Sequence[Target]) -> str:
    """Return what was asked for beside what came out, in Markdown."""
    body = [
        [one.what, f"{one.sign} {one.bound:g}", number(one.value), "yes" if one.met else "no"]
        for one in targets
    ]
    heads = ["what", "asked for", "came out", "met"]
    return "\n".join(["### What was asked for", "", *_table(heads, body)]) if body else ""


def splits(rows: Sequence[Row]) -> list[str]:
    """Every test split, in order."""
    return sorted({key.partition("/")[0] for row in rows for c in row.columns for key in c})


def against_none(rows: Sequence[Row], pairs: Sequence[tuple[str, str]]) -> list[Difference]:
    """Compare pairs of rows that are both there, split by split."""
    named = {row.name: row for row in rows}
    found = []
    for first, second in pairs:
        if first not in named or second not in named:
            continue
        for split in splits(rows):
            key = f"{split}/f1"
            both = zip(named[first].columns, named[second].columns, strict=True)
            gains = [100 * (a[key] - b[key]) for a, b in both if key in a and key in b]
            if gains:
                found.append(Difference(first, second, split, interval(gains)))
    return found


def markdown(rows: Sequence[Row], pairs: Sequence[Difference]) -> str:
    """Return a table for each test split, and one of the pairs."""
    lines = [NOTE, ""]
    heads = ["detector", "parameters", *METRICS.values(), "false alarms/h"]
    for split in splits(rows):
        body = [
            [row.name, _count(row.parameters), *(_score(row, split, m) for m in METRICS)]
            + [_rate(row.over_seeds(f"{split}/{PER_HOUR}"))]
            for row in rows
        ]
        lines += [f"### {split}", "", *_table(heads, body), ""]
    if pairs:
        lines += ["### Does it help?", "", PAIRED, "", *_pair_table(pairs), ""]
    return "\n".join(lines)


def _pair_table(pairs: Sequence[Difference]) -> list[str]:
    """A row for each pair, a column for each split."""
    names = sorted({pair.split for pair in pairs})
    said = {
        (p.first, p.second, p.split): f"{_within(p.gain, '{:+.2f}', '{:.2f}')} {p.verdict}".strip()
        for p in pairs
    }
    couples = dict.fromkeys((pair.first, pair.second) for pair in pairs)
    body = [[*couple, *(said.get((*couple, name), "–") for name in names)] for couple in couples]
    return _table(["first", "second", *names], body)


def _table(heads: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    every = [heads, ["---"] * len(heads), *body]
    return [f"| {' | '.join(cells)} |" for cells in every]


def _count(parameters: int | None) -> str:
    return "–" if parameters is None else f"{parameters:,}"


def _score(row: Row, split: str, metric: str) -> str:
    found = row.over_seeds(f"{split}/{metric}")
    if found is None:
        return "–"
    some = f" ({found.n} of {len(row.columns)})" if found.n < len(row.columns) else ""
    return _within(found, "{:.4f}", "{:.4f}") + some


def _rate(found: Interval | None) -> str:
    return "–" if found is None else _within(found, "{:,.0f}", "{:,.0f}")


def _within(found: Interval, mean: str, half: str) -> str:
    said = mean.format(found.mean)
    return said if found.half_width is None else f"{said} ± {half.format(found.half_width)}"
