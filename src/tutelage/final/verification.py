"""Rehash all that a run and its ancestors name; tell what changed from what nobody can check."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final

from tutelage.core.errors import StoreError
from tutelage.core.fingerprint import combined
from tutelage.core.records import Artifact, RunRecord
from tutelage.core.store import CONFIG, INPUTS, RECORD, WEIGHTS, Run, RunStore
from tutelage.final.ancestry import Ancestor, Ancestry, ancestry
from tutelage.final.checks import Check, Digests
from tutelage.final.data_checks import DataChecks
from tutelage.final.manifest import FINAL, read_exports

KINDS: Final = {
    WEIGHTS: "weights",
    "model.json": "card",
    CONFIG: "config",
    INPUTS: "inputs",
}


@dataclass(frozen=True, slots=True)
class Verification:
    """All checks of a run and of those that it was made from."""

    run: str
    checks: tuple[Check, ...]

    @property
    def changed(self) -> tuple[Check, ...]:
        """What is not what it was."""
        return tuple(check for check in self.checks if check.state == "changed")

    @property
    def unchecked(self) -> tuple[Check, ...]:
        """What nobody can tell."""
        return tuple(check for check in self.checks if check.state == "unchecked")

    def summary(self) -> dict[str, object]:
        """The object that ``--json`` prints."""
        return {
            "run": self.run,
            "verified": not self.changed,
            "checked": len(self.checks) - len(self.unchecked),
            "changed": [asdict(check) for check in self.changed],
            "unchecked": [asdict(check) for check in self.unchecked],
        }


def verify(run: Run, store: RunStore) -> Verification:
    """Rehash weights, card, configuration, artifacts, data, folds and parents of a whole chain.

    Args:
        run: The run.
        store: Where its parents are.
    """
    whole = ancestry(run, store)
    digests = Digests()
    data = DataChecks(digests)
    checks = [
        check
        for ancestor in whole.runs.values()
        for check in _checks(ancestor, whole, digests, data)
    ]
    return Verification(run.id, tuple(checks))


def _checks(
    ancestor: Ancestor, whole: Ancestry, digests: Digests, data: DataChecks
) -> Iterator[Check]:
    run, record = ancestor.run, ancestor.record
    if run is None:
        yield Check(ancestor.id, "run", ancestor.id, "unchecked", ancestor.problem or "")
    elif record is None:
        path = str(run.path / RECORD)
        yield Check(ancestor.id, "record", path, "changed", ancestor.problem or "")
    else:
        yield _record(run, record)
        yield from _artifacts(run, record, digests)
        yield from _exports(run, digests)
        yield from data.of(run, record)
        yield from _parents(run, record, whole)


def _record(run: Run, record: RunRecord) -> Check:
    """Whether the record's fingerprint is that of its parts, and what it says of its end."""
    path, prints = str(run.path / RECORD), record.fingerprints
    weights = record.hashes.initial_weights if record.hashes else None
    known = record.hashes is not None
    if known and combined(prints, weights) != prints.run:
        said = "was changed: its fingerprint is not that of its parts"
        return Check(run.id, "record", path, "changed", said)
    if record.status != "finished":
        said = f"this run is {run.status}: its files have no digests"
        return Check(run.id, "run", path, "unchecked", said)
    return Check(run.id, "record", path, "same")


def _artifacts(run: Run, record: RunRecord, digests: Digests) -> Iterator[Check]:
    for artifact in record.artifacts.values():
        yield _file(run, KINDS.get(artifact.path, "artifact"), artifact, digests)


def _exports(run: Run, digests: Digests) -> Iterator[Check]:
    """The files that the manifest of a final training names."""
    try:
        exports = read_exports(run)
    except StoreError as error:
        yield Check(run.id, "manifest", str(run.path / FINAL), "changed", error.problem)
        return
    for artifact in exports:
        yield _file(run, "export", artifact, digests)


def _file(run: Run, what: str, artifact: Artifact, digests: Digests) -> Check:
    path = run.path / artifact.path
    state, said = digests.compare(path, artifact.digest)
    return Check(run.id, what, str(path), state, said)


def _parents(run: Run, record: RunRecord, whole: Ancestry) -> Iterator[Check]:
    """Whether each parent is what it was when the run was made from it."""
    prints = record.fingerprints.parents
    if len(prints) != len(record.parents):
        return  # an older record
    for parent, then in zip(record.parents, prints, strict=True):
        found = whole.runs[parent.run].record
        if found is None:
            continue  # said of the parent itself
        same = found.fingerprints.run == then
        said = "" if same else f"this {parent.role} is not the run that was used: other fingerprint"
        yield Check(run.id, "parent", parent.run, "same" if same else "changed", said)
