"""JSONL (a record a line, read as a stream) and JSON (a list of records) with character spans."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tutelage.core.errors import DataError
from tutelage.tasks.ner.config import Columns
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.readers.conll import TAG, are_prefixed, entities_of_tags
from tutelage.tasks.ner.readers.lines import read_head, read_lines
from tutelage.tasks.ner.readers.problems import Problems
from tutelage.tasks.ner.readers.shapes import ShapeError, read_record
from tutelage.tasks.ner.readers.spans import RawText, to_document

_HALF = re.compile("[\ud800-\udfff]")
NOT_UTF8 = "with bytes that are not UTF-8 (left out)"
NOT_JSON = "that are no JSON (left out)"
NO_TEXT = "of another shape (left out)"
TAG_FIELDS: Final = ("ner_tags", "tags", "labels")
REFUSED = "that their annotator refused (left out)"


def read_json(path: Path, label: str, columns: Columns, problems: Problems) -> Iterator[Document]:
    """Yield the texts of a file of JSON records, one after the other.

    Args:
        path: The file.
        label: What it is called in messages.
        columns: Fields that were named.
        problems: Takes what is wrong.

    Raises:
        DataError: The file is unreadable, or a list that is no JSON.
    """
    yield from read_values(_records(path, label, problems), columns, problems)


def _records(path: Path, label: str, problems: Problems) -> Iterator[tuple[str, object]]:
    """Yield where each record stands, and the record."""
    if _is_list(path):
        yield from _listed(path, label)
        return
    for line in read_lines(path):
        where = f"{label}:{line.number}"
        if line.text is None:
            problems.seen["text"] += 1
            problems.add("text", NOT_UTF8, where, line.wrong)
        elif line.text.strip():
            try:
                yield where, json.loads(line.text)
            except (ValueError, RecursionError) as error:
                problems.seen["text"] += 1
                problems.add("text", NOT_JSON, where, str(error))


def _is_list(path: Path) -> bool:
    """Whether a file is one JSON value over several lines, or one list."""
    head = read_head(path).decode("utf-8-sig", "replace").lstrip()
    if head.startswith("["):
        return True
    try:
        json.loads(head.split("\n", 1)[0])
    except (ValueError, RecursionError):
        return head.split("\n", 1)[0].strip() == "{"
    return False


def _listed(path: Path, label: str) -> Iterator[tuple[str, object]]:
    try:
        value = json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        hint = "Save it as UTF-8."
        problem = f"byte 0x{error.object[error.start]:02x} at {error.start} is not UTF-8"
        raise DataError(problem, where=path, hint=hint) from error
    except (ValueError, RecursionError) as error:
        hint = "Give a list of records, or a record a line (JSONL)."
        raise DataError(f"no JSON: {error}", where=path, hint=hint) from error
    records = value if isinstance(value, list) else [value]
    for number, record in enumerate(records, 1):
        yield f"{label}[{number}]", record


def read_values(
    records: Iterable[tuple[str, object]], columns: Columns, problems: Problems
) -> Iterator[Document]:
    """Yield the texts of records; one of another shape is a problem.

    Args:
        records: Where each stands, and its value.
        columns: Fields that were named.
        problems: Takes what is wrong.
    """
    for where, record in records:
        try:
            yield from read_value(record, where, columns, problems)
        except ShapeError as error:
            problems.seen["text"] += 1
            problems.add("text", NO_TEXT, where, str(error))


def read_value(
    record: object, where: str, columns: Columns, problems: Problems
) -> Iterator[Document]:
    """Yield the text of a record, unless its annotator refused it.

    Args:
        record: A JSON value: an object with a text and entities, or with tokens and tags.
        where: Where it stands.
        columns: Fields that were named.
        problems: Takes what is wrong with its entities.

    Raises:
        ShapeError: It is no such object.
    """
    tokens = _tokens(record, columns)
    if tokens is not None:
        yield _of_tokens(record, tokens, where, columns, problems)
        return
    found = read_record(record, columns)
    if _HALF.search(found.text):
        raise ShapeError("half of a surrogate pair in its text")
    if found.refused:
        problems.seen["text"] += 1
        problems.add("text", REFUSED, where, found.refused)
        return
    name = found.id or where.rpartition(":")[2]
    raw = RawText(name, found.text, where, found.spans, found.group, found.words)
    yield to_document(raw, problems)


def _tokens(record: object, columns: Columns) -> list[str] | None:
    """The tokens of a record that has them as words with tags, not as a text with spans."""
    if not isinstance(record, dict):
        return None
    tokens = record.get(columns.tokens or "tokens")
    if isinstance(tokens, list) and tokens and all(isinstance(token, str) for token in tokens):
        return tokens
    return None


def _of_tokens(
    record: object, tokens: list[str], where: str, columns: Columns, problems: Problems
) -> Document:
    """Return the text of tokens and tags.

    Raises:
        ShapeError: There is not a tag for each token, or the tags are numbers.
    """
    assert isinstance(record, dict)
    names = (columns.tags,) if columns.tags else TAG_FIELDS
    tags = next((record[name] for name in names if name in record), None)
    spans: list[tuple[int, int, str]] = []
    if tags is not None:
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise ShapeError("its tags are not text: give their names, not numbers")
        if len(tags) != len(tokens):
            raise ShapeError(f"{len(tokens)} tokens but {len(tags)} tags")
        prefixed = are_prefixed(tags)
        if not all(TAG.fullmatch(tag) if prefixed else tag.strip() for tag in tags):
            raise ShapeError("its tags are not all of one kind, such as O, B-person, I-person")
        spans = [entity[:3] for entity in entities_of_tags(tags, prefixed)]
    problems.seen.update({"text": 1, "entity": len(spans)})
    group = record.get(columns.group) if columns.group else None
    return Document.of_tokens(
        str(record.get("id", where.rpartition(":")[2])),
        tokens,
        spans,
        labelled=tags is not None,
        group=None if group is None else str(group),
        where=where,
    )
