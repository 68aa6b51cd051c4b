"""CSV with a header: a text a row, and its entities, if they are known, as JSON in a cell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tutelage.core.csv_rows import csv_rows
from tutelage.tasks.ner.config import Columns
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.readers.jsonl import TAG_FIELDS, read_values
from tutelage.tasks.ner.readers.lines import read_head
from tutelage.tasks.ner.readers.problems import Problems
from tutelage.tasks.ner.readers.shapes import SPAN_FIELDS


def read_csv(path: Path, label: str, columns: Columns, problems: Problems) -> Iterator[Document]:
    """Yield the texts of a file, one after the other.

    Args:
        path: The file.
        label: What it is called in messages.
        columns: Columns that were named.
        problems: Takes what is wrong.

    Raises:
        DataError: The file is unreadable, or no CSV.
    """
    read_head(path)
    lists = {columns.spans, columns.tokens, columns.tags, "tokens", *SPAN_FIELDS, *TAG_FIELDS}
    lists.discard(columns.text)
    rows = (
        (f"{label}:{line}", {name: _cell(row[name], name in lists) for name in row})
        for line, row in csv_rows(path)
    )
    yield from read_values(rows, columns, problems)


def _cell(text: str, is_list: bool) -> object:
    """What a cell says: a list where one is expected and given, else its text."""
    if not is_list:
        return text
    try:
        return json.loads(text or "null")
    except (ValueError, RecursionError):
        return text
