"""Deleting runs so that none is half there, none is orphaned and none is worked on."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from tutelage.core.errors import StoreError
from tutelage.core.files import storage_errors
from tutelage.core.locks import LOCK, waiting

if TYPE_CHECKING:
    from tutelage.core.records import RunRecord
    from tutelage.core.store import Run, RunStore

REMOVED: Final = ".removed-"
"""How the name of a folder begins whose content is being deleted."""


def children(run: Run, among: Iterable[tuple[Run, RunRecord]]) -> list[Run]:
    """The runs that were made directly from ``run``."""
    return [r for r, record in among if any(p.run == run.id for p in record.parents)]


def remove(store: RunStore, runs: Sequence[Run]) -> None:
    """Delete runs of a store, as `RunStore.remove` says.

    While it is decided, no run is made. A run that goes is renamed first, which takes no time.
    """
    with storage_errors(store.home):
        store.home.mkdir(parents=True, exist_ok=True)
    with waiting(store.home / LOCK, shared=False), ExitStack() as held:
        left = [r for r in store.readable() if r[0].id not in {run.id for run in runs}]
        for run in runs:
            _require_run(run, store)
            if names := ", ".join(child.id for child in children(run, left)):
                hint = "Remove those first, or all of them at once: --cascade."
                raise StoreError(f"{run.id} is the parent of {names}", hint=hint)
            held.enter_context(run.hold())
        gone = {run: run.path.with_name(f"{REMOVED}{run.id}") for run in runs}
        for run, path in gone.items():
            with storage_errors(run.path):
                run.path.rename(path)
        killed = store.home.glob(f"{REMOVED}*")  # whoever began to delete these
        for path in {*gone.values(), *killed}:
            with storage_errors(path):
                shutil.rmtree(path)


def _require_run(run: Run, store: RunStore) -> None:
    """Refuse a folder outside of the store that is not surely a run."""
    if run.path.resolve().parent == store.home.resolve():
        return
    try:
        _ = run.record
    except StoreError as error:
        hint = f"Runs lie in {store.home}; delete a folder elsewhere yourself."
        raise StoreError("this is no run", where=run.path, hint=hint) from error
