"""Columns of values, written as CSV or Parquet by the file's name."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from tutelage.core.errors import RequestError
from tutelage.core.files import storage_errors

Columns = Mapping[str, Sequence[object]]


def write_columns(columns: Columns, output: Path) -> None:
    """Write columns of one length to a file; null is an empty cell of a CSV.

    Raises:
        RequestError: The file is to be Parquet and pyarrow is not installed, or to be neither.
        StorageError: The file can't be written.
    """
    if output.suffix.lower() == ".parquet":
        _write_parquet(columns, output)
    elif output.suffix.lower() == ".csv":
        with storage_errors(output), output.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
    else:
        hint = "Name one that ends in .csv or .parquet."
        raise RequestError("a table is written as CSV or Parquet", where=output, hint=hint)


def _write_parquet(columns: Columns, output: Path) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise RequestError(
            "Parquet needs pyarrow", hint="Install pyarrow, or name a .csv."
        ) from error
    with storage_errors(output):
        parquet.write_table(pyarrow.table(dict(columns)), output)
