"""What one JSON record says of a text: the exports of doccano, Prodigy, Label Studio, Dataturks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tutelage.tasks.ner.config import Columns
from tutelage.tasks.ner.documents import Offsets
from tutelage.tasks.ner.readers.spans import RawSpan

Record = Mapping[str, object]
_TEXT_FIELDS: Final = ("text", "content", "data", "sentence")
SPAN_FIELDS: Final = ("label", "labels", "entities", "spans", "annotation", "annotations")
_REFUSED: Final = ("reject", "ignore")


class ShapeError(ValueError):
    """A record that is not of the shape that its fields promise; the message says how."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """What a record says.

    Args:
        text: The text.
        spans: Its entities; null if it is unlabelled.
        id: Its name, if it has one.
        group: What it belongs to, if that was asked for.
        words: (n, 2) offsets of its tokens, if it has them.
        refused: Why its annotator would not have it used; empty otherwise.
    """

    text: str
    spans: list[RawSpan] | None
    id: str | None = None
    group: str | None = None
    words: Offsets | None = None
    refused: str = ""


def read_record(record: object, columns: Columns) -> Labelled:
    """Read one record of any of the shapes.

    Raises:
        ShapeError: It is of none of them.
    """
    if not isinstance(record, dict):
        raise ShapeError("not an object with a text")
    text, holder = _text_of(record, columns)
    spans = _spans_of(record, columns)
    group = record.get(columns.group) if columns.group else None
    if columns.group and group is None:
        group = holder.get(columns.group)
    answer = record.get("answer")
    found = record.get("id")
    return Labelled(
        text,
        spans,
        id=str(found) if isinstance(found, str | int) else None,
        group=None if group is None else str(group),
        words=_prodigy_words(record, text),
        refused=f"answer: {answer}" if answer in _REFUSED else "",
    )


def _text_of(record: Record, columns: Columns) -> tuple[str, Record]:
    """Return the text, and the object that holds it."""
    data = record.get("data")
    holders = [record, data] if isinstance(data, dict) else [record]
    names = (columns.text,) if columns.text else _TEXT_FIELDS
    for holder in holders:
        for name in names:
            if isinstance(text := holder.get(name), str):
                return text, holder
    if len(holders) == 2 and not columns.text:
        texts = [value for value in holders[1].values() if isinstance(value, str)]
        if len(texts) == 1:
            return texts[0], holders[1]
    fields = ", ".join(map(str, record)) or "none"
    raise ShapeError(f"no text (fields: {fields}); name it by data.columns.text")


def _spans_of(record: Record, columns: Columns) -> list[RawSpan] | None:
    """Return the entities, in whatever field and shape; null if there is no such field."""
    names = (columns.spans,) if columns.spans else SPAN_FIELDS
    name = next((n for n in names if n in record), None)
    if name is None:
        return None
    value = record[name]
    if value is None:
        return []
    if not isinstance(value, list):
        raise ShapeError(f'{name!r} is no list of entities, such as [[0, 3, "person"]]')
    if name == "annotations" and (not value or "result" in _object(value[0], name)):
        return _label_studio(value)
    return [span for item in value for span in _span(item, name)]


def _object(value: object, name: str) -> Record:
    if not isinstance(value, dict):
        raise ShapeError(f"{name!r} holds {value!r}, no object")
    return value


def _span(item: object, name: str) -> Iterator[RawSpan]:
    """Yield the entity, or entities, that an item of a list of any tool says."""
    if isinstance(item, list | tuple):
        if len(item) < 3:
            raise ShapeError(f"{name!r} holds {item!r}, not start, end and type")
        yield RawSpan(item[0], item[1], item[2])
        return
    fields = _object(item, name)
    if "points" in fields:
        yield from _dataturks(fields)
        return
    start = fields.get("start", fields.get("start_offset"))
    end = fields.get("end", fields.get("end_offset"))
    label = fields.get("label", fields.get("labels", fields.get("tag")))
    yield RawSpan(start, end, _one(label), _quoted(fields))


def _one(label: object) -> object:
    """The first of several types, or the one that there is."""
    if isinstance(label, list):
        return label[0] if label else None
    return label


def _quoted(fields: Record) -> str | None:
    text = fields.get("text")
    return text if isinstance(text, str) else None


def _dataturks(fields: Record) -> Iterator[RawSpan]:
    """Yield the points of a Dataturks annotation, whose end is the last character itself."""
    points = fields["points"]
    if not isinstance(points, list):
        raise ShapeError("'points' is no list")
    for point in points:
        place = _object(point, "points")
        end = place.get("end")
        after = end + 1 if isinstance(end, int) else end
        quoted = _quoted(place)
        yield RawSpan(place.get("start"), after, _one(fields.get("label")), quoted)


def _label_studio(annotations: Sequence[object]) -> list[RawSpan] | None:
    """Return the entities of the first annotation that was not cancelled; null if there is none."""
    for annotation in annotations:
        fields = _object(annotation, "annotations")
        result = fields.get("result")
        if fields.get("was_cancelled") or not isinstance(result, list):
            continue
        spans = []
        for item in result:
            value = _object(item, "result").get("value")
            if isinstance(value, dict) and "start" in value and "end" in value:
                labels = value.get("labels", value.get("label"))
                spans.append(RawSpan(value["start"], value["end"], _one(labels), _quoted(value)))
        return spans
    return None


def _prodigy_words(record: Record, text: str) -> Offsets | None:
    """The offsets of the tokens of a Prodigy record, if they are in order and within the text."""
    tokens = record.get("tokens")
    if not isinstance(tokens, list) or not tokens or not isinstance(tokens[0], dict):
        return None
    pairs = [(token.get("start"), token.get("end")) for token in tokens]
    if not all(isinstance(a, int) and isinstance(b, int) for a, b in pairs):
        return None
    within = all(0 <= a <= len(text) and 0 <= b <= len(text) for a, b in pairs)
    words = np.array(pairs if within else [], np.int32).reshape(-1, 2)
    words = words[[bool(text[a:b].strip()) for a, b in words.tolist()]]
    if not len(words) or (words[1:, 0] < words[:-1, 1]).any():
        raise ShapeError("its tokens are not in order, or not within the text")
    return words
