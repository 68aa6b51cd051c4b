"""Pictures of one's own: a folder or shards become entries that say where each picture lies."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from tutelage.core.config import Links
from tutelage.core.documents import load_json
from tutelage.core.errors import DataError
from tutelage.core.files import require_inside
from tutelage.tasks.multimodal.data.captions import SUFFIXES, CaptionRow, read_captions

IMAGES: Final = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
MOST_TEXT: Final = 1 << 20
"""Bytes of a shard's member that says something of a picture."""
TEXTS: Final = ("caption", "captions", "text", "txt")


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture: where its bytes lie, and what is said of it.

    Args:
        name: As the captions or the shard name it.
        path: The file with the bytes.
        offset: Where they begin.
        size: How many; null for the whole file.
        captions: (text, language) of each.
    """

    name: str
    path: Path
    captions: tuple[tuple[str, str], ...]
    category: str = ""
    group: str = ""
    split: str = ""
    offset: int = 0
    size: int | None = None

    def speaking(self, languages: Sequence[str]) -> Entry:
        """Return the entry with the captions in some languages, and those of none."""
        kept = tuple(told for told in self.captions if told[1] in ("", *languages))
        return replace(self, captions=kept)


def find_sources(root: Path) -> tuple[Path, ...]:
    """Return the caption file, or the shards in the order of their names, that ``root`` means.

    Raises:
        DataError: There is none, or it isn't clear which.
    """
    if root.is_file():
        return (_known(root),)
    if not root.is_dir():
        hint = "Give a folder of pictures with a caption file, or of tar shards."
        raise DataError("there is no such file or folder", where=root, hint=hint)
    shown = sorted(p for p in root.iterdir() if p.is_file() and not p.name.startswith("."))
    tables = [path for path in shown if path.suffix.lower() in SUFFIXES]
    shards = [path for path in shown if path.suffix == ".tar"]
    if len(tables) == 1 and not shards:
        return (tables[0],)
    if shards and not tables:
        return tuple(shards)
    if tables or shards:
        names = ", ".join(path.name for path in (tables + shards)[:6])
        hint = f"Name the one to read: data.root={tables[0] if tables else shards[0]}."
        raise DataError(f"it isn't clear which of these to read: {names}", where=root, hint=hint)
    raise DataError(
        "holds neither a caption file nor tar shards",
        where=root,
        hint="Put captions.csv with the columns image,caption beside the pictures; also "
        f"{', '.join(SUFFIXES[1:])}, or WebDataset shards, *.tar.",
    )


def bare_pictures(root: Path) -> list[Entry]:
    """Return the pictures of a folder that has neither a caption file nor shards, by name."""
    if not root.is_dir():
        return []
    shown = sorted(p for p in root.iterdir() if p.is_file() and not p.name.startswith("."))
    if any(path.suffix.lower() in (*SUFFIXES, ".tar") for path in shown):
        return []
    return [Entry(p.name, p, ()) for p in shown if p.suffix.lower() in IMAGES]


def _known(path: Path) -> Path:
    if path.suffix.lower() not in (*SUFFIXES, ".tar"):
        kinds = ", ".join((*SUFFIXES, ".tar"))
        hint = "Unpack it first." if ".tar" in path.suffixes else f"Give one of {kinds}."
        raise DataError(f"files of kind {path.suffix!r} are not read", where=path, hint=hint)
    return path


def read_entries(
    sources: Sequence[Path], columns: Mapping[str, str], links: Links = "inside"
) -> list[Entry]:
    """Return an entry for each picture, in the order of first mention.

    Args:
        sources: The caption file, or the shards.
        columns: Names of columns that are not the usual ones.
        links: Which symbolic links are followed.

    Raises:
        DataError: A source is unreadable or malformed, or a picture lies outside its folder.
    """
    if links == "inside":
        require_inside(sources[0].parent, sources)
    if sources[0].suffix == ".tar":
        return [entry for shard in sources for entry in shard_entries(shard)]
    entries = folder_entries(sources[0], read_captions(sources[0], columns))
    if links == "inside":
        require_inside(sources[0].parent, (entry.path for entry in entries))
    return entries


def folder_entries(path: Path, rows: Sequence[CaptionRow]) -> list[Entry]:
    """Join the rows of each picture; its path is relative to the caption file's folder.

    Raises:
        DataError: Rows of one picture put it into different splits or categories.
    """
    found: dict[str, Entry] = {}
    for row in rows:
        told = tuple((text, row.language) for text in row.captions)
        image = PurePosixPath(row.image.replace("\\", "/")).as_posix()
        known = found.get(image)
        if known is None:
            file = path.parent / image
            found[image] = Entry(image, file, told, row.category, row.group, row.split)
            continue
        for name in ("category", "group", "split"):
            if getattr(row, name) != getattr(known, name):
                values = f"{getattr(known, name)!r} and {getattr(row, name)!r}"
                raise DataError(f"{image!r} has two {name} entries: {values}", where=path)
        found[image] = Entry(
            image, known.path, (*known.captions, *told), row.category, row.group, row.split
        )
    return list(found.values())


def shard_entries(shard: Path) -> list[Entry]:
    """Return the samples of a WebDataset shard: members that share a name up to its first dot.

    Captions are in ``.txt`` (one), or in ``.json`` under caption, captions or text; a category is
    in ``.cls`` or in ``.json``. Pictures are not read, only found.

    Raises:
        DataError: The shard is damaged, or a sample's JSON is.
    """
    samples: dict[str, dict[str, tarfile.TarInfo]] = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                if member.isfile() and not member.issparse():
                    place = PurePosixPath(member.name)
                    stem, _, kind = place.name.partition(".")
                    samples.setdefault(str(place.parent / stem), {})[f".{kind.lower()}"] = member
            entries = [
                entry
                for key, members in samples.items()
                if (entry := _sample(archive, shard, key, members)) is not None
            ]
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError) as error:
        hint = "Copy the shard again; a shard is a plain tar file, not a compressed one."
        raise DataError(f"the shard can't be read: {error}", where=shard, hint=hint) from error
    if not entries:
        hint = "A sample is NAME.png beside NAME.txt or NAME.json."
        raise DataError("the shard holds no picture", where=shard, hint=hint)
    return entries


def _sample(
    archive: tarfile.TarFile, shard: Path, key: str, members: Mapping[str, tarfile.TarInfo]
) -> Entry | None:
    image = next((members[kind] for kind in IMAGES if kind in members), None)
    if image is None:
        return None
    texts = {
        kind: _text(archive, shard, members[kind])
        for kind in (".txt", ".json", ".cls")
        if kind in members
    }
    facts: object = {}
    if ".json" in texts:
        try:
            facts = load_json(texts[".json"])
        except ValueError as error:
            raise DataError(f"{key}.json is no JSON: {error}", where=shard) from error
    if not isinstance(facts, dict):
        raise DataError(f"{key}.json is no JSON object", where=shard)
    captions: list[object] = [texts[".txt"].strip()] if ".txt" in texts else []
    for name in TEXTS:
        value = facts.get(name)
        captions += value if isinstance(value, list) else [value] if value is not None else []
    category = facts.get("category", texts.get(".cls", ""))
    told = tuple((text, "") for text in dict.fromkeys(map(str, captions)))
    return Entry(
        name=image.name,
        path=shard,
        captions=told,
        category=str(category).strip(),
        offset=image.offset_data,
        size=image.size,
    )


def _text(archive: tarfile.TarFile, shard: Path, member: tarfile.TarInfo) -> str:
    if member.size > MOST_TEXT:
        said = f"{member.name} has {member.size} bytes; a caption has at most {MOST_TEXT}"
        raise DataError(said, where=shard)
    file = archive.extractfile(member)
    assert file is not None
    try:
        return file.read().decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{member.name} is not UTF-8 text", where=shard) from error
