"""Tables out of a record: results beside baselines, one split in full, attacks, phases, lineage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from tutelage.core.config import RunConfig
from tutelage.core.errors import RequestError
from tutelage.core.records import Cell, RunRecord, Table
from tutelage.report.names import short_name
from tutelage.task import Task, load_task

MODEL = "model"
WIDE = 8
"""Most columns of numbers that a terminal shows well."""
ABSENT = "–"
CONFUSION = ("tp", "fp", "fn", "tn")
NEEDS = {"attack": ("f1", "recall", "auroc", "auprc"), "benign sample": ("auroc", "auprc")}
"""The metrics that are undefined where there is no sample of a class."""


def cell(value: Cell) -> str:
    """Write one cell for a person: four decimals where they mean something, a dash for nothing."""
    if value is None:
        return ABSENT
    if not isinstance(value, float):
        return str(value)
    size = abs(value)
    if size and size < 5e-4:
        return f"{value:.1e}"
    return f"{value:.4f}" if size < 10 else f"{value:.2f}" if size < 1000 else f"{value:.0f}"


def headline_of(record: RunRecord) -> str:
    """The metric that the run's task shows first; without the task, the record's first metric."""
    try:
        return load_task(record.task).headline
    except RequestError:
        return next((key.rpartition("/")[2] for key in record.metrics), "")


def _group_name(record: RunRecord) -> str:
    """What the run's task calls the groups within a split."""
    try:
        return load_task(record.task).group_name
    except RequestError:
        return "group"


def columns_of(record: RunRecord) -> dict[str, Mapping[str, float]]:
    """The model's metrics and each baseline's, under their names, the model first."""
    return {MODEL: record.metrics, **record.baselines}


def splits_of(record: RunRecord) -> list[str]:
    """The test splits that a record has metrics of, in its own order."""
    return _groups(record, 1)


def headline_value(record: RunRecord, headline: str) -> float | None:
    """The headline metric on the first test split, where it is defined."""
    first = next(iter(splits_of(record)), "")
    return record.metrics.get(f"{first}/{headline}")


def summary_tables(record: RunRecord, task: Task[RunConfig]) -> list[Table]:
    """What a person sees first: `results_table`, `model_table`, and what the task puts first."""
    found = [
        results_table(record, task.headline),
        model_table(record, task.beside_headline),
        *(table for table in record.tables if table.first),
    ]
    return [found[0], *(table for table in found[1:] if table.rows)]


def results_table(record: RunRecord, headline: str) -> Table:
    """The headline metric of every test split: the model's beside each baseline's.

    More than `WIDE` of them are rows, one beneath the other.
    """
    splits = splits_of(record)
    table = _table(record, f"{headline} by test split", "test split", splits, headline)
    if len(table.columns) <= WIDE + 1 or not 0 < len(splits) <= WIDE:
        return table
    names, *cells = zip(*table.rows, strict=True)
    rows = tuple((who, *row) for who, row in zip(table.columns[1:], cells, strict=True))
    return table.model_copy(update={"columns": ("", *map(str, names)), "rows": rows})


def model_table(record: RunRecord, beside: Mapping[str, str]) -> Table:
    """More metrics of the model on every test split; no rows where there is none of them.

    Args:
        record: The run.
        beside: The metrics, with the heading of each column.
    """
    numbers = {name: _number(record, name) for name in beside}
    rows = tuple(
        (
            split,
            *(number(record.metrics.get(f"{split}/{name}")) for name, number in numbers.items()),
        )
        for split in splits_of(record)
    )
    some = any(value is not None for row in rows for value in row[1:])
    columns = ("test split", *beside.values())
    return Table(title=f"{MODEL} by test split", columns=columns, rows=rows if some else ())


def group_table(record: RunRecord, headline: str) -> Table:
    """The headline metric of every group within a split, such as an attack; no rows for none."""
    name, groups = _group_name(record), _groups(record, 2)
    return _table(record, f"{headline} by {name}", f"split / {name}", groups, headline)


def _table(record: RunRecord, title: str, name: str, groups: list[str], metric: str) -> Table:
    scores = columns_of(record)
    number = _number(record, metric)
    rows = tuple(
        (group, *(number(column.get(f"{group}/{metric}")) for column in scores.values()))
        for group in groups
    )
    note = _why_empty(record, groups, metric)
    return Table(title=title, columns=(name, *scores), rows=rows, note=note)


def _why_empty(record: RunRecord, groups: list[str], metric: str) -> str:
    """Say why rows hold dashes alone; nothing where none does."""
    reasons: dict[str, list[str]] = {}
    for group in groups:
        if not any(f"{group}/{metric}" in column for column in columns_of(record).values()):
            reasons.setdefault(_lacks(record, group, metric), []).append(group)
    sentences = []
    for lacks, where in reasons.items():
        lead = f"No {lacks} in" if lacks else "In"
        *most, last = NEEDS.get(lacks, (metric,))
        undefined = f"{', '.join(most)} and {last} are" if lacks else f"{metric} is"
        sentences.append(f"{lead} {', '.join(where)}: {undefined} not defined there.")
    return " ".join(sentences)


