"""Put a new set of texts together with an older one, types reconciled, repeats taken once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress

from tutelage.core.records import Cell, Table
from tutelage.tasks.ner.config import NERData
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.near_duplicates import find_pairs
from tutelage.tasks.ner.parts import named
from tutelage.tasks.ner.readers.problems import Problems
from tutelage.tasks.ner.sets import TEST, TextSet
from tutelage.tasks.ner.splits import families

NEW_TEST = "test_new"


@dataclass(frozen=True, slots=True)
class Combined:
    """Two sets as one.

    Args:
        texts: The texts, each with its part.
        tables: What changed, type by type.
        findings: Sentences on what a reader of scores should know.
    """

    texts: TextSet
    tables: tuple[Table, ...]
    findings: tuple[str, ...]


def combine(new: TextSet, old: TextSet, data: NERData) -> Combined:
    """Put two sets together as ``data.combine`` says.

    A type of the new set that is one of the older set but for capitals, blanks, dashes and
    underscores takes its name. A text that stands in both is taken once: from the new set
    (*combined*), or, as the older set stays what it is, from that (*append*).

    Args:
        new: The texts that `data.root` names.
        old: Those that `data.combine.root` names.
        data: How they are combined and split.
    """
    names = _reconciled(new, old)
    renamed = replace(new, documents=tuple(_renamed(d, names) for d in new.documents))
    appends = data.combine.name == "append"
    older = _dealt(old, data)
    newer = _dealt(renamed, data, test_fraction=0.0 if appends else None)
    if appends:
        parts = tuple(NEW_TEST if part.startswith(TEST) else part for part in newer.parts)
        newer = replace(newer, parts=parts)
    stays, gives_way = (older, newer) if appends else (newer, older)
    there = {document.text: document for document in stays.documents}
    twice = [document.text in there for document in gives_way.documents]
    repeated = list(compress(gives_way.documents, twice))
    apart = sum(there[document.text].spans != document.spans for document in repeated)
    rest = _without(gives_way, twice)
    texts = _pooled(*((stays, rest) if appends else (rest, stays)), data.combine.name)
    findings = (
        *_on_repeats(len(repeated), apart, "older" if appends else "new"),
        *_on_types(older, newer),
    )
    return Combined(texts, (_types_table(new, old, names, texts),), findings)


def _key(kind: str) -> str:
    return kind.casefold().replace("_", "-").replace(" ", "-")


def _reconciled(new: TextSet, old: TextSet) -> dict[str, str]:
    """Return what each type of the new set is called, where the older set calls it otherwise."""
    theirs = old.types()
    known: dict[str, str] = {}
    for kind in sorted(theirs, key=lambda kind: (-theirs[kind], kind)):
        known.setdefault(_key(kind), kind)
    return {
        kind: known[_key(kind)]
        for kind in new.types()
        if kind not in theirs and _key(kind) in known
    }


def _renamed(document: Document, names: Mapping[str, str]) -> Document:
    if not any(span.label in names for span in document.spans):
        return document
    spans = (replace(span, label=names.get(span.label, span.label)) for span in document.spans)
    return replace(document, spans=tuple(spans))


def _dealt(texts: TextSet, data: NERData, test_fraction: float | None = None) -> TextSet:
    """Name the part of each text of a set, as it would be were the set alone."""
    family = families(texts.documents, find_pairs(texts.documents, data.near_duplicate))
    return named(texts, family, data, test_fraction=test_fraction)


def _without(texts: TextSet, left_out: Sequence[bool]) -> TextSet:
    kept = [not out for out in left_out]
    return replace(
        texts,
        documents=tuple(compress(texts.documents, kept)),
        parts=tuple(compress(texts.parts, kept)),
    )


def _pooled(first: TextSet, second: TextSet, how: str) -> TextSet:
    name = f"{first.name} and {second.name} ({how})"
    problems = Problems(name)
    for texts in (first, second):
        problems.seen.update(texts.problems.seen)
        problems.counts.update(texts.problems.counts)
        problems.types.update(texts.problems.types)
        for key, examples in texts.problems.examples.items():
            problems.examples.setdefault(key, []).extend(examples)
    documents = (*first.documents, *second.documents)
    return TextSet(name, documents, (*first.parts, *second.parts), problems)


def _on_repeats(repeated: int, apart: int, taken: str) -> Iterator[str]:
    if repeated:
        yield (
            f"{repeated} texts stand in both sets, {apart} of them with other entities: "
            f"taken once, from the {taken} set"
        )


def _on_types(old: TextSet, new: TextSet) -> Iterator[str]:
    """Warn of types that one set alone marks: the other teaches that they are nothing."""
    for one, other, here, there in ((old, new, "older", "new"), (new, old, "new", "older")):
        for kind in sorted(set(one.types()) - set(other.types())):
            unmarked = _unmarked(one, other, kind)
            yield (
                f"only the {here} set marks {kind!r}: in the {there} texts a model learns that it "
                f"is no entity; names that are {kind!r} stand there {unmarked} times"
            )


def _unmarked(one: TextSet, other: TextSet, kind: str) -> int:
    """How often texts of ``other`` hold the words that are a ``kind`` in ``one``."""
    names = {
        " ".join(document.text[span.start : span.end].casefold().split())
        for document in one.documents
        for span in document.spans
        if span.label == kind
    }
    lengths = {name.count(" ") + 1 for name in names}
    found = 0
    for document in other.documents:
        words = document.text.casefold().split()
        for length in lengths:
            runs = (" ".join(words[n : n + length]) for n in range(len(words) - length + 1))
            found += sum(run in names for run in runs)
    return found


def _types_table(new: TextSet, old: TextSet, names: Mapping[str, str], texts: TextSet) -> Table:
    """A row for each type: entities in each set and in both, and what it was called."""
    mine: Counter[str] = Counter()
    for kind, count in new.types().items():
        mine[names.get(kind, kind)] += count
    theirs, both = old.types(), texts.types()
    was: dict[str, list[str]] = {}
    for given, name in names.items():
        was.setdefault(name, []).append(given)
    rows: list[tuple[Cell, ...]] = [
        (kind, theirs[kind], mine[kind], both[kind], _change(kind, theirs, mine, was))
        for kind in sorted({*theirs, *mine})
    ]
    counts = (len(old.documents), len(new.documents), len(texts.documents))
    rows.append(("texts", *counts, ""))
    title = "What combining changed"
    columns = ("type", "older set", "new set", "together", "change")
    return Table(title=title, columns=columns, rows=tuple(rows))


def _change(
    kind: str, old: Counter[str], new: Counter[str], was: Mapping[str, Sequence[str]]
) -> str:
    if kind in was:
        return f"called {', '.join(sorted(was[kind]))} in the new set"
    if not old[kind]:
        return "added by the new set"
    return "" if new[kind] else "not in the new set"
