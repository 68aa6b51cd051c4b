"""`tutelage predict`: apply a finished run to data without labels."""

from __future__ import annotations

import csv
import json as json_text
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final, TextIO

import typer

from tutelage.cli.console import err, print_json
from tutelage.cli.options import Json, Overrides, RunName
from tutelage.cli.table_files import write_columns
from tutelage.core.errors import RequestError
from tutelage.core.files import exists

if TYPE_CHECKING:
    from tutelage.api import LoadedRun
    from tutelage.core.config import RunConfig
    from tutelage.core.records import Table
    from tutelage.task import Json as JsonObject
    from tutelage.task import Task


STDIN: Final = Path("-")
TABLES: Final = (".csv", ".parquet")
LINES: Final = (".jsonl", ".ndjson")
"""How files of tables, and of a JSON object a line, end."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="predict")(predict)


def predict(
    run: RunName,
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="INPUT",
            help="File or folder of data: all of it is predicted; - is standard input.",
        ),
    ] = None,
    overrides: Overrides = None,
    query: Annotated[
        str | None, typer.Option("--query", help="A sentence; what is closest to it is listed.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; by default standard output.")
    ] = None,
    json: Json = False,
) -> None:
    """Apply a finished run to data, labelled or not.

    One CSV row a sample, or a Parquet table where the output's name ends in .parquet. For texts one
    JSON line a text, or, where the output's name ends in .csv or .parquet, one row an entity.
    Pictures and captions become embeddings. Without INPUT it is the run's own data that test it.

    Examples:

        tutelage predict @last drive.log --output windows.csv

        tutelage predict @last letters.txt --output entities.jsonl

        echo "Ada lives in Oslo." | tutelage predict @last -

        tutelage predict @last photos --output embeddings.parquet

        tutelage predict @last photos --query "a red flag"
    """
    from tutelage import api
    from tutelage.task import load_task

    found, changes = api.load_run(run), tuple(overrides or ())
    if source is not None and "=" in source.name and not exists(source):
        source, changes = None, (str(source), *changes)  # INPUT was left out
    if source is None and not load_task(found.record.task).predicts_own_data:
        said = f"missing argument 'INPUT': runs of {found.record.task!r} are applied to new data"
        raise RequestError(said, hint="Name a file or folder.")
    if query is not None:
        changes = (*changes, _asked(query, load_task(found.record.task)))
    _answer(found, source, changes, output, json)


def _answer(
    found: LoadedRun,
    source: Path | None,
    changes: Sequence[str],
    output: Path | None,
    json: bool,
) -> None:
    """Predict, and write it in the form that was asked for."""
    from tutelage import api
    from tutelage.task import SupportsPredictionLines, load_task

    able = isinstance(load_task(found.record.task), SupportsPredictionLines)
    _require_places(source, output, (*TABLES, *LINES) if able else TABLES)
    as_table = json or (output is not None and output.suffix.lower() in TABLES)
    with _given(source) as place:
        if able and not as_table:
            _write_lines(api.predict_lines(found, place, *changes), output)
            return
        tables = api.predict(found, place, *changes)
    if json:
        print_json({"tables": [table.model_dump(mode="json") for table in tables]})
    elif output is not None and output.suffix.lower() == ".parquet":
        _write_parquet(tables, output)
    else:
        _write_rows(tables, output)


@contextmanager
def _given(source: Path | None) -> Iterator[Path | None]:
    """What is predicted: a file or folder, or, for ``-``, a file of what standard input says."""
    if source != STDIN:
        yield source
        return
    with TemporaryDirectory() as folder:
        path = Path(folder, "stdin")
        path.write_bytes(sys.stdin.buffer.read())
        yield path


def _asked(query: str, task: Task[RunConfig]) -> str:
    """The setting that asks for what is closest to a sentence."""
    from tutelage.core.explain import sections

    evaluation = task.config_type.model_fields.get("evaluation")
    if evaluation is None or not any("query" in one.model_fields for one in sections(evaluation)):
        hint = "Leave it out; it is for tasks that bring sentences and pictures together."
        raise RequestError(f"runs of {task.name!r} answer no --query", hint=hint)
    if not query.strip():
        raise RequestError("--query is empty", hint="Give a sentence.")
    return f"evaluation.query={json_text.dumps(query)}"


def _require_places(source: Path | None, output: Path | None, forms: Sequence[str]) -> None:
    """Refuse what can't be read or written before a model is loaded, which takes seconds."""
    if source is not None and source != STDIN and not exists(source):
        raise RequestError("no such file or folder", where=source, hint="Name the data's path.")
    if output is not None and not output.absolute().parent.is_dir():
        hint = "Make it, or name another file."
        raise RequestError("there is no such folder to write in", where=output.parent, hint=hint)
    if output is not None and output.suffix and output.suffix.lower() not in forms:
        hint = f"Name a file that ends in {', '.join(forms)}."
        raise RequestError(f"{output.suffix} is no format of predictions", where=output, hint=hint)


def _write_parquet(tables: Iterable[Table], output: Path) -> None:
    every = list(tables)
    columns: dict[str, list[object]] = {"input": [t.title for t in every for _ in t.rows]}
    for place, name in enumerate(every[0].columns):
        columns[name] = [row[place] for table in every for row in table.rows]
    write_columns(columns, output)
    err.print(f"{len(columns['input'])} rows in {output}")


def _write_lines(lines: Iterable[JsonObject], output: Path | None) -> None:
    count = 0
    with _opened(output) as file:
        for line in lines:
            file.write(json_text.dumps(line, ensure_ascii=False) + "\n")
            count += 1
    if output is not None:
        err.print(f"{count} lines in {output}")


def _write_rows(tables: Iterable[Table], output: Path | None) -> None:
    every = list(tables)
    rows = [["input", *every[0].columns]]
    rows += [[table.title, *map(str, row)] for table in every for row in table.rows]
    with _opened(output) as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    if output is not None:
        err.print(f"{len(rows) - 1} rows in {output}")


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    """Standard output, or the file."""
    from tutelage.core.files import storage_errors

    if output is None:
        yield sys.stdout
        return
    with storage_errors(output), output.open("w", newline="", encoding="utf-8") as file:
        yield file
