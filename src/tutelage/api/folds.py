"""`deal_folds`: the training data of a task dealt into folds, for a cross-validation by hand."""

from __future__ import annotations

from pathlib import Path

from tutelage.api.settings import configure
from tutelage.core.errors import ConfigError, StorageError
from tutelage.core.folds import Split, SplitKind, read_split, write_split
from tutelage.core.store import RunStore
from tutelage.task import fold_split


def deal_folds(
    task: str,
    *overrides: str,
    kind: SplitKind | None = None,
    folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
    output: Path | str | None = None,
    home: Path | str | None = None,
) -> Split:
    """Deal what would train or validate into folds, and write them to a file.

    ``tutelage.deal_folds("ner", "data.root=letters", folds=3, output="split.json")``, then
    ``tutelage.train("ner", "data.root=letters", "data.split_file=split.json", "data.fold=0")``.

    Args:
        task: Name of an installed task.
        overrides: Settings as typed; those of data decide what there is to deal.
        kind: ``kfold``, ``stratified`` or ``grouped``, as `tutelage.core.dealing.deal` says; null
            stratifies where the data know by what.
        folds: Folds of one repeat.
        repeats: How often all is dealt, each time otherwise.
        seed: Seed of the deal.
        output: The file to write, if any.
        home: Where runs and caches live; by default ``TUTELAGE_HOME``, or ``./runs``.

    Raises:
        ConfigError: A setting is wrong, or the data can't be dealt so.
        DataError: The data are missing, malformed, or too few for so many folds.
        StorageError: ``output`` can't be written, or holds other folds.
    """
    found, config = configure(task, overrides)
    if config.data.fold is not None:
        hint = "Leave data.fold and data.split_file out."
        raise ConfigError("folds are dealt from all data", where="data.fold", hint=hint)
    cache = RunStore.at(home).cache(task)
    split = fold_split(found, config, cache, kind, folds, repeats, seed)
    if output is not None:
        _write(split, Path(output))
    return split


def _write(split: Split, path: Path) -> None:
    """Write the folds, unless the file holds something else.

    Raises:
        StorageError: It does, or can't be written.
    """
    if not path.parent.is_dir():
        raise StorageError("there is no such folder to write to", where=path.parent)
    if path.exists():
        try:
            same = read_split(path) == split
        except ConfigError:
            same = False
        if not same:
            hint = "Name another file, or remove it: runs may still read it."
            raise StorageError("is there already, and holds something else", where=path, hint=hint)
        return
    write_split(split, path)
