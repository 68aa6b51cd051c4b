"""Capabilities about a task's data: dealt into folds, put together with older ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic

from tutelage.core.config import C
from tutelage.core.folds import FoldUnits

if TYPE_CHECKING:
    from tutelage.training.contracts import TaskData


class SupportsFolds(ABC, Generic[C]):
    """A task whose training data can be dealt into folds, for a cross-validation.

    Its `datamodule` heeds ``data.fold``: with a number, the training pool (what would train or
    validate) trains but for the units that `tutelage.core.folds.held_out_units` says; these
    validate, and are the one test split, called ``held_out``; test data are not read. With
    ``all``, the whole pool trains, nothing validates, and the tests are as ever.
    """

    @abstractmethod
    def fold_units(self, config: C, cache: Path) -> FoldUnits:
        """Return what folds are dealt from: the training pool that ``config`` names, in units.

        A unit is what the task's own split keeps whole, and is named by what is in it, so that the
        same data have the same names wherever they lie. Settings of folds in ``config`` do not
        count, nor are test data read that are known as such by their name.
        """

    @abstractmethod
    def predicted_units(self, data: TaskData) -> Sequence[str]:
        """Return the unit of each held-out row, in order.

        Args:
            data: The data of a run with ``data.fold=K``, set up.

        Returns:
            (rows,) one for each line of `predict_lines` where the task has that, else for each row
            of all tables of `predict`.
        """


class SupportsCombining(ABC, Generic[C]):
    """A task that can put new data together with older ones, such as those of an earlier run."""

    @abstractmethod
    def combined(self, config: C, older: C, how: str) -> C:
        """Return a configuration whose data are put together with those of another.

        Args:
            config: Names the new data.
            older: Names the older ones.
            how: ``new_only``, ``combined`` or ``append``.

        Raises:
            ConfigError: The older data can't be combined with others.
        """
