"""Read the texts of any file whose format is known, and say what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from tutelage.tasks.ner.config import NERData
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.readers.conll import read_conll
from tutelage.tasks.ner.readers.files import TextFile
from tutelage.tasks.ner.readers.plain import read_plain
from tutelage.tasks.ner.readers.problems import Problems


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
        if not len(document.words):
            problems.add("text", "without a word (left out)", document.where, repr(document.text))
        elif data.rename and document.spans:
            yield _renamed(document, data.rename)
        else:
            yield document


def _read(file: TextFile, data: NERData, problems: Problems) -> Iterator[Document]:
    path: Path = file.path
    if file.format == "conll":
        return read_conll(path, file.label, data.columns, problems)
    return read_plain(path, file.label, problems)


def _renamed(document: Document, names: Mapping[str, str]) -> Document:
    """Give spans the names that are wanted; those whose type becomes empty go."""
    spans = (replace(span, label=names.get(span.label, span.label)) for span in document.spans)
    return replace(document, spans=tuple(span for span in spans if span.label))
