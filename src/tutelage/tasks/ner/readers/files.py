"""Which files of text lie under a data root, of which format each is, and of which part."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from tutelage.core.config import Links
from tutelage.core.errors import DataError
from tutelage.core.files import require_inside
from tutelage.tasks.ner.readers.lines import read_head

Format = Literal["conll", "json", "arrow", "parquet", "csv", "text"]
Part = Literal["train", "validation", "test", ""]
_PARTS: Final[dict[str, Part]] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "development", "val", "valid", "validation", "testa"), "validation"),
    **dict.fromkeys(("test", "testb", "eval", "evaluation"), "test"),
}
_PART: Final = re.compile(
    rf"(?<![a-z])({'|'.join(sorted(_PARTS, key=len, reverse=True))})(?![a-z])", re.IGNORECASE
)
_SAVED: Final = "state.json"
_SKIPPED: Final = ("readme", "license", "licence", "attribution", "dataset_info", "dataset_dict")
_ENDINGS: Final = frozenset(
    {".conll", ".iob", ".iob2", ".bio", ".bioes", ".tsv", ".txt", ".annotated", ".json", ".jsonl"}
    | {".ndjson", ".parquet", ".csv", ".ner"}
    | {".testa", ".testb", ".train", ".dev", ".test", ".valid"}
)
_TAGGED: Final = re.compile(r"^\S+[ \t]+(\S+[ \t]+)*(O|[BIESLUM]-\S+)[ \t]*$", re.MULTILINE)
_TOKEN_ENDINGS: Final = frozenset({".conll", ".iob", ".iob2", ".bio", ".bioes", ".tsv"})


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file of texts, or a folder that Hugging Face ``datasets`` saved one part in.

    Args:
        path: The file or folder.
        format: How it is read.
        part: The part that its name says: train, validation, test, or none.
        label: What it is called in messages.
    """

    path: Path
    format: Format
    part: Part
    label: str


def find_files(root: Path, label: str | None = None, links: Links = "inside") -> list[TextFile]:
    """List the files of text under ``root``, sorted by path.

    A name that has a word such as train, dev, valid or test, or a folder of that name, says the
    part; that of a file that is the root itself says nothing. Hidden files, and those called
    README, LICENSE or ATTRIBUTION, are left out.

    Args:
        root: A file or folder.
        label: What stands for the root in messages; by default its path.
        links: Which symbolic links are followed.

    Raises:
        DataError: ``root`` is absent, unreadable, or holds no such file, or one leads out of it.
    """
    shown = str(root) if label is None else label
    if root.is_file():
        return [TextFile(root, detect(root), "", shown)]
    if not root.is_dir():
        hint = "Give the path of a file of texts, or of a folder of such."
        raise DataError("no such folder or file", where=root, hint=hint)
    paths = _walk(root)
    if links == "inside":
        require_inside(root, paths)
    found = [_described(path, root, shown) for path in paths]
    if not found:
        hint = f"Such files end in {', '.join(sorted(_ENDINGS))}."
        raise DataError("no file of texts in the folder", where=root, hint=hint)
    return found


def _described(path: Path, root: Path, shown: str) -> TextFile:
    below = path.relative_to(root)
    part = part_of(path.stem, path.suffix) if path.is_file() else part_of(path.name, "")
    for folder in reversed(below.parts[:-1]):
        part = part or part_of(folder, "")
    prefix = f"{shown}/" if shown else ""
    return TextFile(path, detect(path), part, f"{prefix}{below.as_posix()}")


def part_of(stem: str, ending: str) -> Part:
    """Return the part that a file's name says, the last such word of it, or its ending."""
    found = _PART.findall(f"{stem}{ending}")
    return _PARTS[found[-1].lower()] if found else ""


def _walk(root: Path) -> list[Path]:
    """The files that can be of text, and folders that ``datasets`` saved, which count as one."""

    def refuse(error: OSError) -> None:
        hint = "Change its permissions, or give another folder."
        where = error.filename or root
        raise DataError(f"can't be read: {error.strerror}", where=where, hint=hint) from error

    found: list[Path] = []
    for folder, folders, files in os.walk(root, onerror=refuse):
        here = Path(folder)
        if _SAVED in files:
            folders[:] = []
            found.append(here)
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            here / name
            for name in files
            if not name.startswith(".")
            and not name.lower().startswith(_SKIPPED)
            and Path(name).suffix.lower() in _ENDINGS
        ]
    return sorted(found)


def detect(path: Path) -> Format:
    """Tell a file's format from its content; CSV, and tokens without tags, from its ending.

    Raises:
        DataError: The file is unreadable, empty, or of no format that is read.
    """
    if path.is_dir():
        return "arrow"
    head = read_head(path)
    if head.startswith(b"PAR1"):
        return "parquet"
    if b"\0" in head:
        hint = "Give CoNLL, JSONL, CSV, Parquet, or a folder that datasets saved."
        raise DataError("not a file of text: it holds NUL bytes", where=path, hint=hint)
    text = head.decode("utf-8-sig", "replace").lstrip()
    if path.suffix.lower() == ".csv":
        return "csv"
    if text.startswith(("{", "[")) and _is_json(text):
        return "json"
    lines = [line for line in text.split("\n")[:2000] if line.strip()]
    tagged = sum(bool(_TAGGED.match(line)) for line in lines)
    if 2 * tagged >= len(lines) or path.suffix.lower() in _TOKEN_ENDINGS:
        return "conll"
    return "text"


def _is_json(text: str) -> bool:
    """Whether a text begins as JSON does: with an object, or a list of objects."""
    first = text.split("\n", 1)[0].strip()
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return bool(re.match(r"\[?\s*\{\s*(\"|$)", text[:1000]))
    return True