def _lacks(record: RunRecord, group: str, metric: str) -> str:
    """What a group has no sample of that the metric needs; empty where that isn't the reason."""
    tp, fp, fn, tn = (record.metrics.get(f"{group}/{name}") for name in CONFUSION)
    absent = {"attack": tp == fn == 0, "benign sample": fp == tn == 0}
    return next((name for name, none in absent.items() if none and metric in NEEDS[name]), "")


def split_table(record: RunRecord, split: str) -> Table:
    """Every metric of one test split: the model's beside each baseline's."""
    scores = columns_of(record)
    keys = (key for column in scores.values() for key in column if key.startswith(f"{split}/"))
    names = dict.fromkeys(key[len(split) + 1 :] for key in keys)
    rows = []
    for name in names:
        if "/" not in name and name not in CONFUSION:
            number = _number(record, name)
            values = (number(column.get(f"{split}/{name}")) for column in scores.values())
            rows.append((name, *values))
    return Table(title=split, columns=("metric", *scores), rows=tuple(rows))


def confusion_table(record: RunRecord) -> Table:
    """Counts of true and false alarms of every test split, for the model and each baseline."""
    rows: list[tuple[Cell, ...]] = []
    for split in splits_of(record):
        for who, column in columns_of(record).items():
            counts = [column.get(f"{split}/{name}") for name in CONFUSION]
            if any(count is not None for count in counts):
                rows.append((split, who, *(None if n is None else int(n) for n in counts)))
    names = ("true alarms", "false alarms", "missed", "true rejections")
    return Table(title="Confusion counts", columns=("test split", "", *names), rows=tuple(rows))


def taken_table(record: RunRecord) -> Table:
    """What the model took windows under attack for, and benign ones, group by group."""
    rows: list[tuple[Cell, ...]] = []
    for group in _groups(record, 2):
        tp, fp, fn, tn = (record.metrics.get(f"{group}/{name}") for name in CONFUSION)
        if tp is None or fp is None or fn is None or tn is None:
            continue
        rows += [(group, "attack", int(tp), int(fn))] if tp + fn else []
        rows += [(group, "benign", int(fp), int(tn))] if fp + tn else []
    columns = (f"split / {_group_name(record)}", "true", "alarm", "no alarm")
    title = "What was taken for what"
    return Table(title=title, columns=columns, rows=tuple(rows), heat=True)


def seconds_table(record: RunRecord) -> Table:
    """Wall-clock seconds by phase, and the largest memory up to its end."""
    peaks = {phase: f"{mib:.0f}" for phase, mib in record.memory.items()}
    rows = tuple(
        (phase, f"{seconds:.1f}", peaks.get(phase)) for phase, seconds in record.seconds.items()
    )
    columns = ("phase", "seconds", "peak MiB so far")
    return Table(title="Seconds and memory by phase", columns=columns, rows=rows)


def stages_table(records: Mapping[str, RunRecord], headline: str) -> Table:
    """The headline metric of every test split: a row a stage, then the baselines all share.

    Args:
        records: Each stage's record by its name.
        headline: The metric.
    """
    everyone = list(records.values())
    rows = {name: record.metrics for name, record in records.items()}
    rows |= {
        name: scores
        for name, scores in everyone[-1].baselines.items()
        if name not in rows and all(name in record.baselines for record in everyone)
    }
    splits = dict.fromkeys(split for record in everyone for split in splits_of(record))
    cells = tuple(
        (name, *(scores.get(f"{split}/{headline}") for split in splits))
        for name, scores in rows.items()
    )
    title = f"{headline} by stage and test split"
    return Table(title=title, columns=("", *splits), rows=cells)


def comparison_table(records: list[RunRecord]) -> Table:
    """Every metric of whole splits, run beside run, with each difference from the first run."""
    keys = dict.fromkeys(key for r in records for key in r.metrics if key.count("/") == 1)
    rows = []
    for key in keys:
        values = [record.metrics.get(key) for record in records]
        number = _number(records[0], key.rpartition("/")[2])
        first = values[0]
        apart = [None if v is None or first is None else number(v - first) for v in values[1:]]
        rows.append((key, *map(number, values), *apart))
    names = [short_name(record.id) for record in records]
    differences = [f"{name} − first" for name in names[1:]] if len(names) > 2 else ["difference"]
    columns = ("metric", *names, *(differences if len(names) > 1 else ()))
    return Table(title="Metrics", columns=columns, rows=tuple(rows))


def _groups(record: RunRecord, depth: int) -> list[str]:
    """What stands before the metric in keys of ``depth`` slashes, each once, in order."""
    keys = (key for column in columns_of(record).values() for key in column)
    return list(dict.fromkeys(key.rpartition("/")[0] for key in keys if key.count("/") == depth))


def _number(record: RunRecord, metric: str) -> Callable[[float | None], Cell]:
    """Return `int` for a metric that counts: whole everywhere, and above 1 somewhere."""
    values = list(_values(record, metric))
    counts = metric in CONFUSION or any(abs(value) > 1 for value in values)
    whole = counts and all(value.is_integer() for value in values)
    return lambda value: int(value) if whole and value is not None else value


def _values(record: RunRecord, metric: str) -> Iterator[float]:
    for column in columns_of(record).values():
        yield from (v for key, v in column.items() if key.rpartition("/")[2] == metric)
