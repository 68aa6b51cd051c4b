"""What `runs list` and `runs show` say of a run, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, get_args

from tutelage.core.errors import StoreError
from tutelage.core.records import RunRecord, RunStatus, Table, now
from tutelage.core.store import Run
from tutelage.report import tables

DAMAGED: Final = "damaged"
STATUSES: Final = (*get_args(RunStatus), DAMAGED)


@dataclass(frozen=True, slots=True)
class Overview:
    """A run in one line; of one that can't be read, only id, path and `damaged`."""

    run: str
    path: str
    status: str
    task: str = ""
    model: str = ""
    mode: str = ""
    headline: str = ""
    value: float | None = None
    created: datetime | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """The values that ``--json`` prints."""
        return {
            "run": self.run,
            "path": self.path,
            "status": self.status,
            "task": self.task,
            "model": self.model,
            "mode": self.mode,
            "headline": self.headline,
            "value": self.value,
            "created": self.created and self.created.isoformat(),
            "tags": dict(self.tags),
        }


def overview(run: Run) -> Overview:
    """Put a run in one line."""
    try:
        record, status = run.record, run.status
    except StoreError:
        return Overview(run.id, str(run.path), DAMAGED)
    headline = tables.headline_of(record)
    return Overview(
        run=run.id,
        path=str(run.path),
        status=status,
        task=record.task,
        model=record.model,
        mode=record.mode,
        headline=headline,
        value=tables.headline_value(record, headline),
        created=record.created,
        tags=record.tags,
    )


def overview_table(rows: Sequence[Overview]) -> Table:
    """The lines of all runs, narrow enough for a terminal: an id holds task, model and mode."""
    moment = now()
    headlines = {row.headline for row in rows if row.headline}
    alike = len(headlines) == 1
    cells = tuple(
        (
            *(row.run, row.status, row.value if alike else _named(row)),
            age((moment - row.created).total_seconds()) if row.created else None,
        )
        for row in rows
    )
    columns = ("run", "status", headlines.pop() if alike else "score", "age")
    note = "The score is that of the first test split."
    return Table(title="", columns=columns, rows=cells, note=note)


def _named(row: Overview) -> str | None:
    """A score with its name, where that of the runs beside it is called otherwise."""
    return None if row.value is None else f"{row.headline} {tables.cell(row.value)}"


def age(seconds: float) -> str:
    """Write a length of time in its largest fitting unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def facts(run: Run) -> list[tuple[str, str]]:
    """Name and value of each thing that is no table."""
    record = run.record
    pairs = [
        ("run", run.id),
        ("status", run.status),
        ("task", f"{record.task} · {record.model} · {record.mode}"),
        ("created", f"{record.created:%Y-%m-%d %H:%M:%S %Z}"),
        ("path", str(run.path)),
        *(("parent", f"{parent.run} ({parent.role})") for parent in record.parents),
    ]
    if record.of_study is not None:
        pairs.append(("made as", record.of_study))
    if record.audit is not None:
        pairs.append(("data audit", record.audit.verdict))
    pairs += [("warning", text) for text in _notes(record)]
    if record.error is not None:
        pairs.append(("error", record.error))
    return pairs


def _notes(record: RunRecord) -> list[str]:
    """Warnings and audit findings, each once."""
    findings = record.audit.findings if record.audit else ()
    return list(dict.fromkeys((*record.warnings, *findings)))


def detail_tables(run: Run) -> list[Table]:
    """Results beside baselines, the task's own tables, phases, files."""
    record = run.record
    headline = tables.headline_of(record)
    files = tuple((a.path, a.digest) for a in record.artifacts.values())
    made_with = tuple((what, digest) for what, digest in record.named_hashes().items() if digest)
    found = [
        tables.results_table(record, headline),
        tables.group_table(record, headline),
        *(tables.split_table(record, split) for split in tables.splits_of(record)),
        *record.tables,
        tables.seconds_table(record),
        Table(title="Files", columns=("path", "xxh3-128"), rows=files),
        Table(title="Made with", columns=("what", "digest"), rows=made_with),
    ]
    return [table for table in found if table.rows]


def detail(run: Run) -> Mapping[str, object]:
    """The whole record, led by what ``--json`` prints for every run."""
    record = run.record
    whole = record.model_dump(mode="json", exclude={"id", "schema_version"})
    return record.summary(run.path) | whole | {"status": run.status}
