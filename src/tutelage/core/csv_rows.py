"""`csv_rows`: the rows of a CSV or TSV file that has a header."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tutelage.core.errors import DataError


def csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of a row's last line, and its cells by the names of their columns.

    Commas, semicolons or tabs part the cells: what the header has most of.

    Args:
        path: A file of UTF-8 text.

    Raises:
        DataError: A row has another number of cells than the header, or is no CSV, or no UTF-8.
        OSError: The file can't be read.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            head = "".join(islice(file, 1))
            file.seek(0)
            delimiter = max(",;\t", key=head.count)
            reader = csv.DictReader(file, delimiter=delimiter, strict=True)
            for row in reader:
                if None in row or None in row.values():
                    raise DataError(
                        f"line {reader.line_num} has another number of cells than the header",
                        where=path,
                        hint=f"Put cells that hold {delimiter!r} in double quotes.",
                    )
                yield reader.line_num, {(key or "").strip(): cell for key, cell in row.items()}
        except UnicodeDecodeError as error:
            hint = "Save it as UTF-8."
            raise DataError(f"is not UTF-8 text: {error}", where=path, hint=hint) from error
        except csv.Error as error:
            hint = "Put cells that hold quotes or line ends in double quotes."
            raise DataError(
                f"line {reader.line_num} is no CSV: {error}", where=path, hint=hint
            ) from error
