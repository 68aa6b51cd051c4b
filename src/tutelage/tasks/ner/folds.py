"""The training pool of texts as units of a cross-validation, and the parts that a fold makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import compress

import numpy as np

from tutelage.core.files import digest_bytes
from tutelage.core.folds import HELD_OUT, FoldUnits, held_out_units
from tutelage.tasks.ner.config import NERData
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.labels import Integers
from tutelage.tasks.ner.near_duplicates import find_pairs
from tutelage.tasks.ner.parts import Parts, keep_apart, named
from tutelage.tasks.ner.sets import TEST, TextSet
from tutelage.tasks.ner.splits import families

NO_ENTITY = "no entity"


def pool(texts: TextSet, data: NERData) -> Integers:
    """Return the numbers of the texts that would train or validate, ascending, the labelled ones.

    Args:
        texts: The set, whose files named test may have been left out.
        data: Shares and seed, where no file is named test.
    """
    if texts.has(TEST):
        parts: Sequence[str] = texts.parts
    else:
        pairs = find_pairs(texts.documents, data.near_duplicate)
        parts = named(texts, families(texts.documents, pairs), data).parts
    chosen = [
        n
        for n, (document, part) in enumerate(zip(texts.documents, parts, strict=True))
        if document.labelled and not part.startswith(TEST)
    ]
    return np.array(chosen, np.int64)


def unit_names(documents: Sequence[Document]) -> tuple[str, ...]:
    """Return a name for each text by what it says; texts that say the same are counted."""
    seen: Counter[str] = Counter()
    names = []
    for document in documents:
        name = digest_bytes(document.text.encode("utf-8", "surrogatepass"))[:16]
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return tuple(names)


def text_units(documents: Sequence[Document], data: NERData) -> FoldUnits:
    """Return the texts of a pool as units: alike texts and those of one source are a group.

    A text's stratum is the rarest of the types of its entities, or that it has none; its size is
    its words.
    """
    names = unit_names(documents)
    family = families(documents, find_pairs(documents, data.near_duplicate))
    having = Counter(kind for document in documents for kind in {s.label for s in document.spans})
    strata = (
        min({span.label for span in document.spans}, key=lambda kind: (having[kind], kind))
        if document.spans
        else NO_ENTITY
        for document in documents
    )
    return FoldUnits(
        names,
        groups=tuple(names[n] for n in family.tolist()),
        strata=tuple(strata),
        sizes=tuple(max(1, len(document.words)) for document in documents),
    )


def deal_fold(texts: TextSet, data: NERData) -> Parts:
    """Return the parts that ``data.fold`` makes: a fold that is held out and tests, or all train.

    Where all train, texts that are like test texts are left out of training, or kept and said, as
    `data.cross_split` has it.

    Raises:
        ConfigError: There is no such split file or fold.
        DataError: The folds were dealt from other texts, or the fold leaks.
    """
    numbers = pool(texts, data)
    documents = [texts.documents[n] for n in numbers.tolist()]
    nothing = numbers[:0]
    unlabelled = sum(not document.labelled for document in texts.documents)
    findings = [f"{unlabelled} texts are unlabelled: left out"] if unlabelled else []
    if data.fold != "all":
        units = text_units(documents, data)
        held = np.array(held_out_units(units, data))
        mine = tuple(compress(units.ids, held))
        return Parts(numbers[~held], nothing, {HELD_OUT: numbers[held]}, findings, units=mine)
    held_out_units(FoldUnits(unit_names(documents)), data)
    pairs = find_pairs(texts.documents, data.near_duplicate)
    family = families(texts.documents, pairs)
    names = np.array(named(texts, family, data).parts, dtype=np.str_)
    tests = {str(n): np.flatnonzero(names == n) for n in np.unique(names) if n.startswith(TEST)}
    parts = Parts(numbers, nothing, tests, findings)
    keep_apart(texts, family, pairs, data, parts)
    return parts
