"""Plain text: a text a line, without entities, to be predicted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.readers.lines import read_lines
from tutelage.tasks.ner.readers.problems import Problems


def read_plain(path: Path, label: str, problems: Problems) -> Iterator[Document]:
    """Yield a document for each line that is not blank; its id is the line's number.

    Raises:
        DataError: The file is unreadable.
    """
    for line in read_lines(path):
        where = f"{label}:{line.number}"
        if line.text is None:
            problems.seen["text"] += 1
            problems.add("text", "with bytes that are not UTF-8 (left out)", where, line.wrong)
        elif line.text.strip():
            problems.seen["text"] += 1
            yield Document.of_text(str(line.number), line.text, labelled=False, where=where)
