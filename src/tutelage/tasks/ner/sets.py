"""`TextSet`: the texts below a root, or an embedded set, each with its part if a name says it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Final

from tutelage.core.errors import ConfigError, DataError
from tutelage.core.files import digest_file, digest_json
from tutelage.tasks.ner.config import NERData
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.readers.files import TextFile, find_files
from tutelage.tasks.ner.readers.problems import Problems
from tutelage.tasks.ner.readers.read import read_documents, renamed

_SHARD: Final = re.compile(r"-\d+-of-\d+")
_EMBEDDED: Final = Path(str(files("tutelage.tasks.ner") / "wnut17"))
TRAIN: Final = "train"
VALIDATION: Final = "validation"
TEST: Final = "test"


@dataclass(frozen=True, slots=True, eq=False)
class TextSet:
    """Texts and the part of each.

    Args:
        name: What it is called in messages.
        documents: The texts.
        parts: (texts,) ``train``, ``validation``, a name that begins with ``test``, or nothing.
        problems: What was wrong with the files.
        unread_tests: Whether there are files named test that were not read.
    """

    name: str
    documents: tuple[Document, ...]
    parts: tuple[str, ...]
    problems: Problems
    unread_tests: bool = False

    def types(self) -> Counter[str]:
        """How many entities of each type there are."""
        return Counter(span.label for document in self.documents for span in document.spans)

    def has(self, part: str) -> bool:
        """Whether a file is named for a part."""
        unread = part == TEST and self.unread_tests
        return unread or any(name.startswith(part) for name in self.parts)


def read_set(data: NERData, root: Path | None, *, tests: bool = True) -> TextSet:
    """Read all texts below ``root``; null takes the embedded set.

    Args:
        data: How they are read.
        root: Where they lie.
        tests: Whether files that are named test are read.

    Raises:
        DataError: They are missing, unreadable, of no known format, without a text, or more of
            them are wrong than may be.
    """
    if root is None and data.embedded == "resumes":
        return _made_up(data)
    found = _embedded_files() if root is None else find_files(root, links=data.links)
    names = _test_names(found)
    unread = not tests and bool(names)
    found = [file for file in found if tests or file.part != TEST]
    problems = Problems(data.embedded if root is None else str(root))
    documents: list[Document] = []
    parts: list[str] = []
    for file in found:
        texts = list(read_documents(file, data, problems))
        documents += texts
        parts += [names.get(file.path, file.part)] * len(texts)
    problems.refuse_above(data.bad_share)
    if not documents:
        hint = "Give a file or folder with texts in it."
        raise DataError("there is no text", where=problems.name, hint=hint)
    return TextSet(problems.name, tuple(documents), tuple(parts), problems, unread)


def set_digest(data: NERData, root: Path | None) -> str:
    """Digest the content of the set that `read_set` reads, without reading its texts.

    Raises:
        DataError: The files are missing or unreadable.
    """
    if root is None and data.embedded == "resumes":
        made_by = metadata.version("faker")
        return digest_json(["resumes", data.resumes, data.resume_seed, made_by])
    found = _embedded_files() if root is None else find_files(root, links=data.links)
    below = [file.path.name if file.path == root else file.label for file in found]
    own = "" if root is None else str(root)
    names = [label.removeprefix(own) for label in below]
    return digest_json(
        [[name, file.part, _digest(file.path)] for name, file in zip(names, found, strict=True)]
    )


def _digest(path: Path) -> str:
    inside = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    try:
        return digest_json([[p.name, digest_file(p)] for p in inside])
    except OSError as error:
        hint = "Change its permissions, or give another folder."
        raise DataError(f"can't be read: {error.strerror}", where=path, hint=hint) from error


def older_root(data: NERData) -> Path:
    """Return the folder of a set that new texts are to be put together with.

    Raises:
        ConfigError: It lies in no folder, or is itself of two sets.
    """
    if data.combine.name != "new_only":
        hint = "Put the two sets into one folder, and name that by data.combine.root."
        raise ConfigError("the older texts are themselves of two sets", where="data", hint=hint)
    if data.root is not None:
        return data.root
    if data.embedded == "resumes":
        hint = "Name the older set by data.combine.root."
        raise ConfigError("made-up résumés lie in no folder", where="data.embedded", hint=hint)
    return _EMBEDDED


def _embedded_files() -> list[TextFile]:
    return find_files(_EMBEDDED, label="WNUT-17")


def _test_names(found: Sequence[TextFile]) -> Mapping[Path, str]:
    """The name of each file's test split: ``test``, or where there are several its own."""
    tests = [file for file in found if file.part == TEST]
    stems = {file.path: _SHARD.sub("", file.path.stem) for file in tests}
    if len(set(stems.values())) < 2:
        return dict.fromkeys(stems, TEST)
    clean = {path: re.sub(r"\W+", "_", stem).strip("_").lower() for path, stem in stems.items()}
    return {p: s if s.startswith(TEST) else f"{TEST}_{s}" for p, s in clean.items()}


def _made_up(data: NERData) -> TextSet:
    from tutelage.tasks.ner.resumes import make_resumes

    made = list(make_resumes(data.resumes, data.resume_seed))
    problems = Problems("resumes")
    problems.types.update(span.label for document in made for span in document.spans)
    problems.seen.update({"text": len(made), "entity": problems.types.total()})
    documents = tuple(renamed(document, data.rename) for document in made)
    return TextSet("resumes", documents, ("",) * len(documents), problems)
