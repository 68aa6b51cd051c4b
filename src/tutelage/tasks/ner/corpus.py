"""`Corpus`: the texts that train, that are held out and that test, none of which straddle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tutelage.core.errors import ConfigError, DataError, suggest
from tutelage.core.files import digest_json
from tutelage.core.folds import HELD_OUT, FoldUnits, split_digest
from tutelage.core.records import AuditStamp, Table
from tutelage.tasks.ner.combine import Combined, combine
from tutelage.tasks.ner.config import NERData
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.folds import deal_fold, pool, text_units
from tutelage.tasks.ner.labels import Integers
from tutelage.tasks.ner.learned import Learned
from tutelage.tasks.ner.parts import Parts, deal
from tutelage.tasks.ner.readers.problems import Problems
from tutelage.tasks.ner.sets import TEST, TRAIN, VALIDATION, TextSet, read_set, set_digest

_READING: Final = {"root", "bad_share", "combine", "split_file", "fold"}
_UNSEEN: Final = "of a type that training never saw (counted as missed)"
_RENAME: Final = (
    "If the model calls them otherwise, say so: data.rename='{PER: person}'. "
    "Raise data.bad_share to count them as missed."
)


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """The texts of a run.

    Args:
        train: Texts to train on, all labelled; none where a finished run is applied to other data.
        validation: Labelled texts held out; none likewise, and none where all train.
        tests: The texts of each test split.
        unlabelled: Texts named for training, or for nothing, that nobody looked for entities in.
        learned: What is learned from training, or what the finished run had learned.
        stamp: The verdict on these data.
        problems: What is wrong with the files, one by one.
        unseen: Held-out and test entities of a type that training never saw.
        tables: What a report shows of the texts.
        units: Names of the held-out texts as units of a cross-validation, where it is one.
    """

    train: tuple[Document, ...]
    validation: tuple[Document, ...]
    tests: Mapping[str, tuple[Document, ...]]
    unlabelled: tuple[Document, ...]
    learned: Learned
    stamp: AuditStamp
    problems: Problems
    unseen: Problems
    tables: tuple[Table, ...] = ()
    units: tuple[str, ...] = ()


def data_fingerprint(data: NERData) -> str:
    """Digest the content of the texts that ``data`` names, the older set's too.

    Raises:
        DataError: The files are missing or unreadable.
    """
    own = set_digest(data, data.root)
    if data.combine.name == "new_only":
        return own
    return digest_json([data.combine.name, own, set_digest(data, data.combine.root)])


def load_corpus(data: NERData, learned: Learned | None = None) -> Corpus:
    """Read, check, combine and split the texts that ``data`` names.

    Args:
        data: Which texts, and how they are split.
        learned: What a finished run has learned. On the data that it was trained on, the same
            split tests; of other data, what is named test does, or all of it.

    Raises:
        DataError: The data are missing, malformed, too small to split, or without entities.
        ConfigError: A finished run's own data would be split otherwise than when it trained.
    """
    content = data_fingerprint(data)
    if learned is not None and learned.data != content:
        return _only_tests(read_set(data, data.root), data, learned)
    settings = _split_settings(data)
    if learned is not None and learned.split != settings:
        raise ConfigError(
            "these are the texts that the run was trained on, split or read in another way: "
            "some that it trained on would test it",
            where="data",
            hint="Leave the data settings as the run has them, or name other data.",
        )
    combined = _combined(data, tests=data.fold in (None, "all"))
    texts = combined.texts
    _refuse_idle_names(texts, data)
    parts = deal(texts, data) if data.fold is None else deal_fold(texts, data)
    parts.findings[:0] = [*texts.problems.findings(), *combined.findings]
    train, unlabelled = _labelled(texts, parts.train, TRAIN, parts.findings)
    validation, more = _validation(texts, parts, data)
    _refuse_too_little(texts.name, parts.tests, train)
    known = learned or Learned.from_texts(train, validation, data.scheme, content, settings)
    tests = {name: _chosen(texts, numbers) for name, numbers in parts.tests.items()}
    folds = HELD_OUT in tests
    scored = {} if folds else {VALIDATION: validation}
    unseen = _unseen([d for part in (scored | tests).values() for d in part], known)
    refuse_unseen(unseen, data.bad_share)
    parts.findings += unseen.findings()
    verdict = "leaking" if parts.leaks else "warnings" if parts.findings else "clean"
    return Corpus(
        train,
        validation,
        tests,
        (*unlabelled, *more),
        known,
        AuditStamp(verdict=verdict, findings=tuple(parts.findings)),
        texts.problems,
        unseen,
        (_inventory({TRAIN: train} | scored | tests), *combined.tables),
        parts.units,
    )


def _refuse_too_little(name: str, tests: Mapping[str, object], train: Sequence[Document]) -> None:
    """Refuse texts that nothing can be tested on, or learned from.

    Raises:
        DataError: They are.
    """
    if not tests:
        raise DataError(
            "there are too few texts to hold any out for a test",
            where=name,
            hint="Give more texts; the same ones count once.",
        )
    if not any(document.spans for document in train):
        raise DataError(
            "no training text has an entity",
            where=name,
            hint="Give texts whose entities somebody has marked, or see data.columns.",
        )


def fold_units(data: NERData) -> FoldUnits:
    """Return the texts that would train or validate as units of a cross-validation.

    Raises:
        DataError: They are missing or malformed, or there is none.
    """
    texts = _combined(data, tests=False).texts
    return text_units(_chosen(texts, pool(texts, data)), data)


def _split_settings(data: NERData) -> str:
    """Digest the settings by which texts are read and split."""
    settings = data.model_dump(mode="json", exclude=_READING)
    if data.fold is not None:
        settings |= {"fold": data.fold, "folds": split_digest(data)}
    return digest_json(settings)


def _validation(
    texts: TextSet, parts: Parts, data: NERData
) -> tuple[tuple[Document, ...], tuple[Document, ...]]:
    """Return the labelled texts that are held out, and the others; none where all train."""
    if data.fold == "all":
        return (), ()
    if data.fold is not None:
        return _chosen(texts, parts.tests[HELD_OUT]), ()
    return _labelled(texts, parts.validation, VALIDATION, parts.findings)


def _combined(data: NERData, *, tests: bool) -> Combined:
    """Read the set, and put it together with the older one if asked.

    Args:
        data: Which texts.
        tests: Whether files named test are read; two sets always are, as one may test the other.
    """
    if data.combine.name == "new_only":
        return Combined(read_set(data, data.root, tests=tests), (), ())
    return combine(read_set(data, data.root), read_set(data, data.combine.root), data)


def _refuse_idle_names(texts: TextSet, data: NERData) -> None:
    """Refuse to rename types that no text has.

    Raises:
        ConfigError: There are such.
    """
    for name in data.rename:
        if name not in texts.problems.types:
            known = suggest(name, texts.problems.types)
            problem = f"no entity is of the type {name!r}, which is to be renamed"
            raise ConfigError(problem, where="data.rename", hint=known)


def _only_tests(texts: TextSet, data: NERData, learned: Learned) -> Corpus:
    """Take what is named test, or all, of data that a finished run was not trained on."""
    named = sorted({part for part in texts.parts if part.startswith(TEST)})
    tests = {
        name: tuple(d for d, p in zip(texts.documents, texts.parts, strict=True) if p == name)
        for name in named
    } or {TEST: texts.documents}
    unseen = _unseen([d for documents in tests.values() for d in documents], learned)
    findings = [*texts.problems.findings(), *unseen.findings()]
    seen = [d for ds in tests.values() for d in (ds[n] for n in learned.seen(ds).tolist())]
    if seen:
        findings.insert(
            0,
            f"{len(seen)} texts are ones that the run was trained on or chosen by "
            f"(first: {seen[0].where}): scores on them say nothing",
        )
    verdict = "leaking" if seen else "warnings" if findings else "clean"
    stamp = AuditStamp(verdict=verdict, findings=tuple(findings))
    tables = (_inventory(tests),)
    return Corpus((), (), tests, (), learned, stamp, texts.problems, unseen, tables)


def _labelled(
    texts: TextSet, numbers: Integers, part: str, findings: list[str]
) -> tuple[tuple[Document, ...], tuple[Document, ...]]:
    """Part texts that somebody looked for entities in from others.

    Raises:
        DataError: There is none.
    """
    chosen = _chosen(texts, numbers)
    labelled = tuple(document for document in chosen if document.labelled)
    others = tuple(document for document in chosen if not document.labelled)
    if not labelled:
        if not any(document.labelled for document in texts.documents):
            raise DataError(
                f"in none of {len(texts.documents)} texts is an entity marked",
                where=texts.name,
                hint="Give texts with marks, as `tutelage data ner` shows them.",
            )
        raise DataError(
            f"there is no labelled {part} text",
            where=texts.name,
            hint="Give more texts, whose entities somebody has marked, or another share for "
            "data.validation_fraction and data.test_fraction.",
        )
    if others:
        findings.append(
            f"{len(others)} {part} texts are unlabelled: no tags are learned from them "
            f"(first: {others[0].where})"
        )
    return labelled, others


def _chosen(texts: TextSet, numbers: Integers) -> tuple[Document, ...]:
    return tuple(texts.documents[n] for n in numbers.tolist())


def _unseen(documents: Sequence[Document], learned: Learned) -> Problems:
    """Find entities of a type that training never saw."""
    known = set(learned.labels.types)
    problems = Problems("held-out and test texts")
    for document in documents:
        for span in document.spans:
            problems.seen["entity"] += 1
            if span.label not in known:
                said = f"{document.text[span.start : span.end]} ({span.label})"
                problems.add("entity", _UNSEEN, document.where, said)
    return problems


def refuse_unseen(unseen: Problems, share: float) -> None:
    """Refuse texts to be scored on with too many entities of a type that training never saw.

    Raises:
        DataError: Their share is above ``share``.
    """
    unseen.refuse_above(share, _RENAME)


def _inventory(parts: Mapping[str, Sequence[Document]]) -> Table:
    """A row for each part: texts, words, entities, and entities of each type."""
    counts = {p: Counter(s.label for d in ds for s in d.spans) for p, ds in parts.items()}
    types = sorted({kind for count in counts.values() for kind in count})
    rows = tuple(
        (
            part,
            len(documents),
            sum(len(d.words) for d in documents),
            counts[part].total(),
            *(counts[part][kind] for kind in types),
        )
        for part, documents in parts.items()
    )
    return Table(title="Texts", columns=("part", "texts", "words", "entities", *types), rows=rows)
