"""CoNLL-like files: a token and its tag a line, a blank line between texts, read as a stream."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tutelage.core.errors import DataError
from tutelage.tasks.ner.config import Columns
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.readers.lines import Line, read_head, read_lines
from tutelage.tasks.ner.readers.problems import LISTED, Example, Problems

TAG: Final = re.compile(r"O|[BIESLUM]-.+")
_BLANKS: Final = re.compile(r"[ \t]+")
_CANONICAL: Final = {"L": "E", "U": "S", "M": "I"}
"""Letters of BILOU and BMES as BIOES has them."""
_DOCSTART: Final = "-DOCSTART-"
_FEW_KINDS: Final = 64
_NO_BEGIN: Final = "without its B- (taken as one)"


@dataclass(frozen=True, slots=True)
class Layout:
    """How the lines of a file are made.

    Args:
        columns: Columns of a line.
        tabs: Whether tabs separate them, else blanks.
        token: Column of the token.
        tag: Column of the tag; null if there is none.
        prefixed: Whether tags begin with a letter and a dash, as ``B-person`` does.
    """

    columns: int
    tabs: bool
    token: int
    tag: int | None
    prefixed: bool

    def split(self, line: str) -> list[str]:
        """Return the columns of a line."""
        return line.split("\t") if self.tabs else _BLANKS.split(line.strip(" \t"))

    def is_tag(self, value: str) -> bool:
        """Whether a value can be a tag."""
        return bool(TAG.fullmatch(value)) if self.prefixed else bool(value.strip())


def find_layout(path: Path, columns: Columns) -> Layout:
    """Tell the layout of a file from its first 64 KiB.

    The column of tags is the last one whose values all are tags (CoNLL-2003 has chunks before it);
    the first such one where lines are numbered (GermEval has nested entities after it).

    Raises:
        DataError: The file is unreadable, or no column holds tags.
    """
    text = read_head(path).decode("utf-8-sig", "replace")
    lines = [line.rstrip("\r") for line in text.split("\n")[:-1] or [text]]
    lines = [line for line in lines if line.strip() and not line.startswith(_DOCSTART)]
    tabs = 2 * sum("\t" in line for line in lines) >= len(lines)
    rows = [line.split("\t") if tabs else _BLANKS.split(line.strip(" \t")) for line in lines]
    width = Counter(map(len, rows)).most_common(1)[0][0] if rows else 1
    rows = [row for row in rows if len(row) == width]
    values = [[row[k] for row in rows if not row[0].startswith("# ")] for k in range(width)]
    numbered = width > 2 and bool(values[0]) and all(value.isdecimal() for value in values[0])
    token = _chosen(columns.token, width, path, "token")
    tag = _chosen(columns.tag, width, path, "tag")
    token = int(numbered) if token is None else token
    if tag is None and width > 1:
        tag = _tag_column(values, numbered, token, path)
    return Layout(width, tabs, token, tag, tag is None or are_prefixed(values[tag]))


def are_prefixed(tags: Sequence[str]) -> bool:
    """Whether tags begin with a letter and a dash; where all are ``O``, they would."""
    return all(tag == "O" for tag in tags) or any(tag != "O" and TAG.fullmatch(tag) for tag in tags)


def _chosen(asked: int | None, width: int, path: Path, name: str) -> int | None:
    if asked is None:
        return None
    if not -width <= asked < width:
        raise DataError(
            f"there is no column {asked}: lines have {width}",
            where=path,
            hint=f"Set data.columns.{name} to a number from 0 to {width - 1}.",
        )
    return asked % width


def _tag_column(values: Sequence[Sequence[str]], numbered: bool, token: int, path: Path) -> int:
    others = [k for k in range(len(values)) if k != token]
    likely = [k for k in others if _share_of_tags(values[k]) > 0.95]
    if likely:
        return likely[0] if numbered else likely[-1]
    last = others[-1]
    if "O" in values[last] and len(set(values[last])) <= _FEW_KINDS:
        return last
    raise DataError(
        f"none of its {len(values)} columns holds tags such as O, B-person, I-person",
        where=path,
        hint="Name the column, counted from 0: data.columns.tag=1.",
    )


def _share_of_tags(values: Sequence[str]) -> float:
    return sum(bool(TAG.fullmatch(value)) for value in values) / max(len(values), 1)


@dataclass
class _Text:
    """The text that is being read."""

    first: int = 0
    tokens: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    wrong: tuple[str, str, str] | None = None


@dataclass
class _Begins:
    """How entities begin: in IOB1 nearly all do with ``I-``, elsewhere none should."""

    plain: int = 0
    inside: int = 0
    examples: list[Example] = field(default_factory=list)


def read_conll(path: Path, label: str, columns: Columns, problems: Problems) -> Iterator[Document]:
    """Yield the texts of a CoNLL-like file, one after the other.

    A text with a wrong line is left out and said in ``problems``. ``-DOCSTART-`` and ``# newdoc``
    begin a group of texts; other lines that begin with ``#`` before a text and are no tokens are
    comments.

    Args:
        path: The file.
        label: What it is called in messages.
        columns: Columns that were named.
        problems: Takes what is wrong.

    Raises:
        DataError: The file is unreadable, or no column holds tags.
    """
    layout = find_layout(path, columns)
    text, begins, group, number = _Text(), _Begins(), 0, 0
    for line in read_lines(path):
        starts_group = line.text is not None and line.text.startswith((_DOCSTART, "# newdoc"))
        if starts_group or (line.text is not None and not line.text.strip()):
            if text.first:
                number += 1
                yield from _finish(text, label, number, group, layout, begins, problems)
                text = _Text()
            group += starts_group
        else:
            _take(line, text, label, layout)
    if text.first:
        yield from _finish(text, label, number + 1, group, layout, begins, problems)
    if begins.plain:
        for example in begins.examples:
            problems.add("entity", _NO_BEGIN, example.where, example.detail)
        if hidden := begins.inside - len(begins.examples):
            problems.counts["entity", _NO_BEGIN] += hidden


def _take(line: Line, text: _Text, label: str, layout: Layout) -> None:
    """Add a line that is not blank to the text that is being read."""
    where = f"{label}:{line.number}"
    row = layout.split(line.text) if line.text is not None else []
    fits = len(row) == layout.columns and (layout.tag is None or layout.is_tag(row[layout.tag]))
    if not fits and not text.first and line.text is not None and line.text.startswith("#"):
        return
    text.first = text.first or line.number
    if text.wrong is not None:
        return
    if line.text is None:
        text.wrong = ("with bytes that are not UTF-8 (left out)", where, line.wrong)
    elif len(row) != layout.columns:
        found = f"{len(row)} columns instead of {layout.columns}: {line.text}"
        text.wrong = ("with another number of columns (left out)", where, found)
    elif not row[layout.token].strip():
        text.wrong = ("with an empty token (left out)", where, repr(line.text))
    elif not fits:
        text.wrong = ("with an unreadable tag (left out)", where, line.text)
    else:
        text.tokens.append(row[layout.token])
        if layout.tag is not None:
            text.tags.append(row[layout.tag])


def _finish(
    text: _Text,
    label: str,
    number: int,
    group: int,
    layout: Layout,
    begins: _Begins,
    problems: Problems,
) -> Iterator[Document]:
    problems.seen["text"] += 1
    if text.wrong is not None:
        problems.add("text", *text.wrong)
        return
    spans = []
    for first, stop, kind, how in entities_of_tags(text.tags, layout.prefixed):
        spans.append((first, stop, kind))
        begins.plain += how == "begins"
        begins.inside += how == "inside"
        if how == "inside" and len(begins.examples) < LISTED:
            at = f"{label}:{text.first + first}"
            begins.examples.append(Example(at, f"{text.tokens[first]} {text.tags[first]}"))
    problems.seen["entity"] += len(spans)
    yield Document.of_tokens(
        str(number),
        text.tokens,
        spans,
        labelled=layout.tag is not None,
        group=f"{label}#{group}" if group else None,
        where=f"{label}:{text.first}",
    )


def entities_of_tags(
    tags: Sequence[str], prefixed: bool = True
) -> Iterator[tuple[int, int, str, str]]:
    """Yield first token, token after the last, type, and how the entity begins.

    It *begins* with ``B-`` or ``S-`` where it needn't (after another type or none), is *parted*
    from one of its type by it, or begins *inside*, with another letter. Tags without a prefix
    (``person``) are taken as ``I-``.

    Args:
        tags: Tags in IOB1, IOB2, BIOES, BILOU or BMES.
        prefixed: Whether they have prefixes.
    """
    start, current, closed, how = 0, "", True, ""
    for n, tag in enumerate([*tags, "O"]):
        letter, kind = _parts(tag, prefixed)
        other = kind != current
        if current and (closed or other or letter in "BS"):
            yield start, n, current, how
            closed = True
        if closed or other or letter in "BS":
            how = "inside" if letter not in "BS" else "parted" if not other else "begins"
            start = n
        current, closed = kind, letter in "ES"


def _parts(tag: str, prefixed: bool) -> tuple[str, str]:
    """The canonical letter of a tag and its type, which is empty for ``O``."""
    if tag == "O":
        return "O", ""
    if not prefixed:
        return "I", tag
    return _CANONICAL.get(tag[0], tag[0]), tag[2:]
