"""`tutelage audit ner`: alike texts on both sides of a split, wrong entities, odd labels."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np

from tutelage.core.records import AuditStamp, Table
from tutelage.task import Audit
from tutelage.tasks.ner.config import NERData
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.near_duplicates import find_pairs
from tutelage.tasks.ner.sets import TextSet, read_set
from tutelage.tasks.ner.splits import families, straddling

_SHOWN = 5
_FEW = 10
_RARELY = 0.2
_NAMES = 20
_LONG = 10_000


def audit(data: NERData) -> Audit:
    """Look at the files as they are: what they name train, dev and test, and what is in them.

    *Leaking* means that texts of one part are the same as texts of another, or nearly so. Training
    leaves such texts out and says so in its own stamp.

    Raises:
        DataError: The data are missing, unreadable, or more is wrong than `data.bad_share` allows.
    """
    texts = read_set(data, data.root)
    leaks = list(_leaks(texts, data))
    warnings = [*texts.problems.findings(), *_repeats(texts), *_rare(texts), *_odd(texts)]
    verdict = "leaking" if leaks else "warnings" if warnings else "clean"
    stamp = AuditStamp(verdict=verdict, findings=(*leaks, *warnings))
    wrong = Table(
        title="What is wrong",
        columns=("problem", "with", "where", "what"),
        rows=tuple(texts.problems.rows()),
    )
    tables = (_inventory(texts), _disputed(texts), wrong)
    return Audit(stamp, tuple(table for table in tables if table.rows))


def _parts(texts: TextSet) -> dict[str, list[int]]:
    parts: dict[str, list[int]] = defaultdict(list)
    for number, part in enumerate(texts.parts):
        parts[part].append(number)
    return dict(parts)


def _leaks(texts: TextSet, data: NERData) -> Iterator[str]:
    pairs = find_pairs(texts.documents, data.near_duplicate)
    family = families(texts.documents, pairs)
    parts = _parts(texts)
    names = list(parts)
    for n, one in enumerate(names):
        for other in names[n + 1 :]:
            found = straddling(family, pairs.original, np.array(parts[one]), np.array(parts[other]))
            if len(found.texts):
                first, like = int(found.texts[0]), int(found.likes[0])
                yield (
                    f"{len(found.texts)} texts of {one or 'no part'} are like texts of "
                    f"{other or 'no part'}, or of one group with them, {found.same} the very same "
                    f"(first: {texts.documents[first].where} and {texts.documents[like].where})"
                )


def _repeats(texts: TextSet) -> Iterator[str]:
    """Texts that stand in one part more than once, and those whose entities differ then."""
    for part, numbers in _parts(texts).items():
        same: dict[str, list[Document]] = defaultdict(list)
        for number in numbers:
            same[texts.documents[number].text].append(texts.documents[number])
        groups = [group for group in same.values() if len(group) > 1]
        if groups:
            extra = sum(len(group) - 1 for group in groups)
            yield f"{extra} texts of {part or 'no part'} stand there more than once (first: " + (
                f"{groups[0][0].where} and {groups[0][1].where})"
            )
        apart = [group for group in groups if len({d.spans for d in group}) > 1]
        if apart:
            yield (
                f"{len(apart)} texts of {part or 'no part'} stand there with other entities each "
                f"time (first: {apart[0][0].where} and {apart[0][1].where})"
            )


def _rare(texts: TextSet) -> Iterator[str]:
    rare = {kind: n for kind, n in sorted(texts.types().items()) if n < _FEW}
    if rare:
        said = ", ".join(f"{kind} ({n})" for kind, n in rare.items())
        yield f"types with fewer than {_FEW} entities: {said}"


def _odd(texts: TextSet) -> Iterator[str]:
    unlabelled = sum(not document.labelled for document in texts.documents)
    if unlabelled:
        yield f"{unlabelled} texts are unlabelled: they teach words, not tags, and are not scored"
    long = [document for document in texts.documents if len(document.words) > _LONG]
    if long:
        yield (
            f"{len(long)} texts have more than {_LONG:,} words, which are seen window by "
            f"window (first: {long[0].where}, {len(long[0].words):,} words)"
        )
    alike: dict[str, list[str]] = defaultdict(list)
    for kind in sorted(texts.types()):
        alike[kind.casefold().replace("_", "-").replace(" ", "-")].append(kind)
    for kinds in alike.values():
        if len(kinds) > 1:
            yield f"types that look like one: {', '.join(kinds)}; data.rename can join them"


def _inventory(texts: TextSet) -> Table:
    kinds = sorted(texts.types())
    rows = []
    for part, numbers in _parts(texts).items():
        documents = [texts.documents[n] for n in numbers]
        counts = Counter(span.label for d in documents for span in d.spans)
        words = sum(len(d.words) for d in documents)
        longest = max(len(d.words) for d in documents)
        cells = (counts[kind] for kind in kinds)
        rows.append((part or "–", len(documents), words, longest, counts.total(), *cells))
    columns = ("part", "texts", "words", "longest", "entities", *kinds)
    return Table(title=f"Texts of {texts.name}", columns=columns, rows=tuple(rows))


def _disputed(texts: TextSet) -> Table:
    """Names that are of one type here and of another, or none, there, most frequent first."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for document in texts.documents:
        for name, span in zip(document.entity_texts(), document.spans, strict=True):
            kinds[name.casefold()][span.label] += 1
    disputed = [(name, found) for name, found in kinds.items() if _is_disputed(found)]
    disputed.sort(key=lambda item: (-item[1].total(), item[0]))
    rows = tuple(
        (name, ", ".join(f"{kind} {n}" for kind, n in found.most_common(_SHOWN)))
        for name, found in disputed[:_NAMES]
    )
    note = f"{len(disputed)} names have another type at least {_RARELY:.0%} of the time."
    title = "Names of several types"
    return Table(title=title, columns=("name", "types"), rows=rows, note=note)


def _is_disputed(found: Counter[str]) -> bool:
    most = found.most_common(1)[0][1]
    return len(found) > 1 and found.total() >= 4 and most <= (1 - _RARELY) * found.total()
