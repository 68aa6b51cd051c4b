"""`Problems`: what is wrong with a file, counted and listed by line, refused above a share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from tutelage.core.errors import DataError

Unit = Literal["text", "entity"]
LISTED: Final = 20
"""Examples kept of each kind of problem."""
_PLURAL: Final[dict[Unit, str]] = {"text": "texts", "entity": "entities"}
_MEND: Final = (
    "Mend the file, or raise data.bad_share to take it as said; "
    "`tutelage audit ner` with that setting lists what is wrong, line by line."
)


@dataclass(frozen=True, slots=True)
class Example:
    """One problem: where it is, and what is there."""

    where: str
    detail: str


@dataclass
class Problems:
    """The problems of one file or set.

    Args:
        name: What it is called in messages.
        seen: Texts and entities looked at, wrong ones included.
        counts: Problems of each (unit, kind).
        examples: The first `LISTED` of each.
        types: Entities of each type, by the file's own names.
    """

    name: str
    seen: Counter[Unit] = field(default_factory=Counter)
    counts: Counter[tuple[Unit, str]] = field(default_factory=Counter)
    examples: dict[tuple[Unit, str], list[Example]] = field(default_factory=dict)
    types: Counter[str] = field(default_factory=Counter)

    def add(self, unit: Unit, kind: str, where: str, detail: str) -> None:
        """Count a problem.

        Args:
            unit: What is wrong: a text or an entity.
            kind: The sort of problem, and what was done about it, in a few words.
            where: ``file:line``.
            detail: What stands there.
        """
        self.counts[unit, kind] += 1
        listed = self.examples.setdefault((unit, kind), [])
        if len(listed) < LISTED:
            listed.append(Example(where, detail if len(detail) <= 80 else detail[:77] + "…"))

    def refuse_above(self, share: float, hint: str = _MEND) -> None:
        """Refuse a set with too many problems.

        Args:
            share: Share of the texts, or of the entities, that may be wrong.
            hint: What to do about them.

        Raises:
            DataError: There are more; the message says what they are and where the first ones are.
        """
        for unit, plural in _PLURAL.items():
            wrong = sum(n for (of, _), n in self.counts.items() if of == unit)
            of = max(self.seen[unit], wrong)
            if not wrong or wrong <= share * of:
                continue
            kinds = {kind: n for (what, kind), n in self.counts.items() if what == unit}
            first = next(e for (what, _), es in self.examples.items() if what == unit for e in es)
            said = "; ".join(f"{n} {kind}" for kind, n in kinds.items())
            raise DataError(
                f"{wrong} of {of} {plural} are wrong, more than {share:.2%} ({said}); "
                f"first: {first.detail}",
                where=first.where,
                hint=hint,
            )

    def findings(self) -> Iterator[str]:
        """Say each kind of problem in a sentence, with where the first one is."""
        for (unit, kind), count in self.counts.items():
            first = self.examples[unit, kind][0]
            what = unit if count == 1 else _PLURAL[unit]
            yield f"{self.name}: {count} {what} {kind} (first: {first.where}: {first.detail})"

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """A row for each example: kind, unit, where, what."""
        for (unit, kind), examples in self.examples.items():
            for example in examples:
                yield kind, unit, example.where, example.detail
