"""Read the texts of any file whose format is known, and say what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from tutelage.tasks.ner.config import NERData
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.readers.conll import read_conll
from tutelage.tasks.ner.readers.files import TextFile
from tutelage.tasks.ner.readers.jsonl import read_json
from tutelage.tasks.ner.readers.plain import read_plain
from tutelage.tasks.ner.readers.problems import Problems
from tutelage.tasks.ner.readers.table import read_csv

_READERS: Final = {"conll": read_conll, "json": read_json, "csv": read_csv}


def read_documents(file: TextFile, data: NERData, problems: Problems) -> Iterator[Document]:
    """Yield the texts of a file, one after the other, with their types renamed.

    Texts without a word are left out and counted.

    Args:
        file: The file.
        data: Names of columns, and types to rename.
        problems: Takes what is wrong.

    Raises:
        DataError: The file is unreadable or not of the format that it seems to be.
    """
    for document in _read(file, data, problems):
        problems.types.update(span.label for span in document.spans)
        if not len(document.words):
            problems.add("text", "without a word (left out)", document.where, repr(document.text))
        elif data.rename and document.spans:
            yield renamed(document, data.rename)
        else:
            yield document


def _read(file: TextFile, data: NERData, problems: Problems) -> Iterator[Document]:
    if file.format == "text":
        return read_plain(file.path, file.label, problems)
    if file.format in ("arrow", "parquet"):
        from tutelage.tasks.ner.readers.arrow import read_arrow, read_parquet  # pyarrow: .3 s

        reader = read_arrow if file.format == "arrow" else read_parquet
        return reader(file.path, file.label, data.columns, problems)
    return _READERS[file.format](file.path, file.label, data.columns, problems)


def renamed(document: Document, names: Mapping[str, str]) -> Document:
    """Give spans the names that are wanted; those whose type becomes empty go."""
    spans = (replace(span, label=names.get(span.label, span.label)) for span in document.spans)
    return replace(document, spans=tuple(span for span in spans if span.label))
