"""`Ancestry`: a run with all that it was made from, each once, and how far back it lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tutelage.core.errors import StoreError
from tutelage.core.records import RunRecord
from tutelage.core.store import Run, RunStore


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A run of the chain.

    Args:
        id: Its id.
        run: Its folder; null where the store has it no more.
        record: What is known of it; null where that can't be read.
        problem: Why it can't be read.
    """

    id: str
    run: Run | None
    record: RunRecord | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """What a run gave to another: its parent's id, its own, and the parent's role."""

    parent: str
    child: str
    role: str


@dataclass(frozen=True, slots=True)
class Ancestry:
    """A run and all that it was made from.

    Args:
        runs: By id; the run itself comes first, parents after their children.
        links: Who gave what to whom.
    """

    runs: Mapping[str, Ancestor]
    links: tuple[Link, ...]

    @property
    def generations(self) -> Mapping[str, int]:
        """How many runs lie between each one and the first, by the longest way, which is 0."""
        parents: dict[str, list[str]] = {}
        for link in self.links:
            parents.setdefault(link.child, []).append(link.parent)
        found: dict[str, int] = {}

        def visit(name: str, depth: int) -> None:
            if found.get(name, -1) < depth:
                found[name] = depth
                for parent in parents.get(name, []):
                    visit(parent, depth + 1)

        visit(next(iter(self.runs)), 0)
        return found


def ancestry(run: Run, store: RunStore) -> Ancestry:
    """Follow a run's parents as far as the store has them.

    Raises:
        StoreError: A run would descend from itself.
    """
    runs: dict[str, Ancestor] = {}
    links: list[Link] = []

    def visit(found: Ancestor, below: tuple[str, ...]) -> None:
        if found.id in below:
            raise StoreError("a run can't descend from itself", where=found.id)
        if found.id in runs:
            return
        runs[found.id] = found
        for parent in found.record.parents if found.record else ():
            links.append(Link(parent.run, found.id, parent.role))
            visit(_ancestor(parent.run, store), (*below, found.id))

    visit(_read(run), ())
    return Ancestry(runs, tuple(dict.fromkeys(links)))


def _ancestor(name: str, store: RunStore) -> Ancestor:
    run = Run(store.home / Path(name).name)
    if not run.path.is_dir():
        return Ancestor(name, None, None, "is no longer in the store")
    return _read(run)


def _read(run: Run) -> Ancestor:
    try:
        return Ancestor(run.id, run, run.record)
    except StoreError as error:
        return Ancestor(run.id, run, None, error.problem)
